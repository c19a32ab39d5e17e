"""The same for many things, a few at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from .errors import Interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

Thing = TypeVar("Thing")
Made = TypeVar("Made")


def in_parallel(
    make: Callable[[Thing], Made],
    things: Sequence[Thing],
    at_once: int,
    *,
    grace: float = 0.0,
    grace_after_error: float = 0.0,
) -> list[Made]:
    """Return what `make` gives for each thing, in their order; raises what it raises first.

    When it is interrupted, nothing more is begun, and what is under way is waited for `grace` seconds at most;
    `grace_after_error` when one of them raises something else.
    """
    pool = ThreadPoolExecutor(min(at_once, max(len(things), 1)))
    futures: list[Future[Made]] = []
    try:
        for thing in things:
            futures.append(pool.submit(make, thing))  # noqa: PERF401 (an interruption finds those that are begun)
        made = [future.result() for future in futures]
    except BaseException as exc:
        pool.shutdown(wait=False, cancel_futures=True)
        begun = [future for future in futures if not future.cancelled()]
        wait(begun, grace if isinstance(exc, Interrupt) else grace_after_error)
        raise
    pool.shutdown()
    return made
