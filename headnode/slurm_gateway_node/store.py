"""What the feed knows and has yet to tell, in an SQLite file: it survives the service, the machine and the network.

    parts    each job, task and component of Slurm's: what was last told of it
    wholes   each array and heterogeneous job
    outbox   events that the bus has not taken
    places   how far the journal was read

A change of a job, its event and the place in the journal that it was read from are one transaction.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS parts (
    id TEXT PRIMARY KEY, base INTEGER NOT NULL, number INTEGER NOT NULL, grouped INTEGER NOT NULL,
    submit_time INTEGER NOT NULL, submitted INTEGER NOT NULL, told_at INTEGER NOT NULL, final INTEGER NOT NULL,
    said TEXT NOT NULL, job TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS parts_by_base ON parts (base, grouped);
CREATE INDEX IF NOT EXISTS parts_by_end ON parts (final, told_at);
CREATE TABLE IF NOT EXISTS wholes (
    base INTEGER PRIMARY KEY, submit_time INTEGER NOT NULL, submitted INTEGER NOT NULL, told_at INTEGER NOT NULL,
    final INTEGER NOT NULL, said TEXT NOT NULL, job TEXT NOT NULL, waiting TEXT
);
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, since REAL NOT NULL, detail TEXT NOT NULL
);
-- It is counted several times a second, also when a network that is away has let gigabytes pile up.
CREATE INDEX IF NOT EXISTS outbox_by_since ON outbox (since);
CREATE TABLE IF NOT EXISTS places (name TEXT PRIMARY KEY, file TEXT NOT NULL, bytes INTEGER NOT NULL);
"""


@dataclass
class PartRow:
    """A job, task or component as it was last told. `told_at` is in Unix milliseconds, the others in seconds."""

    id: str
    base: int
    number: int
    grouped: bool
    submit_time: int
    submitted: int
    told_at: int
    final: bool
    said: str
    job: dict[str, Any]


@dataclass
class WholeRow:
    """An array or heterogeneous job as it was last told. `waiting` are tasks not started, None if that is not known."""

    base: int
    submit_time: int
    submitted: int
    told_at: int
    final: bool
    said: str
    job: dict[str, Any]
    waiting: str | None


class Store:
    """The file. One thread writes in transactions; another may send (`waiting`, `sent`) by a Store of its own."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(str(path), timeout=30, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        # What the kernel has survives the service; after a crash of the machine the queue and slurmdbd are asked.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do what is inside wholly or not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def parts(self) -> Iterator[PartRow]:
        """Give every part."""
        for row in self._db.execute("SELECT * FROM parts"):
            yield _part(row)

    def part(self, part_id: str) -> PartRow | None:
        """Return a part, or None."""
        row = self._db.execute("SELECT * FROM parts WHERE id = ?", (part_id,)).fetchone()
        return None if row is None else _part(row)

    def parts_of(self, base: int, submitted: int) -> list[PartRow]:
        """Return the tasks or components of a whole."""
        rows = self._db.execute(
            "SELECT * FROM parts WHERE base = ? AND grouped = 1 AND submitted = ?", (base, submitted)
        )
        return [_part(row) for row in rows]

    def keep_part(self, row: PartRow) -> None:
        """Write a part."""
        self._db.execute(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.id, row.base, row.number, row.grouped, row.submit_time, row.submitted, row.told_at, row.final,
                row.said, json.dumps(row.job, separators=(",", ":")),
            ),
        )  # fmt: skip

    def wholes(self) -> Iterator[WholeRow]:
        """Give every whole."""
        for row in self._db.execute("SELECT * FROM wholes"):
            yield _whole(row)

    def whole(self, base: int) -> WholeRow | None:
        """Return a whole, or None."""
        row = self._db.execute("SELECT * FROM wholes WHERE base = ?", (base,)).fetchone()
        return None if row is None else _whole(row)

    def keep_whole(self, row: WholeRow) -> None:
        """Write a whole."""
        self._db.execute(
            "INSERT OR REPLACE INTO wholes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.base, row.submit_time, row.submitted, row.told_at, row.final, row.said,
                json.dumps(row.job, separators=(",", ":")), row.waiting,
            ),
        )  # fmt: skip

    def ended_before(self, before: int) -> list[str]:
        """Return the ids of parts that ended before a time (Unix milliseconds).

        A part of a whole is not among them before that is: how the whole ended is told by all of its parts.
        """
        rows = self._db.execute(
            "SELECT id FROM parts WHERE final = 1 AND told_at < :before AND NOT EXISTS ("
            "SELECT 1 FROM wholes WHERE parts.grouped = 1 AND wholes.base = parts.base"
            " AND wholes.submitted = parts.submitted AND (wholes.final = 0 OR wholes.told_at >= :before))",
            {"before": before},
        )
        return [row[0] for row in rows]

    def forget(self, part_ids: list[str], before: int) -> None:
        """Forget parts, and wholes that ended before a time (Unix milliseconds)."""
        self._db.executemany("DELETE FROM parts WHERE id = ?", [(part_id,) for part_id in part_ids])
        self._db.execute("DELETE FROM wholes WHERE final = 1 AND told_at < ?", (before,))

    def place(self) -> tuple[str, int]:
        """Return how far the journal was read."""
        row = self._db.execute("SELECT file, bytes FROM places WHERE name = 'journal'").fetchone()
        return ("", 0) if row is None else (row[0], row[1])

    def keep_place(self, place: tuple[str, int]) -> None:
        """Write how far the journal was read."""
        self._db.execute("INSERT OR REPLACE INTO places VALUES ('journal', ?, ?)", place)

    def tell(self, detail: str) -> None:
        """Put an event, as JSON, into the outbox."""
        self._db.execute("INSERT INTO outbox (since, detail) VALUES (?, ?)", (time.time(), detail))

    def waiting(self, most: int) -> list[tuple[int, str]]:
        """Return the oldest events of the outbox and their numbers there."""
        return self._db.execute("SELECT number, detail FROM outbox ORDER BY number LIMIT ?", (most,)).fetchall()

    def sent(self, numbers: list[int]) -> None:
        """Take events out of the outbox."""
        with self.transaction():
            self._db.executemany("DELETE FROM outbox WHERE number = ?", [(number,) for number in numbers])

    def outbox(self) -> tuple[int, float]:
        """Return how many events wait, and since when the oldest does (Unix seconds; 0 for none)."""
        count, since = self._db.execute("SELECT count(*), min(since) FROM outbox").fetchone()
        return int(count), float(since or 0)


def _part(row: tuple[Any, ...]) -> PartRow:
    return PartRow(
        id=row[0], base=row[1], number=row[2], grouped=bool(row[3]), submit_time=row[4], submitted=row[5],
        told_at=row[6], final=bool(row[7]), said=row[8], job=json.loads(row[9]),
    )  # fmt: skip


def _whole(row: tuple[Any, ...]) -> WholeRow:
    return WholeRow(
        base=row[0], submit_time=row[1], submitted=row[2], told_at=row[3], final=bool(row[4]), said=row[5],
        job=json.loads(row[6]), waiting=row[7],
    )  # fmt: skip
