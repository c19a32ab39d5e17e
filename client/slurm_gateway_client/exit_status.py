"""Exit statuses: a job's own with --wait, and those of what a job cannot say itself.

A job's own exit code and 128 + signal come through as they are. What has no code of its own gets one from 240 up,
where hardly a program ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

ERROR = 1
USAGE = 2
CANCELLED = 240
TIMED_OUT = 241
NODE_FAILED = 242
OUT_OF_MEMORY = 243
PREEMPTED = 244
UNKNOWN = 245
UNREACHABLE = 246
NOT_AUTHENTICATED = 247
REFUSED = 248

MEANINGS: tuple[tuple[str, str], ...] = (
    ("0", "All is well; with --wait: the job is COMPLETED."),
    ("1 to 127", "With --wait: the job's own exit code. 1 also: it FAILED without one, or an error not listed here."),
    ("2", "The command line or the environment is wrong; nothing was sent. With --wait, a job may end so too."),
    ("129 to 192", "With --wait: 128 + the signal that ended the job. 130 and 143 also: this command was interrupted."),
    (str(CANCELLED), "With --wait: the job was cancelled, before or after its start (CANCELLED, REVOKED)."),
    (str(TIMED_OUT), "With --wait: its time limit or deadline passed (TIMEOUT, DEADLINE)."),
    (str(NODE_FAILED), "With --wait: its node was lost or did not start it (NODE_FAIL, BOOT_FAIL, LAUNCH_FAILED)."),
    (str(OUT_OF_MEMORY), "With --wait: it used more memory than it had (OUT_OF_MEMORY)."),
    (str(PREEMPTED), "With --wait: another job took its place (PREEMPTED)."),
    (str(UNKNOWN), "With --wait: nobody learned how it ended (UNKNOWN), or it is in no record any more."),
    (str(UNREACHABLE), "The gateway, or Slurm behind it, did not answer for as long as --patience says."),
    (str(NOT_AUTHENTICATED), "There is no token, or the gateway takes none that can be had."),
    (str(REFUSED), "The gateway or Slurm refused: the script, an option, the right to it, or any more jobs now."),
)
"""Each status and its meaning, for the help and the documentation."""

_OF_STATE = {
    "CANCELLED": CANCELLED,
    "REVOKED": CANCELLED,
    "TIMEOUT": TIMED_OUT,
    "DEADLINE": TIMED_OUT,
    "NODE_FAIL": NODE_FAILED,
    "BOOT_FAIL": NODE_FAILED,
    "LAUNCH_FAILED": NODE_FAILED,
    "OUT_OF_MEMORY": OUT_OF_MEMORY,
    "PREEMPTED": PREEMPTED,
    "UNKNOWN": UNKNOWN,
}


def of_job(job: Mapping[str, Any]) -> int:
    """Return the exit status of a job that ended; 0 for a COMPLETED one only.

    Of an array it is that of its state, the worst of its tasks' ends; where that is FAILED, the greatest among their
    exit codes and 128 + signal, as sbatch --wait has it.
    """
    if job["state"] in _OF_STATE:
        return _OF_STATE[job["state"]]
    code, signal = job["exit_code"] or 0, job["signal"]
    status = max(code, 128 + signal if signal else 0)
    if job["state"] == "COMPLETED":
        return int(status)
    return int(status) or ERROR


def of_jobs(jobs: list[Mapping[str, Any]]) -> int:
    """Return the greatest of several jobs' statuses."""
    return max((of_job(job) for job in jobs), default=0)


def of_error(error: errors.ClientError) -> int:
    """Return the exit status of a command that ended by an error."""
    match error:
        case errors.SettingsError():
            return USAGE
        case errors.AuthenticationError():
            return NOT_AUTHENTICATED
        case errors.UnreachableError():
            return UNREACHABLE
        case errors.RefusedError():
            return REFUSED
        case errors.InterruptedWaitError():
            return 128 + error.signal
        case _:
            return ERROR
