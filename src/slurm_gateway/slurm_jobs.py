"""A user's live jobs: read, changed and cancelled in Slurm, with the user's own token."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from . import job as jobs
from .problem import Problem
from .slurm_errors import SlurmError, SlurmRefused, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .api_version import ApiVersions
    from .caller import Caller
    from .job_id import JobId
    from .slurmrestd import Slurmrestd

_NO_JOB = 2017
_REQUEUES = ("v0.0.45",)
_OVER = 2021  # "Job/step already completing or completed"

Records = list[dict[str, Any]]
"""What slurmrestd lists of one job: an array's tasks and a heterogeneous job's components are one each."""


class SlurmJobs:
    """One cluster's jobs as Slurm has them now. Every method raises SlurmProblem."""

    def __init__(self, slurmrestd: Slurmrestd, versions: ApiVersions) -> None:
        self._slurmrestd = slurmrestd
        self._versions = versions

    def records(self, caller: Caller, job_id: JobId) -> Records:
        """Return Slurm's records of a job, none if it does not know it or does not show it to this user."""

        def read(versions: tuple[str, ...]) -> Records:
            answer = self._slurmrestd.call(caller, "GET", f"/slurm/{versions[0]}/job/{job_id.in_path()}")
            return list(answer.document.get("jobs") or ())

        try:
            return self._versions.using(caller, read)
        except SlurmRefused as exc:
            if exc.number == _NO_JOB:
                return []
            raise

    def cancel(self, caller: Caller, job_id: JobId, signal: str = "") -> None:
        """Cancel a job, or send it a signal such as "USR1".

        SlurmRefused 404 if there is no such job, 403 if it is another user's, 409 if a signal comes too late. A job
        that is over is cancelled already.
        """

        def send(versions: tuple[str, ...]) -> Mapping[str, Any]:
            path = f"/slurm/{versions[0]}/job/{job_id.in_path()}"
            return self._slurmrestd.call(caller, "DELETE", path, query={"signal": signal} if signal else None).document

        # Without a signal, a part that is over is what was asked for.
        _raise_first_error(self._versions.using(caller, send), but=() if signal else (_OVER,))

    def update(self, caller: Caller, job_id: JobId, change: Mapping[str, Any], records: Records) -> None:
        """Change a job as `scontrol update` does; `change` is in the words of a job description.

        `records` are Slurm's of the job. Of a whole one each is changed that goes on; the first refusal is raised when
        all have been tried, but for those that have ended meanwhile.
        """
        if job_id.is_part:
            # slurmrestd takes numbers only: of 12+1 it would change 12, of 12_3 it refuses to.
            own = jobs.own_number(records, job_id)
            if own is None:
                raise _no_number(job_id)
            changes: list[tuple[int, Mapping[str, Any]]] = [(own, change)]
        else:
            changes = _of_each(records, change) or [(job_id.job, change)]
        refused: list[SlurmRefused] = []
        for target, asked in changes:
            try:
                self._versions.using(caller, partial(self._post, caller, target, asked))
            except SlurmRefused as exc:
                refused.append(exc)
        for refusal in sorted(refused, key=lambda refusal: refusal.number == _OVER):
            if refusal.number != _OVER or len(refused) == len(changes):
                raise refusal

    def _post(self, caller: Caller, target: int, change: Mapping[str, Any], versions: tuple[str, ...]) -> None:
        self._slurmrestd.call(caller, "POST", f"/slurm/{versions[0]}/job/{target}", body=dict(change))

    def requeue(self, caller: Caller, job_id: JobId) -> None:
        """Put a job back into the queue, as `scontrol requeue` does; Problem 422 where no API version can."""

        def send(versions: tuple[str, ...]) -> Mapping[str, Any]:
            version = next((version for version in versions if version in _REQUEUES), None)
            if version is None:
                raise _no_requeue(versions[0])
            path = f"/slurm/{version}/job/{job_id.in_path()}/requeue"
            return self._slurmrestd.call(caller, "GET", path, changes=True).document

        _raise_first_error(self._versions.using(caller, send))


def no_such_job(job_id: JobId) -> Problem:
    """Return the 404 for a job that there is not, or that this user may not see."""
    return Problem(
        404,
        "job-not-found",
        title="No such job",
        detail=f"There is no job {job_id} of yours. GET /jobs lists your jobs.",
    )


def _of_each(records: Records, change: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """Return the numbers of a whole job's records that go on, and what each is sent.

    slurmctld changes one record by its number; to go through those of an array or a heterogeneous job is scontrol's
    work, and here ours. As scontrol does, of a job that waits in part only that part is held.
    """
    states = {int(record["job_id"]): jobs.state_of(record) for record in records}
    rest = {name: value for name, value in change.items() if name != "hold"}
    waits = "PENDING" in states.values()
    asked = {number: change if state == "PENDING" or not waits else rest for number, state in states.items()}
    return [(number, asked[number]) for number, state in states.items() if state in jobs.ACTIVE and asked[number]]


def _no_number(job_id: JobId) -> Problem:
    return Problem(
        409,
        "task-not-started",
        title="The task has no record of its own yet",
        detail=f"slurmrestd cannot change one task of an array before it starts. Change the whole array, {job_id.job}, "
        "or cancel the task.",
    )


def _no_requeue(version: str) -> Problem:
    return Problem(
        422,
        "requeue-not-carried",
        title="Requeue is not carried",
        detail=f"slurmrestd can requeue a job from API version {min(_REQUEUES)} on; this cluster speaks {version}. Run "
        "`scontrol requeue` on the cluster, or cancel the job and submit it again.",
    )


def _raise_first_error(document: Mapping[str, Any], *, but: tuple[int, ...] = ()) -> None:
    """Raise what went wrong for the parts of a job, which an answer of 200 tells in a list; `but` is no error."""
    errors = [SlurmError.read(_error(part)) for part in document.get("status") or ()]
    errors = [error for error in errors if error.number and error.number not in but]
    # That some of an array's tasks are over matters least.
    for error in sorted(errors, key=lambda error: error.number == _OVER):
        kind = kind_of(error, 500)
        if kind is not None:
            raise SlurmRefused(error, kind)
        raise Problem(
            502,
            "slurm-refused",
            title="Slurm did not do it",
            detail=f"Slurm said: {error.sentence()}. Look at the job, and decide again.",
            members={"slurm": error.document()},
        )


def _error(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return what went wrong for a part, told by an object where it was cancelled and by two members elsewhere."""
    error = part.get("error")
    if isinstance(error, dict):
        return {"error_number": error.get("code") or 0, "error": error.get("message") or error.get("string") or ""}
    return {"error_number": part.get("error_code") or 0, "error": error or "", "description": part.get("why") or ""}
