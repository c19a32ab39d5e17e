"""POST /jobs: a batch script becomes a job, once."""

from __future__ import annotations

import logging
import time
import uuid
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from . import collect, idempotency, metrics, sbatch, submit_request
from . import marker as markers
from .errors import UnavailableError
from .job import unix
from .problem import Problem
from .router import json_response
from .slurm_errors import SlurmOutcomeUnknown
from .slurm_submission import SlurmSubmission
from .submission import Claim, Submission

if TYPE_CHECKING:
    from collections.abc import Callable

    from .api_version import ApiVersions
    from .caller import Caller
    from .idempotency import IdempotencyTable
    from .job_table import JobTable
    from .router import Request, Response
    from .sbatch import Script, Translation
    from .scripts import Scripts
    from .slurmrestd import Slurmrestd
    from .submission import Answer
    from .submit_request import SubmitRequest

_logger = logging.getLogger(__name__)
_NOT_IN_TABLE = ("script", "output", "links", "notices")


class SubmitRoute:
    """Answers submits. `working_directory` has `{user}` for the user's name; `clock` gives Unix seconds."""

    def __init__(
        self,
        slurmrestd: Slurmrestd,
        versions: ApiVersions,
        scripts: Scripts,
        submissions: IdempotencyTable,
        table: JobTable,
        *,
        cluster: str,
        working_directory: str,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._slurmrestd = slurmrestd
        self._versions = versions
        self._scripts = scripts
        self._submissions = submissions
        self._table = table
        self._cluster = cluster
        self._working_directory = working_directory
        self._clock = clock
        self._wait = wait

    def submit(self, request: Request) -> Response:
        """Answer POST /jobs."""
        caller = request.caller
        caller.require_unexpired(self._clock())
        key = idempotency.key_of(request.headers())
        asked = submit_request.parse(request)
        script = self._script(caller, asked)
        # What is wrong with it is told before anything is kept.
        translate = lru_cache(maxsize=2)(lambda versions: self._translate(caller, asked, script, versions))
        translation = self._checked(caller, translate)
        if asked.dry_run:
            body = {"api_version": translation.api_version, "notices": list(translation.notices), **translation.body()}
            return json_response(200, body)
        digest = asked.script_sha256 or self._scripts.stage(caller.user, translation.jobs[0]["script"].encode())
        slurm = SlurmSubmission(
            self._slurmrestd, self._versions, caller, translate,
            cluster=self._cluster, ends_at=request.ends_at, clock=self._clock,
            recorded=partial(self._table.submitted_at, caller.user),
        )  # fmt: skip
        marker = str(markers.new(int(self._clock()), digest))
        again = False
        if key is None:
            answer = slurm.submit(marker)
            self._keep(answer, marker)
        else:
            answer, again = self._once(request, asked, key, slurm, marker)
        # The marker leads from the job in Slurm to this line, and so to the request.
        request.line.update(job=answer["id"], again=again, marker=marker)
        if not again:
            metrics.emit({"Submits": 1}, request_id=caller.request_id, job=answer["id"], user=caller.user)
        headers = {"location": f"/jobs/{answer['id']}"}
        if again:
            headers["idempotent-replayed"] = "true"
        return json_response(201, answer, headers)

    def _once(
        self, request: Request, asked: SubmitRequest, key: str, slurm: SlurmSubmission, marker: str
    ) -> tuple[Answer, bool]:
        claim = Claim(
            user=request.caller.user,
            key=key,
            request=asked.fingerprint,
            marker=marker,
            sender=uuid.uuid4().hex,
            sent_after=self._clock(),
            sender_until=request.ends_at,
            token_expires_at=request.caller.expires_at,
        )
        return Submission(self._submissions, slurm, self._clock, self._wait).run(claim)

    def _script(self, caller: Caller, asked: SubmitRequest) -> Script | None:
        body = asked.script
        if asked.script_sha256 is not None:
            body = self._scripts.read(caller.user, asked.script_sha256)
        if body is None and any(name == "wrap" for name, _ in asked.options):
            return None
        return submit_request.read_script(body or b"")

    def _checked(self, caller: Caller, translate: Callable[[tuple[str, ...]], Translation]) -> Translation:
        try:
            return self._versions.using(caller, translate)
        except SlurmOutcomeUnknown as exc:
            # It was asked for its API versions, no more.
            raise Problem(
                503, "slurm-unreachable", title="Slurm gives no answer", retry_after=exc.retry_after or 5,
                detail="Slurm gave no answer when it was asked for its API versions. Nothing was sent. Send the "
                "request again in a few seconds.", members=exc.members,
            ) from exc  # fmt: skip

    def _translate(
        self, caller: Caller, asked: SubmitRequest, script: Script | None, versions: tuple[str, ...]
    ) -> Translation:
        submission = sbatch.Submission(
            working_directory=asked.working_directory or self._working_directory.replace("{user}", caller.user),
            environment=asked.environment,
            arguments=asked.arguments,
            script_name=asked.script_name,
            cluster=self._cluster,
        )
        try:
            translation = sbatch.translate(script, asked.options, submission, api_versions_of_cluster=versions)
        except sbatch.SubmissionRefusedError as exc:
            raise submit_request.refused(exc) from exc
        return collect.added(translation, asked.collect)

    def _keep(self, answer: Answer, marker: str) -> None:
        try:
            self._table.refresh(**_record(answer, marker))
        except UnavailableError as exc:
            # The job is there, and the first read of it writes its record.
            _logger.error("record not kept", extra={"error": str(exc), "job": answer["id"]})


def record_beside_answer(table: JobTable) -> Callable[[Claim, Answer], list[list[dict[str, Any]]]]:
    """Return what gives the write of a job's record, to go with its submission's answer.

    Where an event was quicker, the record is newer than the answer and lacks nothing but the script.
    """

    def writes(claim: Claim, answer: Answer) -> list[list[dict[str, Any]]]:
        record = _record(answer, claim.marker)
        first = [{"Update": table.write(**record)}]
        if not record["script"]:
            return [first]
        later = table.write_script(record["job"], submitted=record["submitted"], script=record["script"])
        return [first, [{"Update": later}]]

    return writes


def _record(answer: Answer, marker: str) -> dict[str, Any]:
    """Return what the table takes: what a submit tells is older than whatever a read says."""
    told = markers.find(marker)
    submitted = told.submitted if told else unix(answer["submit_time"])
    return {
        "job": {name: value for name, value in answer.items() if name not in _NOT_IN_TABLE},
        "seen_at": submitted * 1000,
        "submitted": submitted,
        "script": told.script if told else "",
    }
