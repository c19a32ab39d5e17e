"""One job's output brought to S3: what it printed, the files that its script named, and a manifest of both.

    output/{user}/{cluster}/{id}-{submitted}/stdout, stderr, files/{name}
    output/{user}/{cluster}/{id}-{submitted}/manifest.json

The manifest is written last: while it is not there, nothing is complete. It says what there is, and of what is missing
why. All of it may be done again at any time, and then replaces what was.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from . import job_user, output_files
from .object_upload import ObjectUpload
from .reading import FileRead, Item, ReadFile, ReadProblem

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from .bandwidth import Bandwidth
    from .files_settings import FilesSettings
    from .job_end import JobEnd
    from .job_user import JobUser
    from .reading import FileReading
    from .slurm_job import SlurmJob, SlurmJobs

_logger = logging.getLogger(__name__)
_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_MOST_PROBLEMS = 200
# No file is meant by these, and none is missed.
_NOWHERE = ("", "/dev/null")


@dataclass(frozen=True)
class Plan:
    """What is to be read of a job, and what can be told without reading."""

    user: JobUser
    items: tuple[Item, ...] = ()
    streams: tuple[str, ...] = ()
    """Of the first items, which stream each is; the others are patterns."""
    problems: tuple[dict[str, Any], ...] = ()
    is_same: bool = False
    """Whether stderr goes where stdout goes."""
    is_known: bool = True
    """Whether Slurm still has the job; without it the plan may name less than the job left."""


@dataclass
class Found:
    """What was found: objects by their name below the job's prefix, and how each file was then."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    states: set[tuple[str, int, int, int]] = field(default_factory=set)
    missing: bool = False


class Collector:
    """Collects. Methods raise SlurmError, ReadingError, ClientError or BotoCoreError: all may be tried again."""

    def __init__(
        self, settings: FilesSettings, slurm: SlurmJobs, reading: FileReading, s3: BaseClient, bandwidth: Bandwidth
    ) -> None:
        self._settings = settings
        self._slurm = slurm
        self._reading = reading
        self._s3 = s3
        self._bandwidth = bandwidth

    def plan(self, end: JobEnd) -> Plan:
        """Return what is to be read of a job; UnknownUserError if nothing can be."""
        user = job_user.find(end.user)
        # Of what never started there is nothing to read, and so nothing to ask Slurm.
        job = self._job(end) if end.has_started else None
        names = output_files.Names(
            end.id,
            job.number if job else int(end.id.partition("_")[0].partition("+")[0]),
            job.name if job else end.name,
            end.user,
            job.batch_host if job else "",
        )
        directory = (job.working_directory if job else "") or end.working_directory
        problems: list[dict[str, Any]] = []
        items: list[Item] = []
        streams: list[str] = []
        paths = {
            name: output_files.absolute(output_files.expand(path, names), directory)
            for name, path in (
                ("stdout", (job.stdout if job else "") or end.stdout),
                ("stderr", (job.stderr if job else "") or end.stderr),
            )
        }
        is_same = paths["stderr"] in (paths["stdout"], "")
        for stream in ("stdout",) if is_same else ("stdout", "stderr"):
            path = paths[stream]
            if path in _NOWHERE or not end.has_started:
                continue
            if self._is_shared(path):
                items.append(Item(path=path, limit=self._settings.output_bytes))
                streams.append(stream)
            else:
                problems.append({"path": path, "problem": "not-shared"})
        if end.has_started:
            self._plan_files(job, names, directory, items, problems)
        return Plan(user, tuple(items), tuple(streams), tuple(problems), is_same, is_known=job is not None)

    def give_up(self, end: JobEnd, problem: str) -> dict[str, Any]:
        """Write a manifest of nothing, with the reason; return it."""
        found = Found(problems=[{"path": "", "problem": problem}])
        return self._put(end, is_same=False, found=found)

    def collect(self, end: JobEnd, plan: Plan) -> tuple[dict[str, Any], Found]:
        """Bring what a plan names to S3; return the manifest, and how the files were."""
        begin = time.monotonic()
        prefix = prefix_of(end)
        found = Found(problems=list(plan.problems))
        if plan.items:
            self._transfer(prefix, plan, found)
        manifest = self._put(end, is_same=plan.is_same, found=found)
        size = sum(each["size"] for each in found.objects.values())
        _logger.info(
            "output of job %s of %s: %d bytes in %d objects, %d problems, %.2f s after its end, in %.2f s",
            end.id, end.user, size, len(found.objects), len(found.problems), time.time() - end.ended_at,
            time.monotonic() - begin,
        )  # fmt: skip
        return manifest, found

    def _job(self, end: JobEnd) -> SlurmJob | None:
        """Return the job as Slurm has it, None if it has it no longer: then another may have its id."""
        job = self._slurm.find(end.id)
        return job if job and job.is_of(end.user, end.submitted) else None

    def _plan_files(
        self,
        job: SlurmJob | None,
        names: output_files.Names,
        directory: str,
        items: list[Item],
        problems: list[dict[str, Any]],
    ) -> None:
        if job is None:
            problems.append({"path": "", "problem": "script-forgotten"})
            return
        wanted = output_files.wanted(self._slurm.batch_script(job.number), job.extra)
        problems += [{"path": each, "problem": "not-understood"} for each in wanted.misunderstood]
        for pattern in wanted.patterns:
            path = output_files.absolute(output_files.expand(pattern, names), directory)
            if self._is_shared(path):
                items.append(Item(pattern=path, base=directory, limit=self._settings.output_bytes))
            else:
                problems.append({"path": path or pattern, "problem": "not-shared"})

    def _is_shared(self, path: str) -> bool:
        return output_files.is_below(path, self._settings.shared)

    def _transfer(self, prefix: str, plan: Plan, found: Found) -> None:
        upload: ObjectUpload | None = None
        file: ReadFile | None = None
        try:
            for event in self._reading.read(plan.user, plan.items, self._settings.output_bytes):
                if isinstance(event, ReadProblem):
                    self._note(event, plan, found)
                elif isinstance(event, ReadFile):
                    file = event
                    found.states.add(event.state())
                    name, kind = _object_name(event, plan)
                    upload = ObjectUpload(self._s3, self._settings.bucket, prefix + name, kind)
                elif isinstance(event, bytes) and upload is not None:
                    self._bandwidth.use(len(event))
                    upload.write(event)
                elif isinstance(event, FileRead) and upload is not None and file is not None:
                    upload.finish()
                    found.objects[_object_name(file, plan)[0]] = _described(event.size, file)
                    if event.size < file.size:
                        found.problems.append({"path": file.path, "problem": "truncated", "size": file.size})
                    upload = None
        finally:
            if upload is not None:
                upload.abandon()

    def _note(self, event: ReadProblem, plan: Plan, found: Found) -> None:
        found.problems.append({"path": event.path, "problem": event.problem})
        found.missing |= event.problem == "missing" and event.item < len(plan.streams)

    def _put(self, end: JobEnd, *, is_same: bool, found: Found) -> dict[str, Any]:
        manifest = _manifest(end, is_same=is_same, found=found)
        self._s3.put_object(
            Bucket=self._settings.bucket,
            Key=f"{prefix_of(end)}manifest.json",
            Body=json.dumps(manifest, separators=(",", ":")).encode(),
            ContentType="application/json",
        )
        return manifest


def _manifest(end: JobEnd, *, is_same: bool, found: Found) -> dict[str, Any]:
    stdout = found.objects.get("stdout")
    files = [
        {"name": name[len("files/") :], **described}
        for name, described in found.objects.items()
        if name.startswith("files/")
    ]
    return {
        "version": 1,
        "cluster": end.cluster,
        "id": end.id,
        "user": end.user,
        "submitted": end.submitted,
        "ended_at": end.ended_at,
        "collected_at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "stdout": stdout,
        "stderr": stdout if is_same else found.objects.get("stderr"),
        "one_stream": is_same,
        "files": files,
        "problems": found.problems[:_MOST_PROBLEMS],
        "more_problems": max(len(found.problems) - _MOST_PROBLEMS, 0),
    }


def prefix_of(end: JobEnd) -> str:
    """Return what all keys of a job's output begin with. The jobs function makes the same of the job's record."""
    return f"output/{end.user}/{end.cluster}/{end.id}-{end.submitted}/"


def _object_name(file: ReadFile, plan: Plan) -> tuple[str, str]:
    if file.item < len(plan.streams):
        return plan.streams[file.item], _TEXT
    return f"files/{file.name}", _BYTES


def _described(size: int, file: ReadFile) -> dict[str, Any]:
    return {"size": size, "truncated": True} if size < file.size else {"size": size}
