"""How long to wait before asking again."""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST = 0.5
LONGEST = 20.0
LONGEST_RETRY_AFTER = 300.0


def delays() -> Iterator[float]:
    """Give ever longer delays in seconds, each somewhere in the upper half of what it could be.

    Chance keeps many clients from coming back at one moment.
    """
    limit = FIRST
    while True:
        yield limit * random.uniform(0.5, 1.0)  # noqa: S311 - nobody gains by guessing it
        limit = min(limit * 2, LONGEST)


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3), or None.

    `now` is in Unix seconds, for the header's other form, a date. What makes no sense is as if it were not there.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None
    return min(max(at - now, 0.0), LONGEST_RETRY_AFTER)
