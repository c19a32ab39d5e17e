"""Sends what lies in the outbox to the bus, oldest first, until the bus has taken it."""

from __future__ import annotations

import json
import logging
import random
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from . import job_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.client import BaseClient

    from .store import Store

_AT_ONCE = 10  # PutEvents takes no more
_LONGEST_PAUSE = 30.0
# The bus will never take these, however often they are sent.
_HOPELESS = frozenset({"InvalidArgument", "MalformedDetail", "InvalidAccountIdException"})

_logger = logging.getLogger(__name__)


class Sender:
    """One thread's work: `run` until `ending` is set; `wake` it when there is something new."""

    def __init__(self, events: BaseClient, bus: str, store: Callable[[], Store], ending: threading.Event) -> None:
        self._events = events
        self._bus = bus
        self._store = store
        self._ending = ending
        self._news = threading.Event()

    def wake(self) -> None:
        """Say that the outbox has something new."""
        self._news.set()

    def run(self) -> None:
        """Send until the end."""
        store = self._store()
        failures = 0
        while not self._ending.is_set():
            self._news.clear()
            waiting = store.waiting(_AT_ONCE)
            if not waiting:
                self._news.wait(1.0)
                continue
            taken = self._send(waiting)
            store.sent(taken)
            failures = 0 if taken else failures + 1
            if failures:
                self._ending.wait(min(_LONGEST_PAUSE, 2.0**failures * random.uniform(0.25, 0.5)))  # noqa: S311 - a pause

    def _send(self, waiting: list[tuple[int, str]]) -> list[int]:
        """Return the numbers of those that the bus took, or never will."""
        try:
            answer = self._events.put_events(Entries=[self._entry(detail) for _, detail in waiting])
        except (BotoCoreError, ClientError) as exc:
            _logger.warning("%d events wait: %s", len(waiting), exc)
            return []
        taken = []
        for (number, detail), entry in zip(waiting, answer["Entries"]):
            code = entry.get("ErrorCode")
            if code in _HOPELESS:
                _logger.error("an event was given up, the bus says %s: %.300s", code, detail)
            if code is None or code in _HOPELESS:
                taken.append(number)
        if len(taken) < len(waiting):
            _logger.warning(
                "%d events wait: the bus took %d of %d", len(waiting) - len(taken), len(taken), len(waiting)
            )
        return taken

    def _entry(self, detail: str) -> dict[str, Any]:
        seen_at = json.loads(detail)["seen_at"] / 1000
        return {
            "EventBusName": self._bus,
            "Source": job_events.SOURCE,
            "DetailType": job_events.DETAIL_TYPE,
            "Time": datetime.fromtimestamp(seen_at, timezone.utc),
            "Detail": detail,
        }
