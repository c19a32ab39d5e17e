"""A job in one shape, whatever API version it was read in.

All differences between v0.0.40 and v0.0.45 stand in this module:

* numbers come bare or as `{set, infinite, number}`, and unset ones differ in `number` (`_number`);
* where output goes: up to v0.0.42 in `standard_output`, which slurmrestd has expanded; from v0.0.43 on in
  `stdout_expanded`, while `standard_output` keeps its % signs (`_path`);
* a signal's number stands in `exit_code.signal.id`, in v0.0.40 to v0.0.41 also in `exit_code.signal.signal_id`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import task_lists
from .job_id import JobId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Job = dict[str, Any]
"""A job as it is answered and stored."""

ACTIVE = ("RUNNING", "SUSPENDED", "PENDING")
"""The states that a job leaves again, in the order in which one of a part becomes that of the whole."""

# Of an array's tasks that ended in different ways, what somebody must look at comes first.
_WORST_FIRST = (
    "NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED", "OUT_OF_MEMORY", "FAILED", "TIMEOUT", "DEADLINE", "PREEMPTED",
    "CANCELLED", "REVOKED", "COMPLETED",
)  # fmt: skip
ENDS = frozenset({*_WORST_FIRST, "UNKNOWN"})
"""The states that a job ends in."""

_NO_TASK = "4294967294"  # Slurm's sign for an array as a whole, where its output has %a


def read(records: Sequence[Mapping[str, Any]], wanted: JobId, cluster: str) -> Job | None:
    """Return a job from slurmrestd's records of it, or None if it is not among them.

    `records` are what GET /slurm/{version}/job/{id} lists: an array's tasks, a heterogeneous job's components.
    """
    if wanted.task is not None:
        found = [_of_one(item, cluster) for item in records if _covers(item, wanted.task)]
        return None if not found else _as_task(found[-1], wanted)
    parts = [_of_one(item, cluster) for item in records if _belongs(item, wanted)]
    if not parts:
        return None
    if wanted.component is not None or _of_whole(parts[0]) != wanted.job:
        # A task or component that is asked for by the number of its own is no job beside the whole.
        return parts[0]
    return parts[0] | {"id": str(wanted)} if len(parts) == 1 and not _is_group(parts[0]) else _whole(parts, wanted)


def submitted(
    job_id: int, *, user: str, cluster: str, descriptions: Sequence[Mapping[str, Any]], submitted_at: int
) -> Job:
    """Return a job as it is known right after its submit; the first read asks Slurm for the rest.

    `descriptions` are what was sent to slurmrestd, one for each component; `submitted_at` is in Unix seconds.
    """
    first = descriptions[0]
    array = str(first.get("array") or "") or None
    return _of_one(
        {
            "job_id": job_id,
            "user_name": user,
            "job_state": ["PENDING"],
            "name": first.get("name"),
            "account": first.get("account"),
            "partition": first.get("partition"),
            "hold": first.get("hold"),
            "submit_time": submitted_at,
            "time_limit": first.get("time_limit"),
            "node_count": sum(int(each.get("minimum_nodes") or 1) for each in descriptions),
            "cpus": sum(int(each.get("minimum_cpus") or 1) for each in descriptions),
            "current_working_directory": first.get("current_working_directory"),
        },
        cluster,
    ) | {
        "tasks": array and array.partition("%")[0],
        "components": [f"{job_id}+{number}" for number in range(len(descriptions))] if len(descriptions) > 1 else None,
    }


def is_final(job: Mapping[str, Any]) -> bool:
    """Tell whether nothing more will happen to a job."""
    return job["state"] not in ACTIVE and not {"COMPLETING", "REQUEUED", "REQUEUE_HOLD"} & set(job["state_flags"])


def state_of(item: Mapping[str, Any]) -> str:
    """Return the base state of one of slurmrestd's records."""
    return _states(item)[0]


def own_number(records: Iterable[Mapping[str, Any]], wanted: JobId) -> int | None:
    """Return the number that Slurm gave a part of a job, or None where it has none of its own yet.

    A task of an array gets one when it starts, or is changed by itself.
    """
    for item in records:
        if (
            wanted.task is not None
            and not item.get("array_task_string")
            and _number(item, "array_task_id") == (wanted.task)
        ):
            return int(item["job_id"])
        if wanted.component is not None and _belongs(item, wanted):
            return int(item["job_id"])
    return None


def _states(item: Mapping[str, Any]) -> list[str]:
    """Return a record's base state, and its flags after that."""
    states = item.get("job_state") or ["UNKNOWN"]
    return [states] if isinstance(states, str) else [str(state) for state in states]


def _of_one(item: Mapping[str, Any], cluster: str) -> Job:
    """Return one record as a job."""
    state, *flags = _states(item)
    ended = state not in ACTIVE
    nodes = str(item.get("nodes") or "")
    started = state in {"RUNNING", "SUSPENDED"} or (ended and bool(nodes))
    exit_code = item.get("exit_code") or {}
    signal = exit_code.get("signal") or {}
    signal_number = _number(signal, "id") if "id" in signal else _number(signal, "signal_id")
    array, het = _number(item, "array_job_id"), _number(item, "het_job_id")
    task = _number(item, "array_task_id") if array and not item.get("array_task_string") else None
    job_id = JobId(array or het or int(item["job_id"]), task, _number(item, "het_job_offset") if het else None)
    limit = _number(item, "time_limit")
    return {
        "id": str(job_id),
        "cluster": cluster,
        "name": str(item.get("name") or ""),
        "user": str(item.get("user_name") or ""),
        "account": str(item.get("account") or ""),
        "partition": str(item.get("partition") or ""),
        "state": state,
        "state_flags": flags,
        "state_reason": _reason(item),
        "held": bool(item.get("hold")),
        "exit_code": _number(exit_code, "return_code") if ended else None,
        "signal": (signal_number or None) if ended else None,
        "submit_time": _time(item, "submit_time"),
        "start_time": _time(item, "start_time") if started else None,
        "end_time": _time(item, "end_time") if ended else None,
        "time_limit": None if limit is None else limit * 60,
        "nodes": _number(item, "node_count") or 0,
        "node_list": nodes or None,
        "cpus": _number(item, "cpus") or 0,
        "working_directory": str(item.get("current_working_directory") or "") or None,
        "stdout": _path(item, "stdout_expanded", "standard_output"),
        # Where nothing else was asked for it goes where the output goes, which releases say by nothing or by its path.
        "stderr": _path(item, "stderr_expanded", "standard_error") or _path(item, "stdout_expanded", "standard_output"),
        "restarts": int(item.get("restart_cnt") or 0),
        # Of an array's rest Slurm does not always say any more which tasks it holds.
        "tasks": item.get("array_task_string") or ("" if array and task is None else None),
        "components": None,
    }


def _whole(parts: Sequence[Job], wanted: JobId) -> Job:
    """Return an array or a heterogeneous job as one job."""
    leader = min(parts, key=lambda part: (part["tasks"] is None, _part_number(part)))
    states = [part["state"] for part in parts]
    ended = [part["end_time"] for part in parts]
    started = [part["start_time"] for part in parts if part["start_time"]]
    # The worst of its parts, as Slurm's own derived exit code.
    codes = [part["exit_code"] for part in parts if part["exit_code"] is not None]
    state = common_state(states)
    final = state not in ACTIVE
    het = "+" in leader["id"]
    return leader | {
        "id": str(wanted),
        "state": state,
        "state_flags": sorted({flag for part in parts for flag in part["state_flags"]}),
        "state_reason": next((part["state_reason"] for part in parts if part["state"] == state), None),
        "held": all(part["held"] for part in parts if part["state"] == "PENDING") and "PENDING" in states,
        "exit_code": max(codes) if final and codes else None,
        "signal": next((part["signal"] for part in parts if part["signal"]), None) if final else None,
        "start_time": min(started) if started else None,
        "end_time": max(filter(None, ended)) if final and all(ended) else None,
        "nodes": sum(part["nodes"] for part in parts) if het else leader["nodes"],
        "cpus": sum(part["cpus"] for part in parts) if het else leader["cpus"],
        "node_list": (",".join(part["node_list"] for part in parts if part["node_list"]) or None) if het else None,
        "restarts": max(part["restarts"] for part in parts),
        "tasks": None if het else _tasks(parts),
        "components": [part["id"] for part in parts] if het else None,
    }


def _tasks(parts: Sequence[Job]) -> str:
    """Return an array's tasks as one list: those that have a number of their own, and those that wait together."""
    own = [part["id"].partition("_")[2] for part in parts if part["tasks"] is None]
    return task_lists.joined([",".join(own), *(part["tasks"] for part in parts if part["tasks"] is not None)])


def _as_task(job: Job, wanted: JobId) -> Job:
    """Return a task from the record that covers it, which may be that of all that have not started."""
    names = {"stdout": job["stdout"], "stderr": job["stderr"]}
    if job["tasks"] is not None:
        names = {key: path and path.replace("%a", str(wanted.task)) for key, path in names.items()}
    return job | names | {"id": str(wanted), "tasks": None}


def common_state(states: Sequence[str]) -> str:
    """Return the state of a whole whose parts are in these states."""
    order = {state: place for place, state in enumerate((*ACTIVE, *_WORST_FIRST))}
    return min(states, key=lambda state: order.get(state, len(ACTIVE)))


def _is_group(job: Job) -> bool:
    return job["tasks"] is not None or "_" in job["id"] or "+" in job["id"]


def _of_whole(job: Job) -> int:
    """Return the number of the job that a part belongs to, else its own."""
    return int(job["id"].replace("+", "_").partition("_")[0])


def _part_number(job: Job) -> int:
    return int(job["id"].replace("+", "_").rpartition("_")[2])


def _belongs(item: Mapping[str, Any], wanted: JobId) -> bool:
    if wanted.component is not None:
        return _number(item, "het_job_id") == wanted.job and _number(item, "het_job_offset") == wanted.component
    return wanted.job in {int(item["job_id"]), _number(item, "array_job_id"), _number(item, "het_job_id")}


def _covers(item: Mapping[str, Any], task: int) -> bool:
    tasks = str(item.get("array_task_string") or "").partition("%")[0].strip("[]")
    if not tasks:
        return _number(item, "array_task_id") == task
    for piece in tasks.split(","):
        bounds, _, step = piece.partition(":")
        first, _, last = bounds.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            return False  # A list that Slurm cut short, "...": what it does not say is not known.
        if task in range(int(first), int(last or first) + 1, int(step or 1)):
            return True
    return False


def _reason(item: Mapping[str, Any]) -> str | None:
    reason = str(item.get("state_reason") or "")
    return None if reason in {"", "None"} else reason


def _path(item: Mapping[str, Any], expanded: str, plain: str) -> str | None:
    path = str(item.get(expanded) or item.get(plain) or "")
    return path.replace(_NO_TASK, "%a") or None


def _number(item: Mapping[str, Any], name: str) -> int | None:
    """Return a number; None where it is unset or infinite."""
    value = item.get(name)
    if isinstance(value, dict):
        return int(value["number"]) if value.get("set") and not value.get("infinite") else None
    return value if isinstance(value, int) else None


def _time(item: Mapping[str, Any], name: str) -> str | None:
    seconds = _number(item, name)
    return rfc3339(seconds) if seconds else None


def rfc3339(seconds: int) -> str:
    """Return a time, given in Unix seconds, as RFC 3339 writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix(time: str) -> int:
    """Return a time that `rfc3339` wrote, in Unix seconds."""
    return int(datetime.fromisoformat(time).timestamp())
