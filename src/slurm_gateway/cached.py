"""A value that is read from elsewhere and held for a while."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from .errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)
T = TypeVar("T")

# A key dropped from the list must be dead within 60 s. API Gateway holds an authorizer's answer for 30 s,
# so an answer here may rest on what is at most 25 s old, with 5 s left for the rest.
FRESH_FOR = 15.0
USABLE_FOR = 25.0
# While reading fails, one attempt a second: whoever throttles us is not helped by one a request.
_PAUSE = 1.0


class Cached(Generic[T]):
    """Reads again what is older than `FRESH_FOR` seconds; fails closed after `USABLE_FOR`.

    `read` raises UnavailableError when it has nothing. Then the last value holds until it is
    `USABLE_FOR` seconds old, counted from the moment its reading began.

    Age is the longer of two clocks' opinions: in a frozen execution environment the monotonic one may
    have stood still, and the other may be set back.
    """

    def __init__(
        self,
        read: Callable[[], T],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._read = read
        self._clock = clock
        self._wall_clock = wall_clock
        self._value: tuple[T] | None = None
        self._read_at = (0.0, 0.0)
        self._failure: UnavailableError | None = None
        self._failed_at = (0.0, 0.0)

    def get(self, since: float = 0.0) -> T:
        """Return the value; raise UnavailableError if there is none young enough.

        `since` (Unix seconds) is a time after which its reading must have begun.
        """
        if self._value is not None and self._age(self._read_at) < FRESH_FOR and self._read_at[1] >= since:
            return self._value[0]
        if self._failure is None or self._age(self._failed_at) >= _PAUSE:
            started = self._now()
            try:
                self._value = (self._read(),)
            except UnavailableError as exc:
                self._failure, self._failed_at = exc, self._now()
                _logger.warning("refresh failed", extra={"error": str(exc)})
            else:
                self._read_at, self._failure = started, None
                return self._value[0]
        if self._value is not None and self._age(self._read_at) < USABLE_FOR and self._read_at[1] >= since:
            return self._value[0]
        raise UnavailableError(str(self._failure)) from self._failure

    def _now(self) -> tuple[float, float]:
        return self._clock(), self._wall_clock()

    def _age(self, then: tuple[float, float]) -> float:
        return max(now - before for now, before in zip(self._now(), then, strict=True))
