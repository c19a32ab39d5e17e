"""DELETE and PATCH /jobs/{id}: cancel or signal a job; hold, release or requeue it, or change its time limit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from . import job_id as ids
from . import json_body
from .errors import UnavailableError
from .job_reads import not_valid
from .problem import Problem
from .router import json_response
from .slurm_jobs import no_such_job

if TYPE_CHECKING:
    from .job import Job
    from .job_id import JobId
    from .job_reads import JobReads
    from .router import Request, Response
    from .slurm_jobs import SlurmJobs

_LONGEST_LIMIT = 0xFFFFFFFD  # minutes, in 32 bits, less Slurm's own signs
_FIELDS = ("hold", "requeue", "time_limit")
# scancel's names; slurmrestd takes a name it does not know for "cancel".
_SIGNALS = (
    "ABRT", "ALRM", "BUS", "CHLD", "CONT", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "PROF", "QUIT", "SEGV", "STOP",
    "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "XCPU", "XFSZ",
)  # fmt: skip
_NUMBER = re.compile(r"[1-9][0-9]?")


class JobChanges:
    """Answers the changes; `reads` gives the job as it is afterwards."""

    def __init__(self, slurm: SlurmJobs, reads: JobReads) -> None:
        self._slurm = slurm
        self._reads = reads

    def cancel(self, request: Request) -> Response:
        """Answer DELETE /jobs/{id}."""
        job_id = ids.parse(request.path_parameter("id"))
        signal = _signal(request)
        if not self._slurm.records(request.caller, job_id):
            job = self._forgotten(request, job_id)
            if signal:
                raise _over(job)
            return json_response(202, job)
        self._slurm.cancel(request.caller, job_id, signal)
        return self._afterwards(request, job_id, ended="" if signal else "CANCELLED")

    def change(self, request: Request) -> Response:
        """Answer PATCH /jobs/{id}."""
        job_id = ids.parse(request.path_parameter("id"))
        for name, _ in request.query():
            raise not_valid(f"there is no parameter {name!r} here")
        change, requeue = _change(request.body())
        records = self._slurm.records(request.caller, job_id)
        if not records:
            raise _over(self._forgotten(request, job_id))
        if change:
            self._slurm.update(request.caller, job_id, change, records)
        if requeue:
            self._slurm.requeue(request.caller, job_id)
        return self._afterwards(request, job_id)

    def _forgotten(self, request: Request, job_id: JobId) -> Job:
        """Return the caller's own job that is over, and that Slurm does not know any more.

        Problem: the same 404 for a job that there is not and for one that the caller may not see. Slurm refuses to
        change either in words of its own, which would tell whether somebody has such a job.
        """
        job = self._reads.own_ended(request.caller, job_id)
        if job is None:
            raise no_such_job(job_id)
        return job

    def _afterwards(self, request: Request, job_id: JobId, *, ended: str = "") -> Response:
        """Return the job as it is now: 202, since what was asked for may still be on its way to the nodes."""
        try:
            job = self._reads.find(request.caller, job_id, request.line, ended=ended)
        except (Problem, UnavailableError) as exc:
            # It is done; that it cannot be shown is no failure of it.
            request.line["not_shown"] = str(exc)
            return json_response(202, None)
        return json_response(202, job)


def _over(job: Job) -> Problem:
    return Problem(
        409,
        "job-ended",
        title="The job has ended",
        detail=f"Job {job['id']} is over ({job['state']}), and Slurm has forgotten it: nothing of it can be changed.",
    )


def _signal(request: Request) -> str:
    signal = ""
    for name, value in request.query():
        if name != "signal":
            raise not_valid(f"there is no parameter {name!r}; there is signal")
        if signal:
            raise not_valid("signal is given twice")
        word = value.upper().removeprefix("SIG")
        if word not in _SIGNALS and not (_NUMBER.fullmatch(word) and int(word) <= 64):
            raise not_valid("signal should be a name such as USR1 or TERM, or a number from 1 to 64")
        signal = word
    return signal


def _change(body: bytes) -> tuple[dict[str, Any], bool]:
    """Return a PATCH's body in the words of a job description, and whether to requeue the job."""
    asked = json_body.read(body, advice='Send JSON such as {"hold": true} or {"time_limit": 3600}.')
    if not isinstance(asked, dict) or not asked:
        raise not_valid('the body should be a JSON object such as {"hold": true} or {"time_limit": 3600}')
    change: dict[str, Any] = {}
    requeue = False
    for name, value in asked.items():
        if name == "hold" and isinstance(value, bool):
            change["hold"] = value
        elif name == "time_limit" and _is_limit(value):
            # Slurm counts in minutes, and sbatch rounds up.
            minutes = {"set": False, "infinite": True, "number": 0}
            change["time_limit"] = (
                minutes if value is None else {"set": True, "infinite": False, "number": -(-value // 60)}
            )
        elif name == "requeue" and value is True:
            requeue = True
        else:
            raise not_valid(_should_be(name))
    return change, requeue


def _is_limit(value: object) -> bool:
    return value is None or (type(value) is int and 1 <= value <= _LONGEST_LIMIT * 60)


def _should_be(name: str) -> str:
    return {
        "hold": "hold should be true, to hold the job, or false, to release it",
        "time_limit": "time_limit should be a whole number of seconds, 1 or more, or null for no limit",
        "requeue": "requeue should be true",
    }.get(name, f"there is no field {name!r}; there are {', '.join(_FIELDS)}")
