"""Slurm's errors as HTTP answers: which status, and whether the request may have been carried out.

slurmrestd answers most refusals with 500, whatever their cause, so the status comes from Slurm's error number,
and the number and Slurm's words go along. Numbers and words: slurm_errno.h of Slurm 24.05 to 26.05.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping


class SlurmProblem(Problem):
    """A request to Slurm that did not succeed."""


class SlurmRefused(SlurmProblem):
    """Slurm said no. Nothing was done. `number` is Slurm's error number."""

    def __init__(self, error: SlurmError, kind: Kind) -> None:
        super().__init__(
            kind.status,
            kind.word,
            title=kind.title,
            detail=f"Slurm said: {error.sentence()}. {kind.advice}",
            retry_after=kind.retry_after,
            members={"slurm": error.document()},
        )
        self.number = error.number


class SlurmUnreachable(SlurmProblem):
    """The request did not reach slurmctld. Nothing was done."""


class SlurmOutcomeUnknown(SlurmProblem):
    """The request may have reached slurmctld. What it asked for may be done already, or still be done."""


@dataclass(frozen=True, slots=True)
class SlurmError:
    """One of the errors in an answer of slurmrestd: Slurm's number, its words for it, and what it was about."""

    number: int
    words: str
    description: str = ""
    source: str = ""

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> SlurmError:
        """Take an item of an answer's `errors`; members that are missing count as empty."""
        number = item.get("error_number", item.get("error_code", 0))
        return cls(
            number=number if isinstance(number, int) else 0,
            words=str(item.get("error") or ""),
            description=str(item.get("description") or ""),
            source=str(item.get("source") or ""),
        )

    def sentence(self) -> str:
        """Return Slurm's words for a reader."""
        words = [text for text in (self.description, self.words) if text]
        text = ": ".join(dict.fromkeys(words)) or "nothing about the reason"
        return f"{text.rstrip('.')} (error {self.number})"

    def document(self) -> dict[str, Any]:
        """Return the error as it stands in a problem document."""
        return {"error_number": self.number, "error": self.words, "description": self.description}


@dataclass(frozen=True, slots=True)
class Kind:
    """How an error of Slurm's is answered."""

    status: int
    word: str
    title: str
    advice: str
    retry_after: int | None = None


_TOKEN = Kind(401, "slurm-token-refused", "Slurm refuses the token", "Get a new token and send the request again.")
_FORBIDDEN = Kind(
    403, "slurm-not-permitted", "Not permitted", "Ask for what your user may do, or ask the cluster's operator."
)
_NO_JOB = Kind(404, "job-not-found", "No such job", "Look at GET /jobs for your jobs; other users' are not shown.")
_CONFLICT = Kind(
    409, "job-state-conflict", "Not in this state", "Look at the job's state, with GET /jobs/{id}, and decide again."
)
_LIMIT = Kind(
    409,
    "slurm-limit",
    "Over a limit",
    "It passes when running jobs end or less is asked for; `sacctmgr show qos,assoc` on the cluster shows the limits.",
)
_INVALID = Kind(422, "slurm-refused", "Slurm does not accept this", "Change the request: as it is it will not pass.")
_RATE = Kind(429, "slurm-rate-limit", "Too many requests for Slurm", "Send the request again later.", 2)
_BUSY = Kind(503, "slurm-busy", "Slurm is busy", "Nothing was done. Send the request again in a moment.", 5)
_FULL = Kind(
    503,
    "slurm-takes-no-jobs",
    "Slurm takes no more jobs now",
    "Nothing was done. The cluster holds as many jobs as it may (MaxJobCount), or is short of something for a moment. "
    "Send the request again later.",
    30,
)
_DOWN = Kind(
    503, "slurm-down", "Slurm's controller does not answer", "Nothing was done. Send the request again later.", 10
)

# 2000 to 2199 is what slurmctld says of requests: what is not listed here is a fault of the request.
_KINDS: dict[int, Kind] = {
    **dict.fromkeys((1007, 6000, 6001, 6007, 6008), _TOKEN),
    **dict.fromkeys((2002, 2003, 2010, 2052, 2092, 2098), _FORBIDDEN),
    **dict.fromkeys((2017,), _NO_JOB),
    **dict.fromkeys(
        (2020, 2021, 2024, 2042, 2073, 2077, 2083, 2084, 2085, 2086, 2087, 2088, 2096, 2107, 2108, 2172), _CONFLICT
    ),
    **dict.fromkeys((2050, 2074, 2093), _LIMIT),
    **dict.fromkeys((1804, 1805), _RATE),
    **dict.fromkeys((2007,), _FULL),
    **dict.fromkeys((2019, 2037, 2105), _BUSY),
    **dict.fromkeys((1001, 1800, 2027, 2131), _DOWN),
}
_REQUEST_FAULTS = (range(2000, 2200), range(8000, 8002), range(9000, 10000))
# The kernel's numbers: EPERM and EACCES as of old, EINVAL, ESRCH for a job that is gone; and EAGAIN where slurmctld has
# no room for a job, after which sbatch too sends it again.
_SYSTEM: dict[int, Kind] = {1: _FORBIDDEN, 3: _NO_JOB, 11: _FULL, 13: _FORBIDDEN, 22: _INVALID}
# Older slurmctlds answer with numbers that their slurmrestd does not pass on.
_WORDS = {
    "operation not permitted": _FORBIDDEN,
    "access/permission denied": _FORBIDDEN,
    "invalid job id specified": _NO_JOB,
}


def kind_of(error: SlurmError, http_status: int) -> Kind | None:
    """Return how an error is answered, or None where it does not tell that nothing was done.

    `http_status` is slurmrestd's own; it decides only where Slurm's number says nothing.
    """
    if known := _KINDS.get(error.number) or _SYSTEM.get(error.number) or _WORDS.get(error.words.lower()):
        return known
    if any(error.number in numbers for numbers in _REQUEST_FAULTS):
        return _INVALID
    # slurmrestd refuses such requests by itself, before slurmctld hears of them.
    if http_status == 401:
        return _TOKEN
    if http_status in {400, 405, 406, 411, 413, 414, 415, 422}:
        return _INVALID
    return None
