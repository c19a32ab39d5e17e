"""Throttling by token buckets.

Source: developer guide, http-api-throttling. Each route has a bucket of its own with the stage's default
limits, or with the route's where it has some; what neither limits is not limited here. API Gateway applies
limits on a best-effort basis; here they are exact.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Limits:
    """Requests a second, and how many at once when none came for a while."""

    rate: float
    burst: float


class TokenBucket:
    """A bucket that holds ``burst`` tokens and gains ``rate`` of them a second; it begins full."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._tokens = limits.burst
        self._filled = clock()

    def take(self) -> bool:
        """Take a token; False where there is none."""
        now = self._clock()
        self._tokens = min(self._limits.burst, self._tokens + (now - self._filled) * self._limits.rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Throttle:
    """The buckets of a stage, by route key. Takes the default limits and those of single routes."""

    def __init__(
        self,
        default: Limits | None,
        routes: Mapping[str, Limits],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default = default
        self._clock = clock
        self._buckets = {key: TokenBucket(limits, clock) for key, limits in routes.items()}

    def admits(self, route_key: str) -> bool:
        """Count a request to a route; False where it is one too many."""
        bucket = self._buckets.get(route_key)
        if bucket is None:
            if self._default is None:
                return True
            bucket = self._buckets[route_key] = TokenBucket(self._default, self._clock)
        return bucket.take()
