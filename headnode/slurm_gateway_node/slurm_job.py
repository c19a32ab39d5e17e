"""What slurmctld knows of a job, asked by scontrol as root.

As JSON, for in scontrol's text a job's name can pass for another line.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT = 30.0
_MARKER = re.compile(r"slurm-gateway:([0-9]{10}):([0-9a-f]{32}):([0-9a-f]{64})?")
_RUNNING = frozenset({"RUNNING", "SUSPENDED", "COMPLETING", "STOPPED"})
JOB_ID = re.compile(r"[1-9][0-9]{0,9}(?:_[0-9]{1,9}|\+[0-9]{1,5})?", re.ASCII)


class SlurmError(Exception):
    """slurmctld does not answer, or not usably."""


@dataclass(frozen=True)
class SlurmJob:
    """A job that Slurm has in memory.

    `number` is Slurm's own for it. `submitted` is when the gateway submitted it, where the job says so, else Slurm's
    own `submit_time` (Unix seconds), which changes with a requeue. A job has one hold: what its user holds becomes the
    administrator's when he holds it too, and only then `is_held_by_admin`.
    """

    id: str
    number: int
    user: str
    submitted: int
    submit_time: int
    restarts: int
    extra: str
    state: str
    is_held: bool
    is_held_by_admin: bool
    is_running: bool
    working_directory: str
    stdout: str
    stderr: str
    batch_host: str
    name: str

    def is_of(self, user: str, submitted: int) -> bool:
        """Tell whether it is the job of a user's whose record has this key, for an id may be given twice.

        A record keeps the key of the job's first submit.
        """
        requeued = self.restarts > 0 and submitted <= self.submit_time
        return self.user == user and (self.submitted == submitted or requeued)

    def marker(self) -> str:
        """Return the gateway's marker, "" if it has none."""
        found = _marker(self.extra)
        return found[0] if found else ""


class SlurmJobs:
    """Asks slurmctld. `scontrol` is that command's path."""

    def __init__(self, scontrol: str) -> None:
        self._scontrol = scontrol

    def find(self, job_id: str) -> SlurmJob | None:
        """Return a job by its id as people write it (12, 12_3, 12+1), None if Slurm has none; SlurmError."""
        if not JOB_ID.fullmatch(job_id):
            return None
        done = self._run("--json", "show", "job", job_id)
        try:
            # Slurm passes on what users wrote, be it text or not.
            records = json.loads(done.stdout.decode("utf-8", "replace"))["jobs"]
        except (ValueError, KeyError, TypeError) as exc:
            if b"Invalid job id" in done.stderr:
                return None
            raise SlurmError(f"scontrol show job {job_id}: {_words(done)}") from exc
        # A job with an array's id is there as the array, its waiting tasks and its last one.
        jobs = [job for job in map(job_of, records) if job.id == job_id or str(job.number) == job_id]
        if not jobs and done.returncode != 0 and b"Invalid job id" not in done.stderr:
            raise SlurmError(f"scontrol show job {job_id}: {_words(done)}")
        return next((job for job in jobs if job.id == job_id), None)

    def batch_script(self, number: int) -> bytes | None:
        """Return the script of a job by Slurm's own number, None if Slurm has none of it; SlurmError."""
        done = self._run("write", "batch_script", str(number), "-")
        if done.returncode == 0:
            return done.stdout
        if b"connect" in done.stderr.lower() or b"timed out" in done.stderr.lower():
            raise SlurmError(f"scontrol write batch_script {number}: {_words(done)}")
        return None

    def release(self, number: int) -> None:
        """Release a held job; SlurmError."""
        done = self._run("release", str(number))
        if done.returncode != 0:
            raise SlurmError(f"scontrol release {number}: {_words(done)}")

    def remark(self, number: int, text: str) -> None:
        """Write what became of a job's input where its owner sees it; SlurmError."""
        done = self._run("update", f"JobId={number}", f"AdminComment={text}")
        if done.returncode != 0:
            raise SlurmError(f"scontrol update {number}: {_words(done)}")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [self._scontrol, *arguments],
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (subprocess.TimeoutExpired, OSError) as exc:
            raise SlurmError(f"scontrol {arguments[0]} gave no answer: {type(exc).__name__}") from exc


def job_of(record: Mapping[str, Any]) -> SlurmJob:
    """Return a job from scontrol's JSON, which is slurmrestd's own, in any version of it."""
    number = int(record["job_id"])
    array, het = _number(record, "array_job_id"), _number(record, "het_job_id")
    task = _number(record, "array_task_id") if array and not record.get("array_task_string") else None
    component = _number(record, "het_job_offset") if het else None
    part = f"_{task}" if task is not None else f"+{component}" if component is not None else ""
    states = record.get("job_state") or ["UNKNOWN"]
    states = [states] if isinstance(states, str) else [str(state) for state in states]
    extra = _text(record, "extra")
    marker = _marker(extra)
    submit_time = _number(record, "submit_time") or 0
    is_held = bool(record.get("hold")) and states[0] == "PENDING"
    stdout = _text(record, "stdout_expanded") or _text(record, "standard_output")
    return SlurmJob(
        id=f"{array or het or number}{part}",
        number=number,
        user=_text(record, "user_name"),
        submitted=int(marker[1]) if marker else submit_time,
        submit_time=submit_time,
        restarts=int(record.get("restart_cnt") or 0),
        extra=extra,
        state=states[0],
        is_held=is_held,
        is_held_by_admin=is_held and _text(record, "state_reason") == "JobHeldAdmin",
        is_running=bool(_RUNNING & set(states)),
        working_directory=_text(record, "current_working_directory"),
        stdout=stdout,
        stderr=_text(record, "stderr_expanded") or _text(record, "standard_error") or stdout,
        batch_host=_text(record, "batch_host"),
        name=_text(record, "name"),
    )


def _marker(extra: str) -> re.Match[str] | None:
    """Return the last marker: what a submit's user has in `extra` comes before it."""
    return next(reversed(list(_MARKER.finditer(extra))), None)


def _text(record: Mapping[str, Any], name: str) -> str:
    return str(record.get(name) or "")


def _number(record: Mapping[str, Any], name: str) -> int | None:
    value = record.get(name)
    if isinstance(value, dict):
        return int(value["number"]) if value.get("set") and not value.get("infinite") else None
    return value if isinstance(value, int) else None


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    lines: list[str] = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"
