"""sbatch's translator: a batch script and options become a job description for slurmrestd. Pure, no I/O.

script = sbatch.read(body)
translation = sbatch.translate(script, [("time", "10:00")], sbatch.Submission("/home/alice"),
api_versions_of_cluster=["v0.0.42", "v0.0.41", "v0.0.40"])
translation.api_version, translation.body(), translation.notices
"""

from .errors import NotCarriedError, OptionError, Place, ScriptError, SubmissionRefusedError
from .moments import Clock
from .releases import Release
from .script import LONGEST, Script, read
from .translation import Submission, Translation, translate

__all__ = [
    "LONGEST",
    "Clock",
    "NotCarriedError",
    "OptionError",
    "Place",
    "Release",
    "Script",
    "ScriptError",
    "Submission",
    "SubmissionRefusedError",
    "Translation",
    "read",
    "translate",
]
