"""The same for many things, a few at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Thing = TypeVar("Thing")
Made = TypeVar("Made")


def in_parallel(make: Callable[[Thing], Made], things: Sequence[Thing], at_once: int) -> list[Made]:
    """Return what `make` gives for each thing, in their order; raises what it raises first.

    When it is interrupted, nothing more is begun, and what is under way is not waited for.
    """
    pool = ThreadPoolExecutor(min(at_once, max(len(things), 1)))
    try:
        made = list(pool.map(make, things))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return made
