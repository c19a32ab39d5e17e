"""A job's files, read by a child that is the job's user (read_child.py).

What a child sends is its user's word and no more: it is checked for its shape, and for what was asked. Nor may it send
without end: the service's memory and threads are for everyone's jobs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Union

from . import frames, job_user

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

    from .job_user import JobUser

PATIENCE = 60.0
"""Seconds without a byte after which a file system is given up: it hangs, or somebody stopped the child."""
LONGEST = 7200.0
"""Seconds for which a child is waited for in all."""
_ENTRIES = 200_000
# What a disk or a network file system gives at a time, at the least.
_PIECE = 4096
# Of a path, on the average.
_LETTERS = 512
_LARGEST_NUMBER = 2**64
# 64 bits of seconds, in nanoseconds; before 1970 they are negative, and `touch` sets them as it likes.
_LATEST_TIME = 2**63 * 10**9


class ReadingError(Exception):
    """A child did not do its work; it may be tried again."""


class NoChildError(ReadingError):
    """There was no room for a child on this machine, for which its user can do nothing."""


class SilentChildError(ReadingError):
    """A child gave nothing for too long: its file system hangs, which may pass, or somebody stopped it."""


@dataclass(frozen=True)
class ReadFile:
    """A file that is being read: which item asked for it, what it is called, and how it was found."""

    item: int
    path: str
    name: str
    size: int
    mtime: int
    inode: int

    def state(self) -> tuple[str, int, int, int]:
        """Return what differs once the file has changed."""
        return self.path, self.size, self.mtime, self.inode


@dataclass(frozen=True)
class FileRead:
    """The end of a file, of which so many bytes came."""

    size: int


@dataclass(frozen=True)
class ReadProblem:
    """A file that is not read, and why, in a word of read_child.py's."""

    item: int
    path: str
    problem: str


Event = Union[ReadFile, bytes, FileRead, ReadProblem]


@dataclass(frozen=True)
class Item:
    """What to read: a `path`, or all that a `pattern` names, called by where they lie below `base`.

    What several patterns of a `group` name is read once, and a group has so many files and no more.
    """

    path: str = ""
    pattern: str = ""
    base: str = ""
    offset: int = 0
    limit: int = 0
    group: int = 0


class FileReading:
    """Reads as users. `start` starts a program as a user; `patience` and `longest` are PATIENCE and LONGEST."""

    def __init__(
        self,
        shared: Sequence[str],
        *,
        files: int,
        start: Callable[[JobUser, str], subprocess.Popen[bytes]] = job_user.start,
        patience: float = PATIENCE,
        longest: float = LONGEST,
    ) -> None:
        self._shared = list(shared)
        self._files = files
        self._start = start
        self._patience = patience
        self._longest = longest

    def read(self, user: JobUser, items: Sequence[Item], most_bytes: int) -> Iterator[Event]:
        """Give what is read of the items, in their order; ReadingError.

        Whoever stops early ends the child.
        """
        request = {
            "items": [_request_of(item) for item in items],
            "shared": self._shared,
            "bytes": most_bytes,
            "files": self._files,
            "entries": _ENTRIES,
        }
        try:
            child = self._start(user, "read_child")
        except OSError as exc:
            raise NoChildError(f"no child could be started as {user.name}: {exc.strerror}") from exc
        try:
            allowance = _Allowance(items, self._files, most_bytes)
            for event in self._events(child, request, len(items)):
                allowance.use(event)
                yield event
        finally:
            job_user.end(child)

    def _events(self, child: subprocess.Popen[bytes], request: dict[str, Any], items: int) -> Iterator[Event]:
        assert child.stdin is not None and child.stdout is not None  # noqa: S101, PT018 - pipes, as job_user makes them
        try:
            frames.write(child.stdin.fileno(), json.dumps(request).encode(), self._patience)
            child.stdin.close()
        except frames.SilenceError as exc:
            raise SilentChildError(f"the child was given up before it was told what to read: {exc}") from exc
        except (OSError, frames.FrameError) as exc:
            raise ReadingError("the child died before it was told what to read") from exc
        reader = frames.FrameReader(child.stdout.fileno(), self._patience, self._longest)
        open_file = False
        try:
            while True:
                frame = reader.read()
                if frame is None:
                    raise ReadingError("the child died before it was done")
                if isinstance(frame, dict) and frame.get("done") is True and not open_file:
                    return
                event = _event(frame, items)
                if isinstance(event, (bytes, FileRead)) != open_file:
                    raise ReadingError("the child sent data of no file")
                open_file = isinstance(event, (bytes, ReadFile))
                yield event
        except frames.SilenceError as exc:
            raise SilentChildError(f"the child was given up: {exc}") from exc
        except frames.FrameError as exc:
            raise ReadingError(f"the child was given up: {exc}") from exc


class _Allowance:
    """What a child that does as it is asked stays below."""

    def __init__(self, items: Sequence[Item], files: int, most_bytes: int) -> None:
        self._items = items
        self._bytes = most_bytes
        # Each file has a beginning and an end, each item a problem; what is between them comes in pieces.
        told = 2 * len(items) + files * len({item.group for item in items})
        self._events = 2 * told + 2 * (most_bytes // _PIECE)
        self._of_file = 0
        self._letters = _LETTERS * told

    def use(self, event: Event) -> None:
        """Take note of an event; ReadingError if it is one too many."""
        self._events -= 1
        if isinstance(event, ReadFile):
            self._of_file = self._items[event.item].limit
            self._letters -= len(event.path)
        elif isinstance(event, bytes):
            self._bytes -= len(event)
            self._of_file -= len(event)
        if min(self._events, self._bytes, self._of_file, self._letters) < 0:
            raise ReadingError("the child sent more than was asked for")


def _request_of(item: Item) -> dict[str, Any]:
    asked: dict[str, Any] = {"offset": item.offset, "limit": item.limit, "group": item.group}
    if item.pattern:
        return {**asked, "pattern": item.pattern, "base": item.base}
    return {**asked, "path": item.path}


def _event(frame: dict[str, Any] | bytes, items: int) -> Event:
    if isinstance(frame, bytes):
        return frame
    if "end" in frame:
        return FileRead(_numbers(frame, ["end"])[0])
    item = _numbers(frame, ["item"])[0]
    path, name, problem = (_text(frame.get(key)) for key in ("path", "name", "problem"))
    if item >= items or path is None:
        raise ReadingError("the child told of what was not asked")
    if problem is not None:
        return ReadProblem(item, path, problem[:200])
    if name is None or ".." in name.split("/") or name.startswith("/") or len(name.encode()) > frames.LONGEST_NAME:
        raise ReadingError("the child gave a file no good name")
    [mtime] = _numbers(frame, ["mtime"], range(-_LATEST_TIME, _LATEST_TIME))
    size, inode = _numbers(frame, ["size", "inode"])
    return ReadFile(item, path, name, size, mtime, inode)


def _numbers(frame: dict[str, Any], names: list[str], allowed: range = range(_LARGEST_NUMBER)) -> list[int]:
    values = [frame.get(name) for name in names]
    if not all(type(value) is int and value in allowed for value in values):
        raise ReadingError("the child sent no numbers where they belong")
    return [int(str(value)) for value in values]


def _text(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > 4096:
        return None
    # A half of a surrogate pair can be written in JSON, and nowhere else.
    return value.encode(errors="replace").decode()
