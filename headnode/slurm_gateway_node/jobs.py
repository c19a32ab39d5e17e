"""Jobs as the gateway writes them, from what squeue and the journal say of them.

The same members as `GET /jobs/{id}` has, so that a record is the same whoever wrote it.
"""

from __future__ import annotations

import pwd
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from . import output_paths

if TYPE_CHECKING:
    from collections.abc import Mapping

Job = dict[str, Any]
"""A job as the gateway's API writes it."""

ACTIVE = ("RUNNING", "SUSPENDED", "PENDING")
WORST_FIRST = (
    "NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED", "OUT_OF_MEMORY", "FAILED", "TIMEOUT", "DEADLINE", "PREEMPTED",
    "CANCELLED", "REVOKED", "COMPLETED",
)  # fmt: skip
# slurm.h, enum job_states, and the bits above the base state.
_BASE_STATES = (
    "PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED",
    "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY",
)  # fmt: skip
_GOES_ON = 0x400 | 0x800 | 0x1000 | 0x2000  # requeued, requeued and held, special exit, resizing
_NO_VALUE = 0xFFFFFFFE
_MARKER = re.compile(r"slurm-gateway:([0-9]{10}):[0-9a-f]{32}:")


@dataclass(frozen=True)
class Part:
    """What Slurm counts as one job: a job, an array's task, a heterogeneous job's component.

    `base` is the number that `id` begins with, `number` its own. `submit_time` is Slurm's and changes with a requeue;
    `submitted` is when the gateway submitted it, where the job says so. Both are Unix seconds. `tasks` is set of those
    of an array that have not started, which have one record together; "" where Slurm does not say any more which.
    """

    id: str
    base: int
    number: int
    submit_time: int
    submitted: int
    job: Job
    tasks: str | None = None

    @property
    def is_grouped(self) -> bool:
        """Tell whether it is of an array or a heterogeneous job."""
        return self.tasks is not None or "_" in self.id or "+" in self.id


def is_final(job: Mapping[str, Any]) -> bool:
    """Tell whether a job has ended."""
    return job["state"] not in ACTIVE


def of_record(item: Mapping[str, Any], cluster: str) -> Part:
    """Return a job from one record of squeue's JSON, of any version of Slurm's data parser."""
    states = item.get("job_state") or ["UNKNOWN"]
    states = [states] if isinstance(states, str) else list(states)
    state = str(states[0])
    ended = state not in ACTIVE
    nodes = str(item.get("nodes") or "")
    started = state in {"RUNNING", "SUSPENDED"} or (ended and bool(nodes))
    exit_code = item.get("exit_code") or {}
    signal = exit_code.get("signal") or {}
    signal_number = _number(signal, "id") if "id" in signal else _number(signal, "signal_id")
    array, het = _number(item, "array_job_id"), _number(item, "het_job_id")
    tasks = str(item.get("array_task_string") or "").partition("%")[0].strip("[]") or None
    task = _number(item, "array_task_id") if array and not tasks else None
    rest = (tasks or "") if array and task is None else None
    offset = _number(item, "het_job_offset") if het else None
    number = int(item["job_id"])
    base = array or het or number
    limit = _number(item, "time_limit")
    reason = str(item.get("state_reason") or "")
    submit_time = _number(item, "submit_time") or 0
    stdout = _path(item, "stdout_expanded", "standard_output")
    job_id = _id(base, task, offset)
    return Part(
        job_id, base, number, submit_time, _marked(str(item.get("extra") or "")),
        {
            "id": job_id,
            "cluster": cluster,
            "name": str(item.get("name") or ""),
            "user": str(item.get("user_name") or ""),
            "account": str(item.get("account") or ""),
            "partition": str(item.get("partition") or ""),
            "state": state,
            # That its nodes are still being cleaned is no news of the job's.
            "state_flags": [str(flag) for flag in states[1:] if flag != "COMPLETING"],
            "state_reason": None if reason in {"", "None"} else reason,
            "held": bool(item.get("hold")),
            "exit_code": _number(exit_code, "return_code") if ended else None,
            "signal": (signal_number or None) if ended else None,
            "submit_time": rfc3339(submit_time),
            "start_time": rfc3339(_number(item, "start_time")) if started else None,
            "end_time": rfc3339(_number(item, "end_time")) if ended else None,
            "time_limit": None if limit is None else limit * 60,
            "nodes": _number(item, "node_count") or 0,
            "node_list": nodes or None,
            "cpus": _number(item, "cpus") or 0,
            "working_directory": str(item.get("current_working_directory") or "") or None,
            "stdout": stdout,
            "stderr": _path(item, "stderr_expanded", "standard_error") or stdout,
            "restarts": int(item.get("restart_cnt") or 0),
            "tasks": tasks,
            "components": None,
        },
        rest,
    )  # fmt: skip


def of_journal(entry: Mapping[str, Any], cluster: str, known: Mapping[str, Any] | None = None) -> Part:
    """Return a job from the journal's line of its end, with what is `known` of it from the queue.

    The journal knows no reason and, before Slurm 26.05, no default paths; a job that never started "started" when it
    ended, on no node.
    """
    state = _BASE_STATES[entry["job_state"] & 0xFF] if entry["job_state"] & 0xFF < len(_BASE_STATES) else "UNKNOWN"
    number, array, het = int(entry["job_id"]), entry.get("array_job_id") or 0, entry.get("het_job_id") or 0
    rest = bool(array) and entry.get("array_task_id", _NO_VALUE) >= _NO_VALUE
    task = None if rest or not array else int(entry["array_task_id"])
    base = int(array or het or number)
    nodes = str(entry.get("nodes") or "")
    user = user_name(int(entry["user_id"]))
    job_id = _id(base, task, int(entry.get("het_job_offset") or 0) if het else None)
    directory = str(entry.get("work_dir") or "/")
    names = output_paths.Names(
        job=base, number=number, user=user, name=str(entry.get("name") or ""), nodes=nodes,
        is_array=bool(array), task=task,
    )  # fmt: skip
    stdout = output_paths.expanded(str(entry.get("std_out") or ""), directory, names)
    stderr = output_paths.expanded(str(entry["std_err"]), directory, names) if entry.get("std_err") else stdout
    limit = entry.get("time_limit", _NO_VALUE)
    known = known or {}
    job = {
        "id": job_id,
        "cluster": cluster,
        "name": str(entry.get("name") or ""),
        "user": user,
        "account": str(entry.get("account") or ""),
        "partition": str(entry.get("partition") or ""),
        "state": state,
        "state_flags": [],
        "state_reason": None,
        "held": False,
        "exit_code": entry["exit_code"] >> 8 & 0xFF,
        "signal": entry["exit_code"] & 0x7F or None,
        "submit_time": rfc3339(entry["submit_time"]),
        "start_time": rfc3339(entry.get("start_time")) if nodes else None,
        "end_time": rfc3339(entry["end_time"]),
        "time_limit": limit * 60 if limit < _NO_VALUE else known.get("time_limit"),
        "nodes": entry.get("total_nodes") or known.get("nodes") or 0,
        "node_list": nodes or None,
        "cpus": entry.get("total_cpus") or known.get("cpus") or 0,
        "working_directory": str(entry.get("work_dir") or "") or None,
        "stdout": known.get("stdout") or stdout,
        "stderr": known.get("stderr") or stderr,
        "restarts": int(entry.get("restart_cnt") or 0),
        "tasks": None,
        "components": None,
    }
    return Part(job_id, base, number, int(entry["submit_time"]), _marked(str(entry.get("marker") or "")), job)


def goes_on(entry: Mapping[str, Any]) -> bool:
    """Tell whether a line of the journal is of a job that was requeued or resized, and so has not ended."""
    return bool(entry["job_state"] & _GOES_ON) or entry["job_state"] & 0xFF < 3


def is_rest_of_array(entry: Mapping[str, Any]) -> bool:
    """Tell whether a line of the journal is of all tasks of an array that had not started."""
    return bool(entry.get("array_job_id")) and entry.get("array_task_id", _NO_VALUE) >= _NO_VALUE


def common_state(states: set[str]) -> str:
    """Return the state of a whole whose parts are in these states, as the API tells it."""
    order = {state: place for place, state in enumerate((*ACTIVE, *WORST_FIRST))}
    return min(states, key=lambda state: (order.get(state, len(ACTIVE)), state))


def user_name(uid: int) -> str:
    """Return a user's name, or the number of one who has none."""
    try:
        return _user_name(uid)
    except KeyError:
        # Not for good: a directory that does not answer knows nobody.
        return str(uid)


@lru_cache(maxsize=10_000)
def _user_name(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name


def rfc3339(seconds: int | None) -> str | None:
    """Return a time in Unix seconds as RFC 3339 writes it, None for none."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


def _id(base: int, task: int | None, offset: int | None) -> str:
    return f"{base}_{task}" if task is not None else f"{base}+{offset}" if offset is not None else str(base)


def _marked(extra: str) -> int:
    # What a submit's user has in `extra` comes before the gateway's marker.
    found = _MARKER.findall(extra)
    return int(found[-1]) if found else 0


def _path(item: Mapping[str, Any], expanded: str, plain: str) -> str | None:
    path = str(item.get(expanded) or item.get(plain) or "")
    return path.replace(str(_NO_VALUE), "%a") or None


def _number(item: Mapping[str, Any], name: str) -> int | None:
    """Return a number; None where it is unset or infinite."""
    value = item.get(name)
    if isinstance(value, dict):
        return int(value["number"]) if value.get("set") and not value.get("infinite") else None
    return value if isinstance(value, int) else None
