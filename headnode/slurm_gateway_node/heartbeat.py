"""The heartbeat: that the head node lives, which of its daemons do, and how far its feed is behind."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from . import daemons
from .job_events import SOURCE

if TYPE_CHECKING:
    import threading

    from botocore.client import BaseClient

    from .settings import Settings

PERIOD = 15.0
DETAIL_TYPE = "Slurm Heartbeat"

_logger = logging.getLogger(__name__)


class Heart:
    """One thread's work: a heartbeat every `PERIOD` seconds until `ending` is set.

    `lag` is how many seconds old the oldest thing is that the feed has yet to tell, and how many events wait.
    """

    def __init__(self, events: BaseClient, settings: Settings, ending: threading.Event) -> None:
        self._events = events
        self._settings = settings
        self._ending = ending
        self.lag = (0.0, 0)

    def run(self) -> None:
        """Beat until the end. One that cannot be sent is not sent later: it would tell of another time."""
        while not self._ending.is_set():
            try:
                answer = self._events.put_events(Entries=[self._entry()])
                if answer["FailedEntryCount"]:
                    _logger.warning("the bus refused the heartbeat: %s", answer["Entries"][0].get("ErrorCode"))
            except (BotoCoreError, ClientError) as exc:
                _logger.warning("the heartbeat was not sent: %s", exc)
            self._ending.wait(PERIOD)

    def _entry(self) -> dict[str, Any]:
        states = daemons.states(self._settings)
        now = datetime.now(timezone.utc)
        seconds, waiting = self.lag
        detail = {
            "version": 1,
            "cluster": self._settings.cluster,
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "daemons": states,
            "lag_seconds": round(seconds, 1),
            "waiting": waiting,
        }
        return {
            "EventBusName": self._settings.event_bus,
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Time": now,
            "Detail": json.dumps(detail, separators=(",", ":")),
        }
