"""GET /jobs and GET /jobs/{id}: the list from the table, one job from Slurm first and from the table after that."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from . import forgotten_tasks
from . import job as jobs
from . import job_id as ids
from . import marker as markers
from .errors import UnavailableError
from .job_table import LONGEST_PAGE, Beside, Filters, of_another, with_links
from .problem import Problem
from .router import json_response
from .slurm_errors import SlurmProblem
from .slurm_jobs import no_such_job
from .users import is_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from .caller import Caller
    from .job import Job
    from .job_id import JobId
    from .job_table import JobTable, Kept
    from .router import Request, Response
    from .slurm_jobs import SlurmJobs

_PAGE = 100
_LONGEST = 256
_PARAMETERS = ("state", "partition", "name", "since", "limit", "cursor", "user")
_STATE = re.compile(r"[A-Za-z_]{2,30}")


@dataclass(frozen=True, slots=True)
class Located:
    """A job, and its key beside the id (Unix seconds)."""

    job: Job
    submitted: int


class JobReads:
    """Answers the reads. `now` gives Unix seconds."""

    def __init__(
        self, slurm: SlurmJobs, table: JobTable, cluster: str, *, now: Callable[[], float] = time.time
    ) -> None:
        self._slurm = slurm
        self._table = table
        self._cluster = cluster
        self._now = now

    def one(self, request: Request) -> Response:
        """Answer GET /jobs/{id}."""
        _no_parameters(request)
        job = self.find(request.caller, ids.parse(request.path_parameter("id")), request.line)
        return self.response(request, job)

    def page(self, request: Request) -> Response:
        """Answer GET /jobs."""
        given = _single(request)
        limit = _limit(given.get("limit"))
        filters = Filters(
            state=_state(given.get("state")),
            partition=given.get("partition", ""),
            name=given.get("name", ""),
            since=_since(given.get("since")),
        )
        request.caller.require_unexpired(self._now())
        user = _whose(request, given.get("user"))
        page = self._table.page(user, filters, limit=limit, cursor=given.get("cursor", ""))
        request.line["jobs"] = len(page.jobs)
        found = page.jobs if user == request.caller.user else [of_another(job) for job in page.jobs]
        return json_response(200, {"jobs": found, "next": page.next})

    def find(self, caller: Caller, job_id: JobId, line: dict[str, Any] | None = None, *, ended: str = "") -> Job:
        """Return a job as it is answered: from Slurm if Slurm knows it, else from its record.

        `ended` is the state of a job that Slurm forgets at once when it ends, where the caller knows how it ended.

        Only its owner, or who sees everyone's jobs, gets it from the record, and only before the token expires. Problem
        404 if it is nowhere, SlurmProblem if Slurm does not answer and there is no record that is final.
        """
        return self.locate(caller, job_id, line, ended=ended).job

    def locate(self, caller: Caller, job_id: JobId, line: dict[str, Any] | None = None, *, ended: str = "") -> Located:
        """Return what `find` does, with the key of the job's record."""
        seen_at = int(self._now() * 1000)
        try:
            records = self._slurm.records(caller, job_id)
        except SlurmProblem as exc:
            if exc.status < 500:
                raise
            return self._final_record(caller, job_id, exc)
        job = jobs.read(records, job_id, self._cluster)
        if job is not None:
            return self._refreshed(caller, job, records, seen_at, line)
        caller.require_unexpired(self._now())
        kept = self._kept(caller, job_id)
        if kept is None:
            raise no_such_job(job_id)
        job = kept.job
        if job["user"] != caller.user:
            # Slurm need not show it to the caller at all, so that its silence says nothing: the record is the news.
            return Located(of_another(job), kept.submitted)
        if not jobs.is_final(job):
            # It ended since it was last read: a task of an array that is cancelled before its start leaves no trace.
            reason = None if ended else "SlurmForgotIt"
            job = job | {"state": ended or "UNKNOWN", "state_flags": [], "state_reason": reason, "held": False}
            if ended:
                self._table.refresh(job, seen_at=seen_at, submitted=kept.submitted)
        return Located(with_links(job, kept.beside), kept.submitted)

    def own_ended(self, caller: Caller, job_id: JobId) -> Job | None:
        """Return the caller's own job from its record, as it is answered, None if that does not tell its end."""
        caller.require_unexpired(self._now())
        kept = self._table.read(str(job_id), caller.user)
        return with_links(kept.job, kept.beside) if kept is not None and jobs.is_final(kept.job) else None

    def response(self, request: Request, job: Job) -> Response:
        """Return the answer that a job makes: 304 if the caller has it already."""
        response = json_response(200, job)
        etag = '"' + sha256(response["body"].encode()).hexdigest()[:32] + '"'
        headers = {"etag": etag, "cache-control": "private, no-cache"}
        if (pause := self.pause(job)) is not None:
            headers["retry-after"] = str(pause)
        known = [tag.strip().removeprefix("W/") for tag in request.headers().get("if-none-match", "").split(",")]
        if etag in known or "*" in known:
            return {"statusCode": 304, "headers": headers, "body": ""}
        return {**response, "headers": {**response["headers"], **headers}}

    def _refreshed(
        self, caller: Caller, job: Job, records: list[dict[str, Any]], seen_at: int, line: dict[str, Any] | None
    ) -> Located:
        marker = markers.find(str(records[0].get("extra") or ""))
        script, submitted = (marker.script, marker.submitted) if marker else ("", 0)
        if marker is None and job["restarts"]:
            submitted = self._first_submit(job)
        submitted = submitted or jobs.unix(job["submit_time"])
        try:
            job, beside = self._completed(job, submitted)
            if beside is None:
                beside = self._table.refresh(job, seen_at=seen_at, submitted=submitted, script=script)
        except UnavailableError as exc:
            if job["tasks"] is not None and jobs.is_final(job):
                # Without its record nobody knows whether Slurm has told of all its tasks.
                raise
            # Slurm has answered; that its answer is not kept is no reason to withhold it.
            if line is not None:
                line["not_kept"] = str(exc)
            beside = Beside()
        # Whoever may see other users' jobs, by Slurm's leave, is shown them.
        own = job["user"] == caller.user
        answer = with_links(job, replace(beside, script=beside.script or script)) if own else of_another(job)
        return Located(answer, submitted)

    def _completed(self, job: Job, submitted: int) -> tuple[Job, Beside | None]:
        """Return a job that Slurm told of, completed by its record; and what stands beside that if it is to be kept."""
        if job["tasks"] is None:
            return job, None
        kept = self._table.read(job["id"], job["user"])
        if kept is None or kept.submitted != submitted:
            return job, None
        job, is_news = forgotten_tasks.completed(job, kept.job)
        return job, None if is_news else kept.beside

    def _first_submit(self, job: Job) -> int:
        """Return the key beside its id of a job that was requeued: its submit time before that, 0 if not known."""
        try:
            kept = self._table.read(job["id"], job["user"])
        except UnavailableError:
            return 0
        same = ("name", "working_directory")
        is_it = kept is not None and kept.submitted <= jobs.unix(job["submit_time"])
        return kept.submitted if kept and is_it and all(kept.job[name] == job[name] for name in same) else 0

    def _final_record(self, caller: Caller, job_id: JobId, problem: SlurmProblem) -> Located:
        caller.require_unexpired(self._now())
        kept = self._kept(caller, job_id)
        if kept is None or not jobs.is_final(kept.job):
            raise problem
        own = kept.job["user"] == caller.user
        return Located(with_links(kept.job, kept.beside) if own else of_another(kept.job), kept.submitted)

    def _kept(self, caller: Caller, job_id: JobId) -> Kept | None:
        return self._table.read(str(job_id), None if caller.sees_everyones_jobs else caller.user)

    def pause(self, job: Job) -> int | None:
        """Return after how many seconds it is polite to ask again: a tenth of its age; None if nothing will change.

        Of jobs that run there are only as many as the cluster has room for, and who waits wants to know of their end.
        """
        if jobs.is_final(job):
            return None
        since = job["start_time"] or job["submit_time"]
        age = self._now() - jobs.unix(since) if since else 0
        return int(min(max(age / 10, 2), 8 if job["state"] == "RUNNING" else 60))


def _no_parameters(request: Request) -> None:
    for name, _ in request.query():
        raise not_valid(f"there is no parameter {name!r} here")


def _single(request: Request) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in request.query():
        if name not in _PARAMETERS:
            raise not_valid(f"there is no parameter {name!r}; there are {', '.join(_PARAMETERS)}")
        if name in given:
            raise not_valid(f"{name} is given twice")
        if len(value) > _LONGEST:
            raise not_valid(f"{name} is longer than {_LONGEST} characters")
        given[name] = value
    return given


def _whose(request: Request, user: str | None) -> str:
    """Return the user whose list is asked for; Problem if the caller may not see it."""
    own = request.caller.user
    if user is None or user == own:
        return own
    if not is_name(user):
        raise not_valid("user should be the name of a user")
    if not request.caller.sees_everyones_jobs:
        raise Problem(
            403,
            "jobs-of-another",
            title="Another user's jobs",
            detail=f"{own} may see their own jobs only. For those of {user} a token is needed from a rule of the "
            "access document that says `sees_everyones_jobs: true`.",
        )
    request.line["whose"] = user
    return user


def _limit(text: str | None) -> int:
    if text is None:
        return _PAGE
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= LONGEST_PAGE):
        raise not_valid(f"limit should be a number from 1 to {LONGEST_PAGE}")
    return int(text)


def _state(text: str | None) -> str:
    if text is None:
        return ""
    if not _STATE.fullmatch(text):
        raise not_valid("state should be one of Slurm's job states, such as PENDING, RUNNING or COMPLETED")
    return text.upper()


def _since(text: str | None) -> int:
    if text is None:
        return 0
    try:
        seconds = datetime.fromisoformat(text)
    except ValueError as exc:
        raise not_valid("since should be a time such as 2025-11-21T07:30:00Z") from exc
    if seconds.tzinfo is None:
        raise not_valid("since should name its time zone, as in 2025-11-21T07:30:00Z")
    return max(0, int(seconds.timestamp()))


def not_valid(what: str) -> Problem:
    """Return the 422 for a query or body that asks for what does not exist."""
    return Problem(422, "request-not-valid", title="Request is not valid", detail=f"{what[0].upper()}{what[1:]}.")
