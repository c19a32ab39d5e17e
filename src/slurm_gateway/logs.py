"""Log lines as JSON objects, the same on AWS and on one machine.

Each line has `timestamp`, `level`, `logger`, `message` and whatever the call gave as `extra`. Lambda's
JSON log format takes such lines as they are, and the template has it drop none for its `level`.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

# The logger of what has to be known afterwards, such as who was given which token.
AUDIT = f"{__package__}.audit"

# What every record carries; anything else in it came with `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Take a record; return its JSON, a traceback included as text."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "timestamp": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in vars(record).items() if key not in _OWN)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Send this process's log to standard error as JSON lines.

    What AUDIT logs is written at every level. Otherwise `level` counts for this package; libraries are heard from
    WARNING on, since botocore's finer levels print requests and answers, and so tokens' signatures.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(__package__).setLevel(level)
    logging.getLogger(AUDIT).setLevel(logging.INFO)
