"""Lists of an array's tasks as Slurm writes them: "1-5,7", "0-10:2"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 4_000_001  # Slurm's own bound of an array (MaxArraySize)


def parse(text: str) -> set[int]:
    """Return the tasks of a list; ValueError where it is none."""
    tasks: set[int] = set()
    for piece in filter(None, text.partition("%")[0].strip("[]").split(",")):
        bounds, _, step = piece.partition(":")
        first, _, last = bounds.partition("-")
        span = range(int(first), int(last or first) + 1, int(step or 1))
        if len(span) > _MOST:
            raise ValueError(f"{piece} are more tasks than an array has")
        tasks.update(span)
    return tasks


def text(tasks: Iterable[int]) -> str:
    """Return the tasks as a list, as short as it can be."""
    pieces: list[list[int]] = []
    for task in sorted(set(tasks)):
        if pieces and pieces[-1][1] == task - 1:
            pieces[-1][1] = task
        else:
            pieces.append([task, task])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in pieces)
