"""Lists of an array's tasks as Slurm writes them: "1-5,7", "0-10:2"; one that was cut short ends with "...".

The head node writes them in the same way, so that a record's list is the same whoever wrote it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CUT = "..."
_MOST = 4_000_001  # Slurm's own bound of an array (MaxArraySize)


def parse(text: str) -> set[int]:
    """Return the tasks that a list names; what it does not say, where it was cut short, is not known."""
    tasks: set[int] = set()
    for piece in text.partition("%")[0].strip("[]").split(","):
        bounds, _, step = piece.partition(":")
        first, _, last = bounds.partition("-")
        if all(number.isdecimal() for number in (first, last or first, step or "1")):
            tasks.update(range(int(first), int(last or first) + 1, max(int(step or 1), 1))[:_MOST])
    return tasks


def joined(lists: Iterable[str]) -> str:
    """Return the tasks of several lists as one."""
    given = list(lists)
    pieces = [text(set().union(*map(parse, given)))]
    if any(_CUT in each for each in given):
        pieces.append(_CUT)
    return ",".join(filter(None, pieces))


def text(tasks: Iterable[int]) -> str:
    """Return the tasks as a list, every second or tenth one as "0-100:10": that may be as many as an array has."""
    numbers = sorted(set(tasks))
    pieces: list[str] = []
    begin = 0
    while begin < len(numbers):
        end = _end_of_steps(numbers, begin)
        first, last = numbers[begin], numbers[end - 1]
        step = numbers[begin + 1] - first if end - begin > 1 else 1
        if step == 1:
            pieces.append(str(first) if first == last else f"{first}-{last}")
        elif end - begin > 2:
            pieces.append(f"{first}-{last}:{step}")
        else:
            # The second of two may begin a longer piece.
            pieces.append(str(first))
            end = begin + 1
        begin = end
    return ",".join(pieces)


def _end_of_steps(numbers: Sequence[int], begin: int) -> int:
    """Return the place after the last number that is as far from the one before as the second from the first."""
    end = begin + 1
    while end < len(numbers) and numbers[end] - numbers[end - 1] == numbers[begin + 1] - numbers[begin]:
        end += 1
    return end
