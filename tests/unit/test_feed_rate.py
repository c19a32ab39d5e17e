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
from slurm_gateway_node.slurm_queue import parse_states
from slurm_gateway_node.store import Store
from slurm_gateway_node.tracker import Tracker
from test_tracker import SUBMITTED, end, record

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


def test_fifty_ends_a_second_of_one_array_are_taken_by_half_a_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm_gateway_node.jobs.user_name", lambda _: "alice")
    store = Store(tmp_path / "feed.db")
    tracker = Tracker(store, "c", ended=lambda _: None)
    states = list(parse_states(f"9_[1-{ENDS}]|PENDING|9"))
    tracker.on_states(SUBMITTED + 1, states)
    tracker.on_jobs(SUBMITTED + 1, [record(9, array_job_id=9, array_task_string=f"1-{ENDS}")])
    tracker.shown(states)

    # As many at a time as the feed reads of the journal when so many come.
    at_once = A_SECOND // 4
    busy = time.process_time()
    for first in range(1, ENDS + 1, at_once):
        tasks = range(first, min(first + at_once, ENDS + 1))
        tracker.on_journal([end(10 + task, array_job_id=9, array_task_id=task) for task in tasks], ("ends-x", first))
    busy = time.process_time() - busy

    told = json.loads(store.waiting(2 * ENDS)[-1][1])
    print(f"{ENDS} ends of one array: {1000 * busy / ENDS:.2f} ms of CPU each")
    assert (told["id"], told["change"]) == ("9", "ended")
    assert busy < SHARE * ENDS / A_SECOND
