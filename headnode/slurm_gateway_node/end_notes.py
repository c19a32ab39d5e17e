"""The files of the spool, and what is noted there of an end that was collected once.

    {event id}.json          an end, as the feed service left it
    {event id}.again.json    the same once its manifest is there, with the event that tells of it

A version that knows nothing of the second kind takes it for the first. An end may have both for a moment.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_AGAIN = ".again.json"
_TOLD = "output_told"


def name_of(file: Path) -> str:
    """Return the name of an end, whichever of its files this is."""
    return file.name.partition(".")[0]


def oldest_of(spool: Path, most: int, is_wanted: Callable[[str], bool]) -> list[Path]:
    """Return one file each of ends that are wanted, by their name, of at most so many and of the oldest.

    Of two files of an end it is the one with the event.
    """
    found: dict[str, Path] = {}
    for file in sorted(spool.glob("*.json")):
        if not file.name.startswith(".") and is_wanted(name_of(file)):
            found.setdefault(name_of(file), file)
    files = list(found.values())
    return files if len(files) <= most else sorted(files, key=_written_at)[: max(most, 0)]


def _written_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def told(file: Path) -> dict[str, Any] | None:
    """Return the event of an end that was collected once, None for one that was not; OSError or ValueError."""
    if not file.name.endswith(_AGAIN):
        return None
    event: dict[str, Any] | None = json.loads(file.read_bytes()).get(_TOLD)
    return event


def mark(file: Path, event: dict[str, Any]) -> Path:
    """Note that an end was collected, and the event that tells of it; return the file that it has from now on."""
    marked = file.with_name(f"{name_of(file)}{_AGAIN}")
    new = marked.with_suffix(".new")
    with new.open("w", encoding="utf-8") as writing:
        json.dump({**json.loads(file.read_bytes()), _TOLD: event}, writing)
        writing.flush()
        # Nothing else tells of the end once the first file is gone.
        os.fsync(writing.fileno())
    new.rename(marked)
    if file != marked:
        file.unlink(missing_ok=True)
    return marked


def remove(file: Path) -> None:
    """Remove all files of an end."""
    for each in (file.with_name(f"{name_of(file)}.json"), file.with_name(f"{name_of(file)}{_AGAIN}")):
        each.unlink(missing_ok=True)
