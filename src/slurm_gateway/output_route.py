"""GET /jobs/{id}/output: what a job prints, by offset while it runs, and by a presigned URL once it has ended."""

from __future__ import annotations

import logging
import re
import time
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from . import job as jobs
from . import job_id as ids
from .head_node_orders import WatchOrder
from .job import rfc3339
from .job_output import OutputPlace
from .job_reads import not_valid
from .problem import Problem
from .router import json_response
from .slurm_errors import SlurmProblem
from .slurm_jobs import no_such_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from .caller import Caller
    from .head_node_orders import HeadNodeOrders
    from .job import Job
    from .job_id import JobId
    from .job_output import JobOutputs, LiveState
    from .job_reads import JobReads
    from .router import Request, Response

_logger = logging.getLogger(__name__)

URL_SECONDS = 300
LONGEST_PART = 1024 * 1024
"""The most bytes in one answer."""

_STREAMS = ("stdout", "stderr")
_PARAMETERS = ("stream", "offset", "file", "list")
_OFFSET = re.compile(r"[0-9]{1,15}", re.ASCII)
_LONGEST_NAME = 1024
_PACE = 0.4
# Seconds after which what the head node saw of a file is old. It looks every 2 s.
_FRESH = 8.0
# It is asked again when it would stop looking within so many seconds.
_RENEW = 30.0
_LONGEST_WAIT = 9.0
_ASKED_AGAIN = 3.0
# It answers in half a second. After so many, does the job still run? Of one that does not it tells nothing.
_DOUBTED = 1.0
_SOON = 2
# So long after its end a job's output is still on its way; later there is none.
_COLLECTING = 15 * 60.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request asks for: a stream, from an offset on where it says so; or a file; or what there is."""

    stream: str
    offset: int | None
    file: str
    is_list: bool


class _EndedError(Exception):
    """A job ended while the head node was asked what it prints; `job` is how."""

    def __init__(self, job: Job) -> None:
        super().__init__(job["id"])
        self.job = job


class OutputRoute:
    """Answers for output. `clock` gives Unix seconds, `wait` waits for some."""

    def __init__(
        self,
        reads: JobReads,
        outputs: JobOutputs,
        orders: HeadNodeOrders,
        cluster: str,
        *,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reads = reads
        self._outputs = outputs
        self._orders = orders
        self._cluster = cluster
        self._clock = clock
        self._wait = wait

    def read(self, request: Request) -> Response:
        """Answer GET /jobs/{id}/output."""
        asked = _asked(request)
        caller = request.caller
        wanted = ids.parse(request.path_parameter("id"))
        located = self._reads.locate(caller, wanted, request.line)
        job = located.job
        # Who may see others' jobs, by Slurm's leave, does not thereby read what they print.
        if job["user"] != caller.user:
            raise no_such_job(wanted)
        caller.require_unexpired(self._clock())
        if job["tasks"] is not None:
            raise _problem(
                404, "output-of-each-task", "Each task has its own output",
                f"Job {job['id']} is an array. Ask for a task's output, for example /jobs/{wanted.job}_1/output.",
            )  # fmt: skip
        # Of a heterogeneous job the first component runs the script.
        job_id = job["components"][0] if job["components"] else job["id"]
        place = OutputPlace(caller.user, self._cluster, job_id, located.submitted)
        if jobs.is_final(job):
            return self._collected(caller, job, place, asked)
        if asked.file or asked.is_list:
            raise _problem(
                409, "job-not-ended", "The job has not ended",
                "Files are collected when the job has ended. Until then read what it prints, without file and list.",
                retry_after=self._reads.pause(job),
            )  # fmt: skip
        try:
            return self._live(job, place, asked, partial(self._ended, caller, wanted))
        except _EndedError as exc:
            return self._collected(caller, exc.job, place, asked)

    # ---- ended -----------------------------------------------------------------------------------------------------

    def _collected(self, caller: Caller, job: Job, place: OutputPlace, asked: _Asked) -> Response:
        manifest = self._outputs.manifest(place)
        if manifest is None or (job["end_time"] and manifest["ended_at"] < jobs.unix(job["end_time"]) - 1):
            # Of a job that was requeued there may be an earlier run's.
            raise self._not_there(job)
        if asked.is_list:
            return json_response(200, _listed(job, manifest))
        name, described = _chosen(manifest, asked)
        if described is None:
            members = {"problems": manifest["problems"]}
            raise _problem(
                404, "no-such-output", "No such output",
                f"Job {job['id']} left nothing here that was collected. `problems` says what was not, and "
                f"/jobs/{job['id']}/output?list=true what was.", members=members,
            )  # fmt: skip
        if asked.offset is not None:
            return self._part(place, name, described["size"], asked.offset)
        now = self._clock()
        # It may do no more than its owner's token, and not for longer.
        seconds = max(int(min(URL_SECONDS, caller.expires_at - now)), 1)
        url = self._outputs.url(place, name, seconds)
        document = {"url": url, "expires_at": rfc3339(int(now) + seconds), **described}
        return json_response(302, document, {"location": url})

    def _part(self, place: OutputPlace, name: str, size: int, offset: int) -> Response:
        data = b"" if offset >= size else self._outputs.part(place, name, offset, min(LONGEST_PART, size - offset))
        return _bytes(data, offset, is_complete=offset + len(data) >= size)

    def _not_there(self, job: Job) -> Problem:
        if not job["end_time"]:
            return _problem(
                404, "output-not-kept", "No output is kept",
                f"Job {job['id']} was cancelled before its start, or nobody knows when it ended: no output is here.",
            )  # fmt: skip
        if self._clock() - jobs.unix(job["end_time"]) > _COLLECTING:
            return _problem(
                404, "output-not-kept", "No output is kept",
                f"Job {job['id']} ended long ago, and no output of it is here: it was never collected, or is forgotten "
                "by now.",
            )  # fmt: skip
        return _problem(
            503, "output-not-there-yet", "Not there yet",
            f"Job {job['id']} has ended, and its output is on its way. Ask again in a moment.", retry_after=_SOON,
        )  # fmt: skip

    # ---- running ---------------------------------------------------------------------------------------------------

    def _ended(self, caller: Caller, wanted: JobId) -> Job | None:
        """Return the job if it has ended by now."""
        try:
            job = self._reads.locate(caller, wanted).job
        except SlurmProblem as exc:
            # That Slurm does not answer now ends nothing: the head node may still.
            _logger.warning("not known whether a job has ended", extra={"job": str(wanted), "reason": exc.kind})
            return None
        return job if jobs.is_final(job) else None

    def _live(self, job: Job, place: OutputPlace, asked: _Asked, ended: Callable[[], Job | None]) -> Response:
        offset = asked.offset or 0
        if job["state"] == "PENDING":
            return _bytes(b"", offset, is_complete=False, retry_after=self._reads.pause(job))
        state = self._fresh_state(place, asked.stream, offset, ended)
        if state.problem not in {"", "missing"}:
            raise _problem(
                404, "output-not-readable", "Its output cannot be read",
                f"The head node cannot read the file that job {job['id']} prints to: {state.problem}.",
            )  # fmt: skip
        end = min(state.end_of(offset) or offset, offset + LONGEST_PART)
        data = self._outputs.live_part(place, asked.stream, offset, end)
        return _bytes(data, offset, is_complete=False, retry_after=None if data else _SOON)

    def _fresh_state(self, place: OutputPlace, stream: str, offset: int, ended: Callable[[], Job | None]) -> LiveState:
        """Return what the head node saw a moment ago; it is asked to look, and waited for, where it did not.

        Raises _EndedError if the job ends meanwhile.
        """
        asked_at = self._clock()
        state = self._outputs.live_state(place, stream)
        fresh = _is_fresh(state, asked_at, offset)
        order = WatchOrder(place.cluster, place.job_id, place.user, place.submitted, stream, offset)
        doubt_at, ask_again_at = asked_at + _DOUBTED, asked_at + _ASKED_AGAIN
        if not fresh or state is None or state.until - asked_at < _RENEW:
            self._orders.send(order)
        while not fresh or state is None:
            if self._clock() - asked_at > _LONGEST_WAIT:
                raise _problem(
                    503, "head-node-silent", "The head node does not answer",
                    "The head node was asked what the job prints and does not answer. Ask again in a few seconds.",
                    retry_after=5,
                )  # fmt: skip
            if self._clock() > doubt_at:
                doubt_at += 2 * _DOUBTED
                if job := ended():
                    raise _EndedError(job)
            if self._clock() > ask_again_at:
                # A service that was killed takes an order with it that SQS had just handed out, for half a minute.
                ask_again_at += _LONGEST_WAIT
                self._orders.send(order)
            self._wait(_PACE)
            state = self._outputs.live_state(place, stream)
            fresh = _is_fresh(state, self._clock(), offset)
        return state


def _is_fresh(state: LiveState | None, now: float, offset: int) -> bool:
    if state is None or now - state.seen_at > _FRESH:
        return False
    # Whoever asks for more than there is waits for nothing; what is there up to a reader's end may be more by now.
    end = state.end_of(offset)
    return bool(state.problem) or offset >= state.size or (end is not None and end > offset)


def _asked(request: Request) -> _Asked:
    given: dict[str, str] = {}
    for name, value in request.query():
        if name not in _PARAMETERS:
            raise not_valid(f"there is no parameter {name!r}; there are {', '.join(_PARAMETERS)}")
        if name in given:
            raise not_valid(f"{name} is given twice")
        given[name] = value
    stream, file = given.get("stream", "stdout"), given.get("file", "")
    if stream not in _STREAMS:
        raise not_valid("stream should be stdout or stderr")
    if given.get("list", "true") != "true":
        raise not_valid("list should be true")
    if "offset" in given and not _OFFSET.fullmatch(given["offset"]):
        raise not_valid("offset should be a number of bytes")
    if len(file) > _LONGEST_NAME or ("file" in given and not file):
        raise not_valid(f"file should be a collected file's name, of at most {_LONGEST_NAME} characters")
    alone = [name for name in ("stream", "file", "list") if name in given]
    if len(alone) > 1:
        raise not_valid(f"{' and '.join(alone)} do not go together")
    return _Asked(stream, int(given["offset"]) if "offset" in given else None, file, "list" in given)


def _chosen(manifest: dict[str, Any], asked: _Asked) -> tuple[str, dict[str, Any] | None]:
    """Return the name of the object that is asked for, and what is told of it, None if there is none."""
    if asked.file:
        found = next((each for each in manifest["files"] if each["name"] == asked.file), None)
        return f"files/{asked.file}", found
    stream = "stdout" if manifest["one_stream"] else asked.stream
    return stream, manifest[stream]


def _listed(job: Job, manifest: dict[str, Any]) -> dict[str, Any]:
    path = f"/jobs/{job['id']}/output"
    return {
        "id": job["id"],
        "collected_at": manifest["collected_at"],
        "stdout": manifest["stdout"] and {**manifest["stdout"], "link": path},
        "stderr": manifest["stderr"] and {**manifest["stderr"], "link": f"{path}?stream=stderr"},
        "files": [
            {**each, "link": f"{path}?file={quote(each['name'], safe='/')}"} for each in manifest["files"]
        ],
        "problems": manifest["problems"],
        "more_problems": manifest["more_problems"],
    }  # fmt: skip


def _bytes(data: bytes, offset: int, *, is_complete: bool, retry_after: int | None = None) -> Response:
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "output-next-offset": str(offset + len(data)),
        "output-complete": "true" if is_complete else "false",
    }
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return {"statusCode": 200, "headers": headers, "body": b64encode(data).decode(), "isBase64Encoded": True}


def _problem(
    status: int,
    kind: str,
    title: str,
    detail: str,
    *,
    retry_after: int | None = None,
    members: dict[str, Any] | None = None,
) -> Problem:
    return Problem(status, kind, title=title, detail=detail, retry_after=retry_after, members=members)
