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

    _Numbered = tuple[int, dict[str, Any]]
    """An entry of PutEvents, and its number in the outbox."""

_AT_ONCE = 10  # PutEvents takes no more
# Nor more than 256 KB, of a request's entries together; an event alone has less than this (job_events.py).
_MOST_BYTES = 128 * 1024
_TIME_BYTES = 14  # as the bus counts a time
_LONGEST_PAUSE = 30.0
# The bus will never take these, however often they are sent.
_HOPELESS = frozenset({"InvalidArgument", "MalformedDetail", "InvalidAccountIdException"})
_TOO_LARGE = "413"
# What a whole request is refused with.
_REFUSALS = frozenset({"ValidationException", _TOO_LARGE})

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
            taken = self._send(self._batch(waiting))
            store.sent(taken)
            failures = 0 if taken else failures + 1
            if failures:
                self._ending.wait(min(_LONGEST_PAUSE, 2.0**failures * random.uniform(0.25, 0.5)))  # noqa: S311 - a pause

    def _send(self, batch: list[_Numbered]) -> list[int]:
        """Return the numbers of those that the bus took, or never will."""
        try:
            answer = self._events.put_events(Entries=[entry for _, entry in batch])
        except (BotoCoreError, ClientError) as exc:
            if _is_refused(exc) and len(batch) > 1:
                # One of them is to blame, and the others need not wait for it.
                return [number for each in batch for number in self._send([each])]
            if _is_too_large(exc):
                number, entry = batch[0]
                _logger.error("an event was given up, it is too large for the bus: %.300s", entry["Detail"])
                return [number]
            _logger.warning("%d events wait: %s", len(batch), exc)
            return []
        taken = []
        for (number, entry), result in zip(batch, answer["Entries"]):
            code = result.get("ErrorCode")
            if code in _HOPELESS:
                _logger.error("an event was given up, the bus says %s: %.300s", code, entry["Detail"])
            if code is None or code in _HOPELESS:
                taken.append(number)
        if len(taken) < len(batch):
            _logger.warning("%d events wait: the bus took %d of %d", len(batch) - len(taken), len(taken), len(batch))
        return taken

    def _batch(self, waiting: list[tuple[int, str]]) -> list[_Numbered]:
        """Return the entries of the oldest events, of as many as may be sent together and of one at least."""
        batch: list[_Numbered] = []
        size = 0
        for number, told in waiting:
            entry = self._entry(told)
            size += _TIME_BYTES + sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))
            if batch and size > _MOST_BYTES:
                break
            batch.append((number, entry))
        return batch

    def _entry(self, told: str) -> dict[str, Any]:
        # An older version may have left it, which shortened nothing.
        detail = job_events.shortened(json.loads(told))
        return {
            "EventBusName": self._bus,
            "Source": job_events.SOURCE,
            "DetailType": job_events.DETAIL_TYPE,
            "Time": datetime.fromtimestamp(detail["seen_at"] / 1000, timezone.utc),
            # Escapes would make six bytes of a letter that has two. Half a surrogate pair has none without them.
            "Detail": json.dumps(detail, ensure_ascii=False, separators=(",", ":")).encode(errors="replace").decode(),
        }


def _is_refused(exc: Exception) -> bool:
    """Tell whether the bus refuses a request for what is in it, and would do so again."""
    return isinstance(exc, ClientError) and exc.response["Error"]["Code"] in _REFUSALS


def _is_too_large(exc: Exception) -> bool:
    """Tell whether that is its size: "Total size of the entries in the request is over the limit", or 413 alone."""
    error = exc.response["Error"] if isinstance(exc, ClientError) and _is_refused(exc) else {}
    return error.get("Code") == _TOO_LARGE or "size" in error.get("Message", "").lower()
