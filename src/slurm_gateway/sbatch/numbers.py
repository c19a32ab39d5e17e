"""Numbers as sbatch reads them: counts, memory, nodes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import ValueRefusedError

LARGEST_INT = 2**31 - 1
_MOST_SIZES = 1000
_LEADING = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", re.ASCII)
_UNITS = {"": 1.0, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0 * 1024}


def leading(text: str) -> tuple[int | None, str]:
    """Return the integer that a text begins with, None where it begins with none, and the rest of the text."""
    found = _LEADING.match(text)
    return (int(found[1]), text[found.end() :]) if found else (None, text)


def count(text: str, *, least: int = 1) -> int:
    """Return a count of at least `least`. Raises ValueRefusedError."""
    number, rest = leading(text)
    if number is None and not text:
        number = 0
    if number is None or rest or number < least:
        raise ValueRefusedError(f'"{text}" is no number of {least} or more')
    if number >= LARGEST_INT:
        raise ValueRefusedError(f"{number} is too large")
    return number


def sixteen_bits(text: str) -> int:
    """Return a number from 0 to 65,533; Slurm keeps the two above for itself. Raises ValueRefusedError."""
    number, rest = leading(text)
    if rest or not 0 <= (number or 0) < 0xFFFE:
        raise ValueRefusedError(f'"{text}" is no number from 0 to 65533')
    return number or 0


def megabytes(text: str) -> int:
    """Return an amount of memory in MiB.

    Takes a number with a unit of K, M, G or T, with or without a B; the default is M. K is rounded up. Raises
    ValueRefusedError.
    """
    number, unit = leading(text)
    unit = unit.lower()
    if unit.endswith("b") and len(unit) == 2:
        unit = unit[0]
    if number is None or number < 0 or number >= 2**63 or unit not in _UNITS:
        raise ValueRefusedError(f'"{text}" is no amount of memory; write a number and K, M, G or T')
    return -(-number // 1024) if unit == "k" else int(number * _UNITS[unit])


@dataclass(frozen=True)
class Nodes:
    """How many nodes a job wants: from `least` to `most`, and `sizes` where only some numbers will do."""

    least: int
    most: int
    sizes: str | None = None


def nodes(text: str) -> Nodes:
    """Return the node counts of `4`, `2-4`, `1,3,5-9` or `1-15:4`. Raises ValueRefusedError."""
    refusal = ValueRefusedError(f'"{text}" is no node count; write 4, 2-4 or a list such as 1,3,5-9')
    if "," in text or ":" in text:
        sizes = _sizes(text)
        if not sizes:
            raise refusal
        return Nodes(min(sizes), max(sizes), text)
    low, dash, high = text.partition("-")
    if not dash:
        number = _node_count(low)
        if number is None or number < 0:
            raise refusal
        return Nodes(number, number)
    least, most = _node_count(low), _node_count(high)
    if least is None or most is None:
        raise refusal
    least = 1 if least < 0 else least
    if most < 0 or (most and most < least):
        raise ValueRefusedError(f"the maximum node count {most} is less than the minimum {least}")
    return Nodes(least, most)


def _node_count(text: str) -> int | None:
    """Return a node count with its k or m resolved, -1 for an empty or impossible one, None for no number."""
    number, rest = leading(text)
    if number is None:
        return None if text.strip() else -1
    for unit, factor in (("k", 1024), ("m", 1024 * 1024)):
        if rest[:1].lower() == unit:
            number, rest = number * factor, rest[1:]
    if rest.strip():
        return None
    return number if 0 <= number <= LARGEST_INT else -1


def _sizes(text: str) -> set[int]:
    """Return the numbers of a list of numbers and ranges with steps, none where it is malformed."""
    sizes: set[int] = set()
    parts = text.split(",")
    if len(parts) > _MOST_SIZES:
        return set()
    for part in parts:
        found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5})(?::([0-9]{1,5}))?)?", part, re.ASCII)
        if not found:
            return set()
        low = int(found[1])
        high = int(found[2] or low)
        step = int(found[3] or 1)
        if high < low or step == 0:
            return set()
        sizes.update(range(low, high + 1, step))
    return sizes
