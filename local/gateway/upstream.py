"""HTTP connections to what stands behind the gateway: the load balancer and the AWS emulator.

The request target and the header fields go out byte for byte, which general HTTP clients do not promise.
Connections are kept alive, and no proxy environment variable is looked at.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import h11

if TYPE_CHECKING:
    from local.gateway.messages import Headers

CONNECT_TIMEOUT = 5.0
KEEP_ALIVE = 30.0
"""Seconds; shorter than the 40 s of the load balancer, so that the gateway closes first."""

_CHUNK = 256 * 1024


class UpstreamError(Exception):
    """Nothing usable came back: refused, closed or malformed."""


class UpstreamTimeoutError(UpstreamError):
    """Nothing came back in time."""


class UpstreamTooLargeError(UpstreamError):
    """More came back than the gateway passes on."""


@dataclass(frozen=True)
class UpstreamResponse:
    """A complete response."""

    status: int
    headers: Headers
    body: bytes


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_since: float = 0.0

    @property
    def usable(self) -> bool:
        # An idle connection on which something arrived, be it an end or a stray answer, is never used again.
        quiet = not self.reader.at_eof() and not self.writer.is_closing()
        return quiet and time.monotonic() - self.idle_since < KEEP_ALIVE

    def close(self) -> None:
        self.writer.transport.abort()


class Upstream:
    """Connections to one base URL, ``http://HOST:PORT``; as many as there are requests at once."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{base_url!r} is no http:// URL")
        self._host = parts.hostname
        self._port = parts.port or 80
        self._idle: list[_Connection] = []

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def send(
        self, method: str, target: str, headers: Headers, body: bytes, *, seconds: float, limit: int
    ) -> UpstreamResponse:
        """Send a request and wait for the complete response.

        Takes all header fields, Host and Content-Length among them, the time for all of it in seconds and
        the size of the largest body in bytes. It is never sent twice. Raises UpstreamError.
        """
        request = h11.Request(
            method=method.encode("ascii"),
            target=target.encode("ascii"),
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
        )
        try:
            async with asyncio.timeout(seconds):
                connection = self._take_idle() or await self._connect()
                return await self._exchange(connection, request, body, limit)
        except TimeoutError as exc:
            raise UpstreamTimeoutError(f"no answer within {seconds:g} s") from exc
        except (OSError, h11.ProtocolError) as exc:
            raise UpstreamError(type(exc).__name__) from exc

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return _Connection(*await asyncio.open_connection(self._host, self._port))
        except TimeoutError as exc:
            raise UpstreamError("no connection in time") from exc

    async def _exchange(
        self, connection: _Connection, request: h11.Request, body: bytes, limit: int
    ) -> UpstreamResponse:
        protocol = h11.Connection(h11.CLIENT)
        finished = False
        try:
            wire = protocol.send(request) or b""
            if body:
                wire += protocol.send(h11.Data(data=body)) or b""
            connection.writer.write(wire + (protocol.send(h11.EndOfMessage()) or b""))
            await connection.writer.drain()
            response = await _receive(connection.reader, protocol, limit)
            done = protocol.our_state is protocol.their_state is h11.DONE
            finished = done and not protocol.trailing_data[0]
        finally:
            if finished:
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
            else:
                connection.close()
        return response


async def _receive(reader: asyncio.StreamReader, protocol: h11.Connection, limit: int) -> UpstreamResponse:
    started: h11.Response | None = None
    chunks: list[bytes] = []
    size = 0
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            started = event
        elif isinstance(event, h11.Data):
            chunks.append(bytes(event.data))
            size += len(event.data)
            if size > limit:
                raise UpstreamTooLargeError(f"more than {limit} bytes")
        elif started is not None and isinstance(event, h11.EndOfMessage):
            break
        elif not isinstance(event, h11.InformationalResponse):
            raise UpstreamError("closed without an answer")
    headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in started.headers.raw_items()]
    return UpstreamResponse(started.status_code, headers, b"".join(chunks))
