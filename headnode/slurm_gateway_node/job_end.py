"""A job's end as the feed service leaves it for the files service: one file, the event's detail."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .slurm_job import JOB_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class JobEndError(Exception):
    """A file tells of no job's end."""


@dataclass(frozen=True)
class JobEnd:
    """What is known of a job that ended, by the event.

    `submitted` is the key of its record beside the id, `ended_at` when it ended (both Unix seconds). Paths are "" where
    the event gives none.
    """

    cluster: str
    id: str
    name: str
    user: str
    submitted: int
    ended_at: int
    has_started: bool
    working_directory: str
    stdout: str
    stderr: str


def read(file: Path) -> JobEnd:
    """Return the end that a file tells of; JobEndError, or OSError where it cannot be read."""
    try:
        detail = json.loads(file.read_bytes())
        return of_detail(detail)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise JobEndError(f"{file.name} tells of no job's end: {type(exc).__name__}: {exc}") from exc


def of_detail(detail: Mapping[str, Any]) -> JobEnd:
    """Return the end that an event's detail tells of; ValueError, KeyError or TypeError if it tells of none."""
    job_id = str(detail["id"])
    if not JOB_ID.fullmatch(job_id):
        raise ValueError(f"{job_id!r} is no job's id")
    submitted = detail.get("submitted") or _unix(detail["submit_time"])
    return JobEnd(
        cluster=str(detail["cluster"]),
        id=job_id,
        name=str(detail.get("name") or ""),
        user=str(detail["user"]),
        submitted=int(submitted),
        ended_at=_unix(detail["end_time"]),
        has_started=bool(detail.get("start_time")),
        working_directory=str(detail.get("working_directory") or ""),
        stdout=str(detail.get("stdout") or ""),
        stderr=str(detail.get("stderr") or ""),
    )


def _unix(time: object) -> int:
    if isinstance(time, int):
        return time
    # Python 3.9 does not read the Z that RFC 3339 writes.
    return int(datetime.fromisoformat(str(time).replace("Z", "+00:00")).timestamp())
