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
# Bytes of a path that Linux can open; users may ask for longer ones.
_LONGEST_PATH = 4095
_PATHS = ("working_directory", "stdout", "stderr")
# Characters. The bus takes 256 KB, and a list of jobs shows hundreds of records.
_LONGEST_LIST = 16_000
_LISTS = ("tasks", "node_list")
_CUT = ",..."


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
    told_in_full = {
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
    return shortened(told_in_full)


def shortened(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's detail without what is too long for one: by that no event is too large for the bus.

    Of a long list its first part is told, which ends as in Slurm's own; of what is too long for a path nothing, for a
    part of a path would be another.
    """
    paths = {name: detail[name] for name in _PATHS if detail[name] is not None}
    lists = {name: detail[name] for name in _LISTS if detail[name] is not None}
    return {
        **detail,
        **{name: None for name, path in paths.items() if len(path.encode(errors="replace")) > _LONGEST_PATH},
        **{name: _first_part(text) for name, text in lists.items() if len(text) > _LONGEST_LIST},
    }


def _first_part(text: str) -> str:
    return text[: _LONGEST_LIST - len(_CUT)].rpartition(",")[0] + _CUT
