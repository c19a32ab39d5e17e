"""HTTP as bytes: what a client writes goes out exactly so, and every response that comes back is told."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from tests.real.conftest import Stack

TIMEOUT = 40.0
THREADS = 8
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [^\r\n]*\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Answer:
    """What came back on a connection: the status and body of each response, and all bytes as they came."""

    statuses: tuple[int, ...]
    bodies: tuple[bytes, ...]
    wire: bytes

    @property
    def status(self) -> int:
        """The first response's status, 0 where the connection was closed without one."""
        return self.statuses[0] if self.statuses else 0


def connect(stack: Stack) -> socket.socket:
    """Open a connection to the API."""
    address = urlsplit(stack.api)
    return socket.create_connection((str(address.hostname), address.port or 80), timeout=TIMEOUT)


def exchange(stack: Stack, data: bytes) -> Answer:
    """Write the bytes, say that there are no more, and read until the other side closes.

    What waits for the rest of a request sees its end instead, so nothing here takes as long as a time-out.
    """
    with connect(stack) as connection:
        wire = b""
        # Where it is closed before all was written, what came until then is the answer.
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while received := connection.recv(1 << 16):
                wire += received
    return _read(wire)


def in_parallel(function: Callable[[T], R], items: Iterable[T], threads: int = THREADS) -> list[R]:
    """Give the function's results for the items, in their order."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def request(method: str | bytes, target: str | bytes, headers: Iterable[bytes] = (), body: bytes = b"") -> bytes:
    """Give a request's bytes: Host and, with a body, Content-Length are added, and the connection ends with it."""
    line = b"%s %s HTTP/1.1" % (_bytes(method), _bytes(target))
    length = [b"Content-Length: %d" % len(body)] if body else []
    return b"\r\n".join([line, b"Host: api", b"Connection: close", *headers, *length, b"", body])


def pair(name: str | bytes, token: str | bytes) -> list[bytes]:
    """Give the two headers of a Slurm token."""
    return [b"X-SLURM-USER-NAME: " + _bytes(name), b"X-SLURM-USER-TOKEN: " + _bytes(token)]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _read(wire: bytes) -> Answer:
    statuses: list[int] = []
    bodies: list[bytes] = []
    rest = wire
    while line := _STATUS_LINE.match(rest):
        head, _, after = rest.partition(b"\r\n\r\n")
        found = _LENGTH.search(head + b"\r\n")
        size = int(found[1]) if found else 0
        if line[1] != b"100":
            statuses.append(int(line[1]))
            bodies.append(after[:size])
        rest = after[size:]
    return Answer(tuple(statuses), tuple(bodies), wire)
