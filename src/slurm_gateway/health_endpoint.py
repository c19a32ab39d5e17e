"""GET /health: whether jobs can be expected to run, from the head node's last heartbeat.

It asks Slurm nothing, and the table at most every few seconds: whoever asks, and however often, loads nothing.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from . import events, metrics, problem
from .errors import UnavailableError
from .job import unix
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .heartbeat import Heartbeat

_logger = logging.getLogger(__name__)

OLD = 60
"""Seconds after which a heartbeat is old: the head node beats four times in that time."""

_HELD = 5
_RETRY_AFTER = 15


class HealthEndpoint:
    """Answers by the heartbeat that `last` gives, None for none (it may raise UnavailableError).

    `now` gives Unix seconds.
    """

    def __init__(self, last: Callable[[], Heartbeat | None], *, now: Callable[[], float] = time.time) -> None:
        self._last = last
        self._now = now
        self._read: tuple[float, Heartbeat | None] | None = None

    def __call__(self, event: Mapping[str, Any], _context: object = None) -> dict[str, Any]:
        """Take API Gateway's event; return its response."""
        try:
            beat = self._heartbeat()
            return self._healthy(beat)
        except Problem as exc:
            return exc.response(events.request_id(event))
        except UnavailableError as exc:
            _logger.error("no heartbeat to read", extra={"error": str(exc), **events.origin(event)})
            metrics.answered(503, "unavailable", request_id=events.request_id(event))
            return problem.unavailable("The heartbeat cannot be read").response(events.request_id(event))
        except Exception:
            _logger.exception("unexpected error", extra=events.origin(event))
            metrics.answered(500, "unexpected", request_id=events.request_id(event))
            return problem.unexpected().response(events.request_id(event))

    def _heartbeat(self) -> Heartbeat | None:
        now = self._now()
        if self._read is None or not 0 <= now - self._read[0] < _HELD:
            self._read = (now, self._last())
        return self._read[1]

    def _healthy(self, beat: Heartbeat | None) -> dict[str, Any]:
        if beat is None:
            raise _unhealthy("no-heartbeat", "The head node has not been heard of yet. Is the cluster there?", {})
        members = {
            "cluster": beat.cluster,
            "heartbeat": beat.time,
            "daemons": beat.daemons,
            "lag_seconds": beat.lag_seconds,
        }
        age = self._now() - unix(beat.time)
        if age > OLD:
            raise _unhealthy("heartbeat-old", f"The head node was last heard of {age:.0f} s ago.", members)
        if down := beat.down():
            raise _unhealthy("daemon-down", f"On the head node {' and '.join(down)} did not answer.", members)
        return {
            "statusCode": 200,
            "headers": {"content-type": "application/json", "cache-control": f"public, max-age={_HELD}"},
            "body": json.dumps({"status": "ok", **members}),
        }


def _unhealthy(kind: str, detail: str, members: Mapping[str, Any]) -> Problem:
    return Problem(503, kind, title="Not healthy", detail=detail, retry_after=_RETRY_AFTER, members=members)
