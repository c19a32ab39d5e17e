"""The head node's feed keeps up with fifty job ends a second, from Slurm's journal to the bus."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from slurm_gateway_node.journal import Journal
from slurm_gateway_node.sender import Sender
from slurm_gateway_node.store import Store
from slurm_gateway_node.tracker import Tracker
from test_tracker import SUBMITTED, end

ENDS = 2000
A_SECOND = 50
# Of one core's time: the rest is slurmctld's, and that of whoever else is on the machine.
SHARE = 0.5


class Bus:
    """A bus that takes everything, as slowly as EventBridge does, and ends the sender after so many events."""

    def __init__(self, ending: threading.Event) -> None:
        self.ending = ending
        self.told: list[str] = []

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - as boto3 has it
        time.sleep(0.02)
        self.told += [json.loads(entry["Detail"])["id"] for entry in Entries]
        if len(self.told) >= ENDS:
            self.ending.set()
        return {"Entries": [{"EventId": str(number)} for number in range(len(Entries))]}


def test_fifty_ends_a_second_are_told_by_half_a_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slurm_gateway_node.jobs.user_name", lambda _: "alice")
    directory = tmp_path / "journal"
    directory.mkdir()
    lines = "".join(json.dumps(end(number)) + "\n" for number in range(1, ENDS + 1))
    (directory / f"ends-{time.strftime('%Y%m%d%H', time.gmtime(SUBMITTED))}").write_text(lines)
    store, journal, ending = Store(tmp_path / "feed.db"), Journal(directory), threading.Event()
    tracker = Tracker(store, "c", ended=lambda _: None)
    bus = Bus(ending)

    began, busy = time.monotonic(), time.process_time()
    while True:
        entries, place = journal.read(store.place())
        if place == store.place():
            break
        tracker.on_journal(entries, place)
    read = time.process_time() - busy
    Sender(bus, "bus", lambda: Store(tmp_path / "feed.db"), ending).run()  # type: ignore[arg-type]
    took, busy = time.monotonic() - began, time.process_time() - busy

    assert sorted(bus.told, key=int) == [str(number) for number in range(1, ENDS + 1)]
    assert store.outbox()[0] == 0
    print(
        f"{ENDS} ends: {ENDS / took:.0f} a second, {1000 * busy / ENDS:.2f} ms of CPU each, {read / busy:.0%} to read"
    )
    assert busy < SHARE * ENDS / A_SECOND
    assert took < ENDS / A_SECOND
