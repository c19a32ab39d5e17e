"""How many tasks follow from GPUs and nodes, where sbatch concludes it before it submits.

slurmctld comes to the same number later, but a job that states its number of tasks is another one to it than a
job that does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ValueRefusedError
from .tres import generic

if TYPE_CHECKING:
    from collections.abc import Mapping


def implied_tasks(description: Mapping[str, Any]) -> int | None:
    """Return the number of tasks of a job description, None where it has none.

    Raises ValueRefusedError where tasks per GPU or GPUs per task come with neither GPUs nor tasks, and for tasks
    that differ from those that the GPUs of a task and of the job make.
    """
    tasks: int | None = description.get("tasks")
    per_gpu: int | None = description.get("ntasks_per_tres")
    least = description.get("minimum_nodes")
    fixed = least is not None and least == description.get("maximum_nodes")
    if tasks is None and fixed and least is not None and (per_gpu or description.get("tres_per_task")):
        if per_gpu:
            tasks = least * per_gpu
        elif "tasks_per_node" in description:
            tasks = least * description["tasks_per_node"]
        elif "cpus_per_task" not in description:
            tasks = least
    if per_gpu:
        gpus = _gpus(description, tasks)
        if gpus is None and not tasks:
            raise ValueRefusedError("it needs GPUs (--gpus), or a number of tasks or nodes")
        tasks = tasks if gpus is None else gpus * per_gpu
    in_job = {(name, kind): count for name, kind, count in generic(description.get("tres_per_job"))}
    for name, kind, count in generic(description.get("tres_per_task")):
        total = in_job.get((name, kind), 0)
        if not total and count and tasks is None:
            raise ValueRefusedError(f"{name} a task needs a number of tasks (--ntasks), or of {name} in all")
        if total and count and total % count == 0:
            if tasks is not None and tasks != total // count:
                raise ValueRefusedError(f"{count} a task and {total} in all make {total // count} tasks, not {tasks}")
            tasks = total // count
    return tasks


def _gpus(description: Mapping[str, Any], tasks: int | None) -> int | None:
    """Return how many GPUs a job description asks for in all, None for none."""
    nodes = description.get("minimum_nodes", 1)
    sockets: int | None = description.get("sockets_per_node")
    per_socket: int | None = description.get("tasks_per_socket")
    if sockets is not None:
        factor = nodes * sockets
    elif tasks is not None and per_socket is not None:
        factor = -(-tasks // per_socket)
    else:
        factor = 1
    factors = {"tres_per_job": 1, "tres_per_node": nodes, "tres_per_socket": factor, "tres_per_task": tasks or 1}
    totals: dict[str, int] = {}
    for field, times in factors.items():
        for name, kind, count in generic(description.get(field)):
            if name == "gpu":
                totals[kind] = max(totals.get(kind, 0), count * times)
    return sum(totals.values()) if totals else None
