"""The child that reads a job's files, as the job's user and with nothing of the service's: no credentials, no files.

It runs as a program of its own, isolated from the environment. Standard input has one request as JSON; standard output
gets frames (frames.py). The service checks no path for it: what this user may not read, this process cannot read. What
is checked here keeps the reading from harm: only regular files are opened, only on file systems that the compute nodes
share, and not one byte more than asked for.

    {"item": 0, "path": "/home/alice/a", "name": "a", "size": 5, "mtime": 17, "inode": 9}   a file begins; data follows
    {"end": 5}                                      ... and so many bytes were read of it
    {"item": 0, "path": "/home/alice/b", "problem": "symbolic-link"}
    {"done": true}
"""

from __future__ import annotations

import json
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

# Isolated Python has no path to its own package.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from slurm_gateway_node import child_limits, file_patterns, frames

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class RefusedError(Exception):
    """A file is not read; the message is the problem's word."""


class Reader:
    """Answers one request.

    `shared` are the directories that may be read; `bytes` may be sent in all, and so many `files` of a group; `entries`
    is how many directory entries may be looked through. `items` are what to read, each a `path` or a `pattern`, with
    its `offset` and `limit` in bytes, and its `group`.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self._items = request["items"]
        self._shared = [directory.rstrip("/") + "/" for directory in request["shared"]]
        self._bytes = request["bytes"]
        self._files = request["files"]
        self._search = file_patterns.PatternSearch(request["entries"])
        self._seen: dict[int, set[str]] = {}

    def run(self) -> None:
        """Send all of it."""
        for number, item in enumerate(self._items):
            if "path" in item:
                self._one(number, item, item["path"], item.get("name", ""))
            else:
                self._all(number, item)
        frames.send(1, {"done": True})

    def _all(self, number: int, item: dict[str, Any]) -> None:
        seen = self._seen.setdefault(item["group"], set())
        try:
            for path in self._matches(item):
                if path in seen:
                    continue
                if len(seen) >= self._files:
                    raise RefusedError("too-many-files")
                seen.add(path)
                self._one(number, item, path, _name(path, item["base"]), is_whole=True)
        except (RefusedError, file_patterns.TooManyEntriesError) as exc:
            problem = str(exc) or "too-many-entries"
            frames.send(1, {"item": number, "path": item["pattern"], "problem": problem})

    def _matches(self, item: dict[str, Any]) -> Iterator[str]:
        found = False
        for path in self._search.paths(item["pattern"]):
            # A shell's * names directories too, and nobody means them.
            if not os.path.isdir(path) or os.path.islink(path):
                found = True
                yield path
        if not found:
            raise RefusedError("no-match")

    def _one(self, number: int, item: dict[str, Any], path: str, name: str, *, is_whole: bool = False) -> None:
        about = {"item": number, "path": _shown(path)}
        try:
            if not _is_good(name):
                raise RefusedError("name")
            descriptor = self._open(path)
        except RefusedError as exc:
            frames.send(1, {**about, "problem": str(exc)})
            return
        try:
            status = os.fstat(descriptor)
            limit = min(item["limit"], max(status.st_size - item["offset"], 0))
            if is_whole and item["limit"] and limit > self._bytes:
                frames.send(1, {**about, "problem": "over-limit", "size": status.st_size})
                return
            frames.send(
                1,
                {**about, "name": name, "size": status.st_size, "mtime": status.st_mtime_ns, "inode": status.st_ino},
            )
            frames.send(1, {"end": self._send(descriptor, item["offset"], min(limit, self._bytes))})
        finally:
            os.close(descriptor)

    def _open(self, path: str) -> int:
        try:
            # Before it is opened, for that alone may do something to a device.
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                raise RefusedError("symbolic-link")
            if not stat.S_ISREG(mode):
                raise RefusedError("not-a-regular-file")
            descriptor = os.open(path, _FLAGS)
        except FileNotFoundError:
            raise RefusedError("missing") from None
        except PermissionError:
            raise RefusedError("forbidden") from None
        except OSError as exc:
            raise RefusedError(f"failed: {exc.strerror}") from None
        # After it was opened, for it may have become another meanwhile.
        real = os.readlink(f"/proc/self/fd/{descriptor}")
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and any(real.startswith(each) for each in self._shared):
            return descriptor
        os.close(descriptor)
        raise RefusedError("not-shared" if stat.S_ISREG(mode) else "not-a-regular-file")

    def _send(self, descriptor: int, offset: int, left: int) -> int:
        sent = 0
        while left > 0:
            data = os.pread(descriptor, min(left, frames.CHUNK), offset + sent)
            if not data:
                break
            frames.send(1, data)
            sent += len(data)
            left -= len(data)
        self._bytes -= sent
        return sent


def _name(path: str, base: str) -> str:
    """Return what a file is called in the output: by its place below the working directory, else by its whole path."""
    base = base.rstrip("/") + "/"
    return path[len(base) :] if path.startswith(base) else path.lstrip("/")


def _is_good(name: str) -> bool:
    """Tell whether a name can be part of an object's key; file names are any bytes."""
    try:
        return len(name.encode()) <= frames.LONGEST_NAME and (name.isprintable() or not name)
    except UnicodeEncodeError:
        return False


def _shown(path: str) -> str:
    return os.fsencode(path)[:4096].decode(errors="replace")


if __name__ == "__main__":
    child_limits.confine()
    try:
        Reader(json.load(sys.stdin.buffer)).run()
    except BrokenPipeError:
        # The service has enough, or is gone.
        os._exit(1)
