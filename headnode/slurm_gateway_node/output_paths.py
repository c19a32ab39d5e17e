"""Where a job's output goes: Slurm's own defaults, and its % signs filled in, where Slurm itself does not say.

Source: sbatch(1), "filename pattern". What is known only while the job runs (%t, %s) stays as it is.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

_SIGN = re.compile(r"%([0-9]{0,2})([%AajJNnuxts])")
_FIRST_NODE = re.compile(r"([^,\[]*)(?:\[([0-9]+))?")


@dataclass(frozen=True)
class Names:
    """What the % signs stand for. `task` is an array's task, None for the array as a whole."""

    job: int
    number: int
    user: str
    name: str
    nodes: str = ""
    is_array: bool = False
    task: int | None = None


def expanded(pattern: str, working_directory: str, names: Names) -> str:
    """Return the path of a job's output; "" as pattern stands for Slurm's default."""
    if not pattern:
        pattern = "slurm-%A_%a.out" if names.is_array else "slurm-%j.out"
    if "\\" in pattern:
        # A backslash keeps the signs as they are.
        path = pattern.replace("\\", "")
    else:
        path = _SIGN.sub(lambda match: _value(match[2], int(match[1] or 0), names) or match[0], pattern)
    return posixpath.join(working_directory, path)


def _value(sign: str, width: int, names: Names) -> str:
    """Return what a sign stands for, "" where that is not known."""
    if sign == "%":
        return "%"
    if sign == "a":
        # Outside an array it is Slurm's word for no task.
        task = names.task if names.is_array else 0xFFFFFFFE
        return "%a" if task is None else f"{task:0{width}d}"
    numbers = {"A": names.job, "j": names.number, "J": names.number, "n": 0}
    if sign in numbers:
        return f"{numbers[sign]:0{width}d}"
    return {"u": names.user, "x": names.name, "N": _first_node(names.nodes)}.get(sign, "")


def _first_node(nodes: str) -> str:
    """Return the short name of the first of a list such as "queue1-dy-t3micro-[1-4],other"."""
    match = _FIRST_NODE.match(nodes)
    return (match[1] + (match[2] or "")).partition(".")[0] if match else ""
