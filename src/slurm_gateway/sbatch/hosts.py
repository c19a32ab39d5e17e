"""Lists of node names: `node1,node[3-5,8]`."""

from __future__ import annotations

import re

from .errors import ValueRefusedError

MOST = 65_536
# Of all names together. A short list of long names could fill the memory otherwise.
_LETTERS = 64 * MOST
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?", re.ASCII)


def names(text: str) -> list[str]:
    """Return every name of a list in its order, duplicates included.

    Raises ValueRefusedError for a malformed list, and for one of more than 65,536 names or 4 MiB.
    """
    found: list[str] = []
    letters = 0
    for item in items(text):
        expanded = [""]
        for position, part in enumerate(re.split(r"\[([^\[\]]*)\]", item)):
            pieces = [part] if position % 2 == 0 else _numbers(text, part)
            if len(expanded) * len(pieces) + len(found) > MOST:
                raise ValueRefusedError(f"the list has more than {MOST} names")
            longest = max(map(len, expanded)) + max(map(len, pieces))
            if letters + len(expanded) * len(pieces) * longest > _LETTERS:
                raise ValueRefusedError("the names of the list are too long")
            expanded = [head + piece for head in expanded for piece in pieces]
        letters += sum(map(len, expanded))
        found.extend(expanded)
    return found


def items(text: str) -> list[str]:
    """Return what stands between commas outside brackets. Raises ValueRefusedError where these do not match."""
    found: list[str] = []
    depth = start = 0
    for position, letter in enumerate(text + ","):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if depth not in (0, 1):
            raise ValueRefusedError(f'"{text}" is no list of nodes: its brackets do not match')
        if letter == "," and depth == 0:
            found.append(text[start:position].strip())
            start = position + 1
    if depth:
        raise ValueRefusedError(f'"{text}" is no list of nodes: its brackets do not match')
    return [item for item in found if item]


def _numbers(text: str, ranges: str) -> list[str]:
    numbers: list[str] = []
    for part in ranges.split(","):
        found = _RANGE.fullmatch(part)
        if not found:
            raise ValueRefusedError(f'"{text}" is no list of nodes: "{part}" is no number or range')
        low, high = int(found[1]), int(found[2] or found[1])
        if high < low or high - low >= MOST:
            raise ValueRefusedError(f'"{text}" is no list of nodes: "{part}" is no range')
        if len(numbers) + high - low >= MOST:
            raise ValueRefusedError(f"the list has more than {MOST} names")
        numbers.extend(str(number).zfill(len(found[1])) for number in range(low, high + 1))
    return numbers
