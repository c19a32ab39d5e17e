"""The HTTP/1.1 server in front of the gateway.

API Gateway's limits and refusals concern bytes that an ASGI application never sees: line ends, folded
headers, two lengths, the size of the head. So the server reads the head itself, lets
:mod:`local.gateway.strictness` judge it, and leaves framing to h11. A response is complete before it is
sent, as API Gateway does not stream HTTP APIs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus

import h11

from local.gateway.errors import GatewayError
from local.gateway.messages import Request, Response
from local.gateway.request_id import request_id
from local.gateway.strictness import END_OF_HEAD, check_head, check_unfinished

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes of a payload, either way. Source: developer guide, limits, HTTP API quotas ("10 MB")."""

KEEP_ALIVE = 75.0
"""Seconds that an idle connection is kept. Not documented by AWS."""

READ_TIMEOUT = 30.0
"""Seconds that a started request may pause. Not documented by AWS."""

DRAIN_TIMEOUT = 2.0
_CHUNK = 256 * 1024

Application = Callable[[Request], Awaitable[Response]]
logger = logging.getLogger(__name__)


class Server:
    """Listens on an address and port and answers each request by ``application(request)``."""

    def __init__(self, application: Application, host: str, port: int) -> None:
        self._application = application
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Begin to listen; gives the port, of interest when 0 was asked for. Raises OSError if taken."""
        self._server = await asyncio.start_server(self._accept, self._host, self._port, backlog=1024)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._connections.add(task)
        try:
            await _Connection(self._application, reader, writer).serve()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()


class _Connection:
    def __init__(self, application: Application, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._application = application
        self._reader = reader
        self._writer = writer
        peer = writer.get_extra_info("peername")
        self._client: str = peer[0] if peer else ""
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
        self._unread = b""

    async def serve(self) -> None:
        while True:
            try:
                head = await self._read_head()
                if head is None:
                    return
                request = await self._read_request(head)
            except GatewayError as refusal:
                response = refusal.response()
                response.headers.append(("apigw-requestid", request_id()))
                await self._send(response, "GET", close=True)
                await self._drain_input()
                return
            response = await self._answer(request)
            await self._send(response, request.method, close=False)
            if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
                return
            self._unread = self._protocol.trailing_data[0]
            self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._application(request)
        except Exception:
            # The gateway must outlive its own faults; the traceback names lines of code, not headers.
            logger.exception("fault in the gateway while answering %s", request.method)
            return GatewayError(500).response()

    async def _read_head(self) -> bytes | None:
        """Give a complete, judged head, or None where the client closed or went silent between requests."""
        data = self._unread
        timeout = KEEP_ALIVE if not data else READ_TIMEOUT
        while True:
            data = data.removeprefix(b"\r\n")  # RFC 9112, 2.2: an empty line before the request line is ignored
            end = data.find(END_OF_HEAD)
            if end >= 0:
                check_head(data[:end])
                self._unread = data[end + len(END_OF_HEAD) :]
                return data[: end + len(END_OF_HEAD)]
            check_unfinished(data)
            try:
                more = await asyncio.wait_for(self._reader.read(_CHUNK), timeout)
            except TimeoutError:
                return None
            if not more:
                return None
            data += more
            timeout = READ_TIMEOUT

    async def _read_request(self, head: bytes) -> Request:
        self._protocol.receive_data(head + self._unread)
        started: h11.Request | None = None
        body: list[bytes] = []
        size = 0
        while True:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as exc:
                raise GatewayError(400, "malformed request") from exc
            if isinstance(event, h11.Request):
                started = event
                self._check_announced_length(event)
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
                size += len(event.data)
                if size > BODY_LIMIT:
                    raise GatewayError(413)
            elif isinstance(event, h11.EndOfMessage):
                break
            elif event is h11.NEED_DATA:
                await self._read_more()
            else:
                raise ConnectionError("closed inside a request")
        assert started is not None  # noqa: S101
        return Request(
            method=started.method.decode("ascii"),
            target=started.target.decode("ascii"),
            headers=[(name.decode("ascii"), value.decode("latin-1")) for name, value in started.headers.raw_items()],
            body=b"".join(body),
            client=self._client,
        )

    async def _read_more(self) -> None:
        if self._protocol.they_are_waiting_for_100_continue:
            go_on = self._protocol.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            self._writer.write(go_on or b"")
        more = await asyncio.wait_for(self._reader.read(_CHUNK), READ_TIMEOUT)
        self._protocol.receive_data(more)

    @staticmethod
    def _check_announced_length(request: h11.Request) -> None:
        for name, value in request.headers:
            if name == b"content-length" and int(value) > BODY_LIMIT:
                raise GatewayError(413)

    async def _send(self, response: Response, method: str, *, close: bool) -> None:
        headers = [("Date", formatdate(usegmt=True)), *response.headers]
        if response.status not in (204, 304):
            headers.append(("Content-Length", str(len(response.body))))
        if close:
            # After a refusal h11 may be in any state, even that of an error: a fresh one frames the answer.
            self._protocol = h11.Connection(h11.SERVER)
            self._protocol.receive_data(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self._protocol.next_event()
            headers.append(("Connection", "close"))
        try:
            wire = self._frame(response, headers)
        except (h11.LocalProtocolError, UnicodeError):
            # A header that an integration returned cannot be written down: API Gateway calls that its own
            # fault.
            response = GatewayError(500).response()
            wire = self._frame(response, [*response.headers, ("Content-Length", str(len(response.body)))])
        if method != "HEAD" and response.status not in (204, 304):
            wire += self._protocol.send(h11.Data(data=response.body)) or b""
        wire += self._protocol.send(h11.EndOfMessage()) or b""
        self._writer.write(wire)
        await self._writer.drain()

    def _frame(self, response: Response, headers: list[tuple[str, str]]) -> bytes:
        event = h11.Response(
            status_code=response.status,
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
            reason=_reason(response.status),
        )
        return self._protocol.send(event) or b""

    async def _drain_input(self) -> None:
        """Read on for a moment after a refusal, so that closing does not reset the answer away."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()
            async with asyncio.timeout(DRAIN_TIMEOUT):
                while await self._reader.read(_CHUNK):
                    pass


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""
