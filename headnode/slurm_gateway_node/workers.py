"""Threads that work on something each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def workers(most: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads that comes to its end with the block, unless that fails.

    What is under way may take hours, for which a failure should not lie hidden.
    """
    pool = ThreadPoolExecutor(most, thread_name_prefix=name)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False)
        raise
    pool.shutdown()
