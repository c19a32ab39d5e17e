"""The feed service: python -m slurm_gateway_node.feed, started by slurm-gateway-feed.service."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from datetime import datetime, timezone

from botocore.exceptions import BotoCoreError, ClientError

from . import aws, heartbeat, logs
from .settings import Settings, SettingsError

_logger = logging.getLogger(__name__)


def main() -> int:
    """Run until SIGTERM; return the exit status."""
    logs.configure()
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as exc:
        _logger.error("%s", exc)
        return 1
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    events = aws.client("events", settings.region)
    while not ending.is_set():
        entry = heartbeat.entry(settings, lag=0.0, waiting=0, now=datetime.now(timezone.utc))
        try:
            answer = events.put_events(Entries=[entry])
            if answer["FailedEntryCount"]:
                _logger.warning("the bus refused the heartbeat: %s", answer["Entries"][0].get("ErrorCode"))
        except (BotoCoreError, ClientError) as exc:
            _logger.warning("the heartbeat was not sent: %s", exc)
        ending.wait(heartbeat.PERIOD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
