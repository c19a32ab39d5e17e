"""The heartbeat: that the head node lives, which of its daemons do, and how far its feed is behind."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from . import daemons

if TYPE_CHECKING:
    from .settings import Settings

PERIOD = 15.0
DETAIL_TYPE = "Slurm Heartbeat"
SOURCE = "slurm-gateway"


def entry(settings: Settings, *, lag: float, waiting: int, now: datetime) -> dict[str, Any]:
    """Return the heartbeat as PutEvents takes it.

    `lag` is how many seconds old the oldest thing is that the feed has yet to tell, `waiting` how many those are.
    """
    detail = {
        "version": 1,
        "cluster": settings.cluster,
        "time": now.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "daemons": daemons.states(settings),
        "lag_seconds": round(lag, 1),
        "waiting": waiting,
    }
    return {
        "EventBusName": settings.event_bus,
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Time": now,
        "Detail": json.dumps(detail, separators=(",", ":")),
    }
