"""Finding the files that a pattern names, as a shell does, with an end to it.

`*`, `?` and `[...]` stand for parts of a name and not for a leading dot; `**` for any number of directories. Links to
directories are followed where a pattern names them, but not by `**`, which could go in circles.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEEPEST = 32
_MAGIC = frozenset("*?[")


class TooManyEntriesError(Exception):
    """A pattern looks through more directory entries than it may."""


class PatternSearch:
    """Looks through at most `entries` directory entries for all its patterns together."""

    def __init__(self, entries: int) -> None:
        self._left = entries

    def paths(self, pattern: str) -> Iterator[str]:
        """Return the existing paths that an absolute pattern names, sorted within each directory.

        Raises TooManyEntriesError. A directory that cannot be listed has nothing in it.
        """
        parts = [part for part in pattern.split("/") if part]
        yield from self._below("/", parts)

    def _below(self, directory: str, parts: list[str]) -> Iterator[str]:
        if not parts:
            return
        first, rest = parts[0], parts[1:]
        if first == "**":
            yield from self._anywhere_below(directory, rest or ["*"], _DEEPEST)
        elif not _MAGIC & set(first):
            path = os.path.join(directory, first)
            if rest:
                yield from self._below(path, rest)
            elif os.path.lexists(path):
                yield path
        else:
            for name in self._names(directory):
                if _fits(name, first):
                    path = os.path.join(directory, name)
                    if not rest:
                        yield path
                    elif os.path.isdir(path):
                        yield from self._below(path, rest)

    def _anywhere_below(self, directory: str, rest: list[str], depth: int) -> Iterator[str]:
        yield from self._below(directory, rest)
        if depth:
            for name in self._names(directory):
                path = os.path.join(directory, name)
                if not name.startswith(".") and _is_own_directory(path):
                    yield from self._anywhere_below(path, rest, depth - 1)

    def _names(self, directory: str) -> list[str]:
        names = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    self._left -= 1
                    if self._left < 0:
                        raise TooManyEntriesError
                    names.append(entry.name)
        except OSError:
            return []
        return sorted(names)


def _fits(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) and (pattern.startswith(".") or not name.startswith("."))


def _is_own_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
