"""Which streams are watched, where more readers ask than can be served, and how often."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from slurm_gateway_node import job_user, live_output
from slurm_gateway_node.job_user import JobUser
from slurm_gateway_node.live_output import LiveOutput
from slurm_gateway_node.orders import WatchOrder
from slurm_gateway_node.reading import FileRead, Item, ReadFile
from slurm_gateway_node.slurm_job import SlurmJob, job_of


class Slurm:
    """Every job runs; those from 1000 on are bob's."""

    def find(self, job_id: str) -> SlurmJob:
        user = "alice" if int(job_id) < 1000 else "bob"
        record = {"job_id": int(job_id), "user_name": user, "job_state": ["RUNNING"], "submit_time": 7}
        return job_of({**record, "current_working_directory": "/home", "standard_output": "/home/out"})


def watch(live: LiveOutput, user: str, numbers: range) -> None:
    for number in numbers:
        live.watch(WatchOrder("c", str(number), user, 7, "stdout", 0))


def test_one_users_jobs_leave_room_for_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(job_user, "find", lambda name: JobUser(name, 1001, 1001, ()))
    live = LiveOutput(cast("Any", None), cast("Any", Slurm()), cast("Any", None), cast("Any", None), cast("Any", None))

    watch(live, "alice", range(1, 100))
    watch(live, "bob", range(1000, 1001))
    # Who is watched already stays so.
    watch(live, "alice", range(1, 17))

    refused = [record.getMessage() for record in caplog.records]
    assert len(refused) == 99 - 16
    assert all("live/alice/" in line for line in refused)


class Files:
    """Files and a bucket. alice's files give nothing until `hold` is set, as where she has stopped what reads them."""

    def __init__(self) -> None:
        self.hold = threading.Event()
        self.lock = threading.Lock()
        self.busy = 0
        self.busiest = 0
        self.shown: Counter[str] = Counter()

    def read(self, user: JobUser, items: list[Item], _most: int) -> Iterator[ReadFile | FileRead]:
        if user.name == "alice":
            with self.lock:
                self.busy += 1
                self.busiest = max(self.busiest, self.busy)
            self.hold.wait(20)
            with self.lock:
                self.busy -= 1
        for number, item in enumerate(items):
            yield ReadFile(number, item.path, "out", 0, 1, 1)
            yield FileRead(0)

    def put_object(self, **given: Any) -> None:
        self.shown[given["Key"].split("/")[1]] += 1

    def use(self, size: int) -> None:
        """There is bandwidth enough."""


def until(condition: Any) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr(job_user, "find", lambda name: JobUser(name, 1001, 1001, ()))
    monkeypatch.setattr(live_output, "_PERIOD", 0.05)
    return Files()


@pytest.fixture
def live(files: Files) -> Iterator[LiveOutput]:
    settings, slurm = SimpleNamespace(shared=("/home",), bucket="b"), Slurm()
    live = LiveOutput(*cast("Any", (settings, slurm, files, files, files)))
    ending = threading.Event()
    thread = threading.Thread(target=live.run, args=(ending,))
    thread.start()
    yield live
    files.hold.set()
    ending.set()
    thread.join()


def test_files_that_come_slowly_make_no_other_users_output_old(files: Files, live: LiveOutput) -> None:
    watch(live, "alice", range(1, 17))
    until(lambda: files.busy)

    watch(live, "bob", range(1000, 1001))

    until(lambda: files.shown["bob"] >= 5)
    assert (files.shown["alice"], files.busiest) == (0, 2)
    files.hold.set()
    until(lambda: files.shown["alice"] >= 3 * 16)
    assert files.busiest == 2


def test_a_new_order_is_answered_at_once(files: Files, live: LiveOutput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_output, "_PERIOD", 60.0)
    watch(live, "bob", range(1000, 1001))
    until(lambda: files.shown["bob"] == 1)

    watch(live, "bob", range(1000, 1001))

    until(lambda: files.shown["bob"] == 2)


def test_what_nobody_foresaw_ends_the_service(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SimpleNamespace(shared=("/home",), bucket="b")
    live = LiveOutput(*cast("Any", (settings, Slurm(), None, files, files)))
    watch(live, "bob", range(1000, 1001))

    with pytest.raises(AttributeError):
        live.run(threading.Event())
