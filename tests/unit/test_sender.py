"""What the head node's sender does with events that the bus does not take."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from slurm_gateway_node import job_events, sender
from slurm_gateway_node.sender import Sender
from slurm_gateway_node.store import Store

LIMIT = 256 * 1024


def size(entry: dict[str, Any]) -> int:
    """An entry's bytes, as EventBridge counts them."""
    return 14 + sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))


class Bus:
    """EventBridge, which refuses a request for its size or its content. It ends the sender once all was tried."""

    def __init__(self) -> None:
        self.ending = threading.Event()
        self.limit = LIMIT
        self.untried: set[str] = set()
        self.told: list[dict[str, Any]] = []
        self.requests: list[int] = []
        self.disliked = ""
        self.code = "ValidationException"
        self.words = "Total size of the entries in the request is over the limit."

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - as boto3 has it
        self.requests.append(sum(map(size, Entries)))
        details = [json.loads(entry["Detail"]) for entry in Entries]
        ids = {detail["id"] for detail in details}
        is_refused = self.requests[-1] > self.limit or self.disliked in ids
        if not is_refused or len(Entries) == 1:
            self.untried -= ids
        if not self.untried or len(self.requests) > 50:
            self.ending.set()
        if is_refused:
            raise ClientError({"Error": {"Code": self.code, "Message": self.words}}, "PutEvents")
        self.told += details
        return {"Entries": [{"EventId": "x"} for _ in Entries]}


class World:
    """An outbox, and the bus that it is sent to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path)
        self.bus = Bus()

    def tell(self, told: dict[str, Any]) -> None:
        self.store.tell(json.dumps(told))
        self.bus.untried.add(told["id"])

    def send(self) -> list[str]:
        """Run the sender; return the ids that the bus has taken."""
        Sender(self.bus, "bus", lambda: Store(self.path), self.bus.ending).run()  # type: ignore[arg-type]
        return [told["id"] for told in self.bus.told]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(sender, "_LONGEST_PAUSE", 0.01)
    return World(tmp_path / "feed.db")


def detail(number: int, **more: Any) -> dict[str, Any]:
    job = {
        "id": str(number), "cluster": "c", "name": "job", "user": "alice", "state": "PENDING", "state_flags": [],
        "held": False, "restarts": 0, "start_time": None, "end_time": None, "exit_code": None, "signal": None,
        "time_limit": None, "partition": "queue1", "tasks": None, "node_list": None, "working_directory": "/home/alice",
        "stdout": "/a", "stderr": None, "components": None, **more,
    }  # fmt: skip
    return job_events.detail(job, change="submitted", previous=None, submitted=1, seen_at=1000)


def test_events_that_are_large_together_are_sent_apart(world: World) -> None:
    path = f"/home/alice/{'ü' * 2000}"
    for number in range(1, 31):
        world.tell(detail(number, working_directory=path, stdout=path, stderr=path, name="ü" * 500))

    assert world.send() == [str(number) for number in range(1, 31)]

    assert world.bus.told[0]["stdout"] == path
    assert max(world.bus.requests) < LIMIT / 1.5
    assert len(world.bus.requests) < 6


def test_an_event_of_an_older_version_is_shortened(world: World) -> None:
    world.tell({**detail(1), "tasks": ",".join(str(number) for number in range(0, 100_001, 2))})

    assert world.send() == ["1"]

    assert (world.bus.told[0]["tasks"][:6], world.bus.told[0]["tasks"][-4:]) == ("0,2,4,", ",...")


@pytest.mark.parametrize("code", ["ValidationException", "413"])
def test_an_event_that_is_too_large_by_itself_is_given_up(
    world: World, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.bus.disliked, world.bus.code, world.bus.words = "2", code, "" if code == "413" else world.bus.words
    for number in (1, 2, 3):
        world.tell(detail(number))

    assert world.send() == ["1", "3"]

    assert world.store.outbox()[0] == 0
    assert "an event was given up, it is too large for the bus" in caplog.text


def test_what_is_refused_for_another_reason_waits_and_holds_up_no_other(world: World) -> None:
    world.bus.disliked, world.bus.words = "2", "1 validation error detected"
    for number in (1, 2, 3):
        world.tell(detail(number))

    assert world.send() == ["1", "3"]

    assert [json.loads(told)["id"] for _, told in world.store.waiting(10)] == ["2"]


def test_half_a_surrogate_pair_does_not_stop_the_feed(world: World) -> None:
    world.tell(detail(1, name="a\ud800b"))

    assert world.send() == ["1"]

    assert world.bus.told[0]["name"] == "a?b"


def test_no_event_is_too_large_for_the_bus() -> None:
    worst = "\x01" * 4095
    tasks = ",".join(str(number**2) for number in range(10_000))
    nodes = f"n[{tasks}]"

    told = detail(
        1, working_directory=worst, stdout=worst, stderr="/" * 2_000_000, name="\x01" * 1024, tasks=tasks,
        node_list=nodes,
    )  # fmt: skip

    assert len(json.dumps(told)) < LIMIT / 2
    assert (told["working_directory"], told["stdout"], told["stderr"]) == (worst, worst, None)
    for name, whole in (("tasks", tasks), ("node_list", nodes)):
        first, end = told[name][:-4], told[name][-4:]
        assert (whole.startswith(f"{first},"), end) == (True, ",...")
    # What was cut off tells changes apart all the same.
    assert told["event_id"] != detail(1, name="\x01" * 1024, tasks=f"{tasks},1")["event_id"]
