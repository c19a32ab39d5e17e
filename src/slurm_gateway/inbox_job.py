"""What an object of the inbox is submitted as: its rule's script and options, held, the input in its environment."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from . import sbatch, submit_request
from .errors import DeadLetterError
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from .inbox_message import InboxObject
    from .inbox_rule import InboxRule
    from .sbatch import Script, Translation
    from .scripts import Scripts

_HELD_SCRIPTS = 32


@dataclass(frozen=True, slots=True)
class Input:
    """An object's version of `size` bytes, and the path at which its job finds it."""

    thing: InboxObject
    size: int
    path: str

    def environment(self) -> dict[str, str]:
        """Return what the job is told of it."""
        return {
            "INPUT_PATH": self.path,
            "INPUT_KEY": self.thing.key,
            "INPUT_VERSION": self.thing.version,
            "INPUT_SIZE": str(self.size),
        }


class InboxJobs:
    """Makes jobs of inputs. `working_directory` has `{user}` for the user's name."""

    def __init__(self, scripts: Scripts, *, cluster: str, working_directory: str) -> None:
        self._cluster = cluster
        self._working_directory = working_directory
        # A script never changes under its hash: what was read or staged once need not be again.
        self.staged = lru_cache(_HELD_SCRIPTS)(scripts.read)
        self._stage = lru_cache(_HELD_SCRIPTS)(scripts.stage)

    def script(self, rule: InboxRule) -> Script:
        """Return a rule's script; DeadLetterError if it is missing, or sbatch would not take it."""
        try:
            body = rule.script
            if rule.script_sha256 is not None:
                body = self.staged(rule.user, rule.script_sha256)
            return submit_request.read_script(body or b"")
        except Problem as exc:
            if exc.kind == "script-not-found":
                raise DeadLetterError(
                    f"The script of the rule {rule.name} is missing: {rule.user} has staged none with the SHA-256 "
                    f"{rule.script_sha256}, or it was forgotten since. Stage it with POST /scripts."
                ) from exc
            raise DeadLetterError(f"The script of the rule {rule.name} is not valid: {exc.detail}") from exc

    def keep(self, rule: InboxRule, script: Script) -> str:
        """Keep a rule's script with its user's others; return its SHA-256."""
        return rule.script_sha256 or self._stage(rule.user, script.text.encode())

    def translate(self, rule: InboxRule, script: Script, of: Input) -> Callable[[tuple[str, ...]], Translation]:
        """Return what gives the job in the best of some API versions; it raises DeadLetterError if none carries it."""

        @lru_cache(maxsize=2)
        def translated(versions: tuple[str, ...]) -> Translation:
            submission = sbatch.Submission(
                working_directory=self._working_directory.replace("{user}", rule.user), cluster=self._cluster
            )
            options = (*rule.options, ("hold", True))
            try:
                translation = sbatch.translate(script, options, submission, api_versions_of_cluster=versions)
            except sbatch.SubmissionRefusedError as exc:
                raise DeadLetterError(f"sbatch would not submit the job of the rule {rule.name}: {exc}.") from exc
            # Last, so that no --export of the script's takes them away.
            more = [f"{name}={value}" for name, value in (dict(rule.environment) | of.environment()).items()]
            jobs = tuple({**job, "environment": [*job["environment"], *more]} for job in translation.jobs)
            return dataclasses.replace(translation, jobs=jobs)

        return translated
