"""What goes through the pipe between the files service and a child: messages as JSON, and data between them.

A frame is one byte, M for a message or D for data, four bytes of length, and its bytes. What a child sends is not
trusted, for its user may trace it: a frame's length is bounded, and its reader waits only so long for the next byte,
and for all of them together.
"""

from __future__ import annotations

import json
import math
import os
import select
import struct
import time
from typing import Any

CHUNK = 256 * 1024
LONGEST_NAME = 700
"""Bytes of a file's name: an object's key holds 1024, and user, cluster and job stand before the name."""
_LONGEST = CHUNK
_HEAD = struct.Struct(">cI")

Message = dict[str, Any]


class FrameError(Exception):
    """The other side hung up within a frame, sent what is none, or sent nothing for too long."""


class SilenceError(FrameError):
    """The other side sent or took nothing for too long."""


def send(descriptor: int, frame: Message | bytes, patience: float | None = None) -> None:
    """Write a message or data; BrokenPipeError if nobody reads.

    With `patience` FrameError if the other side takes nothing for so many seconds; else whoever reads is waited for.
    """
    kind, body = (b"D", frame) if isinstance(frame, bytes) else (b"M", json.dumps(frame).encode())
    write(descriptor, _HEAD.pack(kind, len(body)) + body, patience)


def write(descriptor: int, data: bytes, patience: float | None = None) -> None:
    """Write bytes that are no frame, as `send` does."""
    os.set_blocking(descriptor, patience is None)
    view = memoryview(data)
    while view:
        if patience is not None and not select.select([], [descriptor], [], patience)[1]:
            raise SilenceError(f"it took nothing for {patience:g} s")
        view = view[os.write(descriptor, view) :]


class FrameReader:
    """Reads frames from a pipe, waiting at most `patience` seconds for each next byte, and `longest` for all."""

    def __init__(self, descriptor: int, patience: float, longest: float = math.inf) -> None:
        self._descriptor = descriptor
        self._patience = patience
        self._longest = longest
        self._waited = 0.0
        self._buffer = bytearray()

    def read(self) -> Message | bytes | None:
        """Return the next message or data, None at the end; FrameError."""
        if not self._fill(_HEAD.size, may_end=True):
            return None
        kind, length = _HEAD.unpack_from(self._buffer)
        if kind not in (b"M", b"D") or length > _LONGEST:
            raise FrameError("it sent what is no frame")
        self._fill(_HEAD.size + length)
        body = bytes(self._buffer[_HEAD.size : _HEAD.size + length])
        del self._buffer[: _HEAD.size + length]
        return body if kind == b"D" else _message(body)

    def _fill(self, size: int, *, may_end: bool = False) -> bool:
        while len(self._buffer) < size:
            begin = time.monotonic()
            ready, _, _ = select.select([self._descriptor], [], [], self._patience)
            self._waited += time.monotonic() - begin
            if self._waited > self._longest:
                raise SilenceError(f"it was waited for longer than {self._longest:g} s in all")
            if not ready:
                raise SilenceError(f"it sent nothing for {self._patience:g} s")
            data = os.read(self._descriptor, CHUNK)
            if not data:
                if may_end and not self._buffer:
                    return False
                raise FrameError("it hung up")
            self._buffer += data
        return True


def _message(body: bytes) -> Message:
    message: object | None
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise FrameError("it sent what is no JSON") from exc
    if not isinstance(message, dict):
        raise FrameError("it sent what is no message")
    return message
