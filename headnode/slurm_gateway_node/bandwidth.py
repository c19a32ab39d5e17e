"""One allowance of bytes a second, for everything that the files service sends and fetches."""

from __future__ import annotations

import threading
import time


class Bandwidth:
    """Makes whoever uses it wait until the bytes are within `rate` a second. Safe for threads."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    def use(self, size: int) -> None:
        """Wait for an allowance of `size` bytes."""
        with self._lock:
            now = time.monotonic()
            start = max(self._free_at, now)
            self._free_at = start + size / self._rate
        if start > now:
            time.sleep(start - now)
