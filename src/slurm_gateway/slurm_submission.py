"""One submit to Slurm, as submission.py sees it: send it, look for it, tell whether it may be forgotten."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from . import job as jobs
from . import marker as markers
from .api_version import NO_COMMON_VERSION
from .errors import UnavailableError
from .job_id import JobId
from .job_table import Beside, with_links
from .slurm_errors import SlurmProblem, SlurmRefused, SlurmUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .api_version import ApiVersions
    from .caller import Caller
    from .sbatch import Translation
    from .slurmrestd import Slurmrestd, Submitted
    from .submission import Answer, Claim

_logger = logging.getLogger(__name__)

_SUBMIT_TIMEOUT = 10.0
# Slurm answers a look in milliseconds, and in a second where its user has thousands of jobs.
_LOOK_TIMEOUT = 6.0
# Slurm forgets an ended job after MinJobAge: 300 s unless slurm.conf says otherwise, which ParallelCluster's does not.
_REMEMBERS_FOR = 240.0
# MaxJobId unless slurm.conf says otherwise: ids stay below.
_NO_JOBS_ID = 67_043_328
_AROUND = 60  # seconds that clocks may differ by


class SlurmSubmission:
    """A submission.Slurm for one caller and one request.

    `translate` gives what is sent in the best of some API versions. `ends_at` is when this request must have its
    answer; `clock` gives Unix seconds. `recorded` gives the ids of the caller's jobs of which there is a record for a
    submit time (Unix seconds); without it every look is through all jobs of the caller's. `marker` is the one that was
    sent or looked for last.
    """

    def __init__(
        self,
        slurmrestd: Slurmrestd,
        versions: ApiVersions,
        caller: Caller,
        translate: Callable[[tuple[str, ...]], Translation],
        *,
        cluster: str,
        ends_at: float,
        clock: Callable[[], float],
        recorded: Callable[[int], Sequence[str]] | None = None,
    ) -> None:
        self._slurmrestd = slurmrestd
        self._versions = versions
        self._caller = caller
        self._translate = translate
        self._cluster = cluster
        self._ends_at = ends_at
        self._clock = clock
        self._recorded = recorded
        self.marker = ""

    def submit(self, marker: str) -> Answer:
        """Send the job with the marker in its `extra` field."""
        self.marker = marker
        timeout = max(1.0, min(_SUBMIT_TIMEOUT, self._ends_at - self._clock() - 2))

        def send(versions: tuple[str, ...]) -> tuple[Translation, Submitted]:
            translation = self._translate(versions)
            body = marked(translation, marker)
            return translation, self._slurmrestd.submit(
                self._caller, translation.api_version, body, read_timeout=timeout
            )

        translation, submitted = self._versions.using(self._caller, send)
        return self._answer(submitted.job_id, marker, translation, submitted.messages)

    def _answer(self, job_id: int, marker: str, translation: Translation, messages: Sequence[str] = ()) -> Answer:
        told = markers.find(marker)
        job = jobs.submitted(
            job_id,
            user=self._caller.user,
            cluster=self._cluster,
            descriptions=translation.jobs,
            submitted_at=told.submitted if told else int(self._clock()),
        )
        notices = [*translation.notices, *messages]
        return with_links(job, Beside(told.script if told else "")) | {"notices": notices}

    def glimpse(self, marker: str) -> Answer | None:
        """Return the caller's own job with the marker if there is a record of it, and Slurm says that it is the one."""
        told = markers.find(marker)
        if self._recorded is None or told is None:
            return self.find(marker)
        self.marker = marker
        try:
            ids = self._recorded(told.submitted)
        except UnavailableError as exc:
            _logger.warning("records not read", extra={"error": str(exc)})
            return None
        for job_id in ids:
            if answer := self._marked(self._one(job_id), marker):
                return answer
        return None

    def find(self, marker: str) -> Answer | None:
        """Return the caller's own job with the marker. PrivateData=jobs keeps the list to those; else we do."""
        self.marker = marker
        return self._marked(self._all(), marker)

    def _all(self) -> list[dict[str, Any]]:
        def look(versions: tuple[str, ...]) -> list[dict[str, Any]]:
            path = f"/slurm/{versions[0]}/jobs/"
            answer = self._slurmrestd.call(self._caller, "GET", path, read_timeout=_LOOK_TIMEOUT)
            return list(answer.document.get("jobs") or ())

        return self._versions.using(self._caller, look)

    def _one(self, job_id: str) -> list[dict[str, Any]]:
        """Return what Slurm says of a job, nothing where it has none."""

        def look(versions: tuple[str, ...]) -> list[dict[str, Any]]:
            path = f"/slurm/{versions[0]}/job/{job_id}"
            answer = self._slurmrestd.call(self._caller, "GET", path, read_timeout=_LOOK_TIMEOUT)
            return list(answer.document.get("jobs") or ())

        try:
            return self._versions.using(self._caller, look)
        except SlurmRefused as exc:
            if exc.kind != "job-not-found":
                raise
            return []

    def _marked(self, records: list[dict[str, Any]], marker: str) -> Answer | None:
        numbers = {
            number
            for item in records
            if item.get("user_name") == self._caller.user and _has(item, marker)
            if (number := _number_of_whole(item))
        }
        if not numbers:
            return None
        job = jobs.read(records, JobId(min(numbers)), self._cluster)
        told = markers.find(marker)
        return with_links(job, Beside(told.script if told else "")) | {"notices": []} if job else None

    def answers(self) -> None:
        """Ask for a job that cannot be: slurmctld takes the list's locks and says so.

        Not for a list, which the load balancer sends to a slurmrestd of its own: it is the submits' that must answer.
        """

        def ask(versions: tuple[str, ...]) -> None:
            path = f"/slurm/{versions[0]}/job/{_NO_JOBS_ID}"
            self._slurmrestd.call(self._caller, "GET", path, read_timeout=_LOOK_TIMEOUT)

        try:
            self._versions.using(self._caller, ask)
        except SlurmRefused as exc:
            if exc.kind != "job-not-found":
                raise

    def may_have_forgotten(self, claim: Claim) -> bool:
        """Tell whether the job of a claim of the caller's may have come to its end and be gone: accounting tells.

        Also a job that was submitted held may: its user releases it or cancels it, and a deadline ends it.
        """
        if self._clock() - int(claim.sent_after) < _REMEMBERS_FOR:
            return False
        try:
            ended = self._accounts(claim)
            if ended is None:
                return True
            candidates = {
                (int(item["job_id"]), int(item["time"]["submission"]))
                for item in ended
                if _may_have(item, claim.marker)
            }
            if candidates:
                # Of those that are not gone Slurm itself tells that they are others.
                candidates -= {
                    (int(item["job_id"]), _number(item.get("submit_time")))
                    for item in self._all()
                    if not _has(item, claim.marker)
                }
            return bool(candidates)
        except SlurmProblem:
            return True

    def accounted(self, claim: Claim) -> Answer | None:
        """Return the caller's own job with a claim's marker from accounting, as its submit would have been answered.

        None if accounting has none, or there is no accounting; SlurmProblem if it does not answer.
        """
        self.marker = claim.marker
        try:
            ended = self._accounts(claim) or ()
        except SlurmUnreachable as exc:
            if exc.kind != NO_COMMON_VERSION:
                raise
            return None  # slurmrestd has no accounting to speak of.
        numbers = {_number_accounted(item) for item in ended if _has(item, claim.marker)}
        if not numbers:
            return None
        return self._answer(min(numbers), claim.marker, self._versions.using(self._caller, self._translate))

    def _accounts(self, claim: Claim) -> list[dict[str, Any]] | None:
        """Return accounting's records of the jobs that a claim may have made; None if there are no such records."""
        # A frozen slurmctld takes the job when it thaws: at any time while the token is good.
        since, until = int(claim.sent_after), int(min(self._clock(), claim.token_expires_at))

        def look(versions: tuple[str, ...]) -> list[dict[str, Any]] | None:
            query = {
                "users": self._caller.user,
                "start_time": str(since - _AROUND),
                "end_time": str(until + _AROUND),
                # Also jobs that never became eligible to run count, by when they were submitted.
                "usage_time_as_submit_time": "true",
                # Steps would be most of the answer.
                "skip_steps": "true",
            }
            path = f"/slurmdb/{versions[0]}/jobs/"
            answer = self._slurmrestd.call(self._caller, "GET", path, query=query, read_timeout=_LOOK_TIMEOUT)
            if answer.errors:
                return None  # Without accounting there is no such list.
            return list(answer.document["jobs"])

        return self._versions.using(self._caller, look)


def marked(translation: Translation, marker: str) -> dict[str, Any]:
    """Return the body of a submit with the marker in its first job's `extra`, after what the user has there."""
    first, *others = translation.jobs
    first = first | {"extra": f"{first['extra']} {marker}" if first.get("extra") else marker}
    return {"jobs": [first, *others]} if others else {"job": first}


def _has(item: Mapping[str, Any], marker: str) -> bool:
    return marker in str(item.get("extra") or "").split()


def _may_have(item: Mapping[str, Any], marker: str) -> bool:
    """Tell whether a job of accounting's may have been sent with a marker.

    Accounting has `extra` of ended jobs only, and only with AccountingStoreFlags=job_extra: without one it may be any.
    """
    return _has(item, marker) or markers.find(str(item.get("extra") or "")) is None


def _number_of_whole(item: Mapping[str, Any]) -> int:
    """Return the number of the array or heterogeneous job that a record is part of, else its own."""
    for name in ("array_job_id", "het_job_id"):
        if number := _number(item.get(name)):
            return number
    return int(item["job_id"])


def _number_accounted(item: Mapping[str, Any]) -> int:
    """Return what `_number_of_whole` does, of a record of accounting's."""
    whole = ((item.get(part) or {}).get("job_id") for part in ("array", "het"))
    return next((number for part in whole if (number := _number(part))), int(item["job_id"]))


def _number(value: Mapping[str, Any] | int | None) -> int:
    """Return a number of Slurm's, which stands bare or in an object, 0 for none."""
    return int((value if value is None or isinstance(value, int) else value.get("number")) or 0)
