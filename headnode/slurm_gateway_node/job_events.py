"""The event "Slurm Job State Change", whose schema is schemas/slurm-job-state-change.json."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = "slurm-gateway"
DETAIL_TYPE = "Slurm Job State Change"
# What makes it another event; an observation's own time is not among it, so that one change told twice is one event.
_SAYS = (
    "id", "user", "state", "state_flags", "held", "restarts", "start_time", "end_time", "exit_code", "signal",
    "time_limit", "partition", "name", "tasks",
)  # fmt: skip


def says(job: Mapping[str, Any]) -> str:
    """Return all of a job that is worth an event, as one text to compare."""
    return json.dumps([job[name] for name in _SAYS], separators=(",", ":"))


def detail(
    job: Mapping[str, Any], *, change: str, previous: str | None, submitted: int, seen_at: int
) -> dict[str, Any]:
    """Return an event's detail.

    `change` is what happened: submitted, started, changed or ended; `previous` the state before. `submitted` (Unix
    seconds) makes the job's key together with its cluster and id; `seen_at` (Unix milliseconds) is when it was so.
    """
    told = json.dumps([job["cluster"], submitted, change, says(job)], separators=(",", ":"))
    array, _, task = job["id"].partition("_")
    whole, _, component = job["id"].partition("+")
    return {
        "version": 1,
        "event_id": sha256(told.encode()).hexdigest()[:32],
        "change": change,
        "previous_state": previous,
        "seen_at": seen_at,
        "submitted": submitted,
        "array_job_id": array if task or job["tasks"] else None,
        "array_task_id": int(task) if task else None,
        "het_job_id": whole if component or job["components"] else None,
        "het_job_offset": int(component) if component else None,
        **job,
    }
