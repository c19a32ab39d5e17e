"""The access log in the template's own format.

Source: developer guide, http-api-logging and http-api-logging-variables. A variable without a value is
written as a hyphen.
"""

from __future__ import annotations

import json
import re
from typing import IO, TYPE_CHECKING

from local.gateway.errors import ConfigurationError
from local.gateway.exchange import Exchange, is_known_variable

if TYPE_CHECKING:
    from pathlib import Path

PLACE = "stage.AccessLogSettings.Format"
FORMAT_LIMIT = 3 * 1024
"""Bytes. Source: developer guide, limits, "Access log template size"."""

_VARIABLE = re.compile(r"\$context\.([A-Za-z0-9_.-]*[A-Za-z0-9_])")


class LogFormat:
    """A format, one line a request. Raises ConfigurationError for an unknown variable."""

    def __init__(self, text: str) -> None:
        if not text or len(text.encode()) > FORMAT_LIMIT:
            raise ConfigurationError(PLACE, f"it must have 1 to {FORMAT_LIMIT} bytes")
        self._literals = _VARIABLE.split(text)[0::2]
        self._names = _VARIABLE.split(text)[1::2]
        for name in self._names:
            if not is_known_variable(name):
                raise ConfigurationError(PLACE, f"the local gateway knows no variable $context.{name}")
        for literal in self._literals:
            if "$" in literal or "\n" in literal:
                raise ConfigurationError(PLACE, f"a $ that begins no $context variable, or a line break: {literal!r}")
        if "requestId" not in self._names and "extendedRequestId" not in self._names:
            raise ConfigurationError(PLACE, "API Gateway demands $context.requestId or $context.extendedRequestId")

    def line(self, exchange: Exchange) -> str:
        """Give the line of one request. Values are escaped as in JSON: none ends a string or a line."""
        parts = [self._literals[0]]
        for name, literal in zip(self._names, self._literals[1:], strict=True):
            value = exchange.variable(name)
            parts += ["-" if value is None else json.dumps(value)[1:-1], literal]
        return "".join(parts)


class AccessLog:
    """A file that grows by a line a request; it is opened once and written through."""

    def __init__(self, log_format: LogFormat, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._format = log_format
        self._file: IO[str] = path.open("a", buffering=1, encoding="utf-8")

    def write(self, exchange: Exchange) -> None:
        """Write the line of one request."""
        self._file.write(self._format.line(exchange) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
