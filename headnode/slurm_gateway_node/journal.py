"""The journal of ended jobs that jobcomp.lua writes, file by file and hour by hour."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DIRECTORY = Path("/var/lib/slurm-gateway/journal")
_AT_ONCE = 1 << 18
# slurmctld may still write to the file of the last hour for a moment.
_KEPT = 2 * 3600
_WANTED = ("job_id", "user_id", "job_state", "exit_code", "submit_time", "end_time", "told")

_logger = logging.getLogger(__name__)


class Journal:
    """Reads each line once. Places are a file's name and how many bytes of it were read."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory

    def read(self, place: tuple[str, int]) -> tuple[list[dict[str, Any]], tuple[str, int]]:
        """Return the whole lines after a place, up to some 256 KiB of them, and the place after those."""
        entries: list[dict[str, Any]] = []
        for path in self._from(place[0]):
            begin = self._begin(path, place)
            with path.open("rb") as file:
                file.seek(begin)
                data = file.read(_AT_ONCE)
            whole = data[: data.rfind(b"\n") + 1]
            if len(data) == _AT_ONCE and not whole:
                whole = data  # no line is that long: skip what is none
            entries += _entries(whole)
            if whole:
                place = (path.name, begin + len(whole))
            if entries:
                break
        return entries, place

    def unread(self, place: tuple[str, int]) -> float:
        """Return for how many seconds something has been waiting to be read, 0 for nothing."""
        for path in self._from(place[0]):
            status = path.stat()
            if status.st_size > self._begin(path, place):
                return max(0.0, time.time() - status.st_mtime)
        return 0.0

    def forget(self, place: tuple[str, int]) -> None:
        """Delete the files before a place, which are read to their end, some hours after their last line."""
        for path in self._files():
            if path.name < place[0] and time.time() - path.stat().st_mtime > _KEPT:
                path.unlink()

    def _begin(self, path: Path, place: tuple[str, int]) -> int:
        """Return from where on a file is to be read.

        A crash of the machine may have taken a file's end that was read: what stands there now is new. Of the rest, all
        is known already.
        """
        return place[1] if path.name == place[0] and place[1] <= path.stat().st_size else 0

    def _from(self, name: str) -> list[Path]:
        return [path for path in self._files() if path.name >= name]

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("ends-??????????"))


def _entries(lines: bytes) -> list[dict[str, Any]]:
    found = []
    for line in filter(None, lines.split(b"\n")):
        entry = _entry(line)
        if entry is None:
            _logger.warning("a line of the journal was cut short: %r", line[:80])
        else:
            found.append(entry)
    return found


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry: Mapping[str, Any] = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return None
    is_whole = isinstance(entry, dict) and all(isinstance(entry.get(name), int) for name in _WANTED)
    return dict(entry) if is_whole else None
