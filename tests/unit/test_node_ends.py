"""The spool of ended jobs: nothing leaves it undone, nobody waits for another, and late writes are seen."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from slurm_gateway_node import ends as ends_module
from slurm_gateway_node.collection import Found, Plan
from slurm_gateway_node.ends import Ends
from slurm_gateway_node.job_end import JobEnd
from slurm_gateway_node.job_user import JobUser, UnknownUserError
from slurm_gateway_node.reading import Item, NoChildError, ReadFile, ReadingError, SilentChildError

STATE = ("/home/x", 5, 1, 1)


class World:
    """In place of Slurm, S3, the bus and the file system: what happened, and what shall go wrong."""

    def __init__(self) -> None:
        self.planned: Counter[str] = Counter()
        self.collected: Counter[str] = Counter()
        self.given_up: dict[str, str] = {}
        self.told: list[str] = []
        self.failures: dict[str, list[Exception]] = {}
        self.looks = 0
        self.forgotten = False
        self.refused_again = False
        self.state = STATE
        self.hold = threading.Event()
        self.hold.set()
        self.busy: Counter[str] = Counter()
        self.busiest: Counter[str] = Counter()

    def plan(self, end: JobEnd) -> Plan:
        if end.user == "nobody":
            raise UnknownUserError("there is no user 'nobody' on this head node")
        self.planned[end.id] += 1
        return self.plan_of(end)

    def plan_of(self, end: JobEnd) -> Plan:
        user, items = JobUser(end.user, 1001, 1001, ()), (Item(path="/home/x", limit=9),)
        return Plan(user, items, ("stdout",), is_known=not self.forgotten)

    def collect(self, end: JobEnd, plan: Plan) -> tuple[dict[str, Any], Found]:
        assert plan == self.plan_of(end)
        self.busy[end.user] += 1
        self.busiest[end.user] = max(self.busiest[end.user], self.busy[end.user])
        if end.user == "slow":
            self.hold.wait(20)
        self.busy[end.user] -= 1
        if self.failures.get(end.id):
            raise self.failures[end.id].pop(0)
        if self.refused_again and self.collected[end.id]:
            raise ReadingError("killed")
        self.collected[end.id] += 1
        return self.manifest(end), Found(states={STATE if self.collected[end.id] == 1 else self.state})

    def give_up(self, end: JobEnd, problem: str) -> dict[str, Any]:
        self.given_up[end.id] = problem
        return self.manifest(end)

    def manifest(self, end: JobEnd) -> dict[str, Any]:
        return {"cluster": "c", "id": end.id, "user": end.user, "submitted": 1, "collected_at": "t", "stdout": None,
                "stderr": None, "files": [], "problems": [], "more_problems": 0}  # fmt: skip

    def read(self, user: JobUser, items: list[Item], most: int) -> Iterator[ReadFile]:
        assert (user.name, most) == ("alice", 0) or user.name == "slow"
        self.looks += 1
        for number, _ in enumerate(items):
            path, size, mtime, inode = self.state
            yield ReadFile(number, path, "x", size, mtime, inode)

    def send(self, told: dict[str, Any]) -> None:
        self.told.append(told["id"])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(ends_module, "_AGAIN", (0.05, 0.1))
    monkeypatch.setattr(ends_module, "_PERIOD", 0.02)
    monkeypatch.setattr(ends_module, "_LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(ends_module, "_PAUSES_OF_SILENCE", (0.05, 60.0, 60.0))
    return World()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def service(world: World, spool: Path) -> Iterator[None]:
    """Run the service until the end of the block."""
    ending = threading.Event()
    ends: Any = Ends(spool, world, world, world)  # type: ignore[arg-type]
    thread = threading.Thread(target=ends.run, args=(ending,))
    thread.start()
    try:
        yield
    finally:
        world.hold.set()
        ending.set()
        thread.join()


@pytest.fixture
def run(world: World, tmp_path: Path) -> Iterator[Callable[[Callable[[], bool]], None]]:
    with service(world, tmp_path):
        yield until


def end(spool: Path, job_id: int, user: str = "alice", ended_at: float | None = None) -> None:
    detail = {"id": str(job_id), "cluster": "c", "user": user, "submitted": 1, "start_time": 1,
              "end_time": int(ended_at or time.time())}  # fmt: skip
    (spool / f"{job_id}.tmp").write_text(json.dumps(detail))
    (spool / f"{job_id}.tmp").rename(spool / f"{job_id}.json")


def is_empty(spool: Path) -> bool:
    return not list(spool.glob("*.json"))


def test_an_end_is_collected_and_told_once_and_then_looked_at_twice(world: World, run: Any, tmp_path: Path) -> None:
    end(tmp_path, 1)

    run(lambda: is_empty(tmp_path))

    assert (world.collected["1"], world.told, world.looks) == (1, ["1"], 2)


def test_what_changed_afterwards_is_collected_and_told_again(world: World, run: Any, tmp_path: Path) -> None:
    world.state = ("/home/x", 6, 2, 1)
    end(tmp_path, 1)

    run(lambda: is_empty(tmp_path))

    assert (world.collected["1"], world.told) == (2, ["1", "1"])
    # Slurm may have forgotten the job by then.
    assert world.planned["1"] == 1


def test_what_fails_is_tried_again_and_stays_in_the_spool(world: World, run: Any, tmp_path: Path) -> None:
    world.failures["1"] = [ReadingError("killed"), ReadingError("killed"), RuntimeError("unforeseen")]
    end(tmp_path, 1)

    run(lambda: is_empty(tmp_path))

    assert world.collected["1"] == 1


def test_a_file_system_that_hangs_is_given_time_and_others_are_collected_meanwhile(
    world: World, run: Any, tmp_path: Path
) -> None:
    world.failures["1"] = [SilentChildError("it sent nothing for 60 s")] * 9
    end(tmp_path, 1)
    run(lambda: len(world.failures["1"]) == 7)

    end(tmp_path, 2)
    run(lambda: world.collected["2"] == 1)

    # Its next turn is in a minute.
    assert (len(world.failures["1"]), world.given_up) == (7, {})


def test_what_the_machine_has_no_room_for_is_no_fault_of_its_users(world: World, run: Any, tmp_path: Path) -> None:
    world.failures["1"] = [NoChildError("no child could be started")] * 9
    end(tmp_path, 1)

    run(lambda: is_empty(tmp_path))

    assert (world.collected["1"], world.given_up) == (1, {})


def test_of_more_ends_than_there_is_room_for_the_oldest_come_first(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_module, "_MOST_NOTED", 2)
    for age, job_id in enumerate((3, 1, 4, 2)):
        end(tmp_path, job_id)
        os.utime(tmp_path / f"{job_id}.json", (time.time() - 100 + age,) * 2)
    world.failures = {str(job_id): [RuntimeError("S3 is away")] * 3 for job_id in (3, 1)}

    with service(world, tmp_path):
        until(lambda: not any(world.failures.values()))
        assert set(world.planned) == {"3", "1"}
        until(lambda: is_empty(tmp_path))

    assert world.collected == Counter("1234")


def test_a_user_whose_ends_fail_leaves_places_for_others(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_module, "_MOST_NOTED", 3)
    monkeypatch.setattr(ends_module, "_MOST_NOTED_A_USER", 2)
    for job_id in range(1, 5):
        end(tmp_path, job_id, "slow")
        world.failures[str(job_id)] = [SilentChildError("it sent nothing for 60 s")] * 2
    end(tmp_path, 100)

    with service(world, tmp_path):
        until(lambda: world.collected["100"] == 1)
        until(lambda: len(world.failures["1"]) == len(world.failures["2"]) == 0)

    assert set(world.planned) == {"1", "2", "100"}


def test_what_its_user_does_not_let_be_read_is_given_up(world: World, run: Any, tmp_path: Path) -> None:
    world.failures["1"] = [ReadingError("killed")] * 99
    end(tmp_path, 1)
    end(tmp_path, 2, "nobody")
    end(tmp_path, 3, ended_at=time.time() - 5 * 24 * 3600)

    run(lambda: is_empty(tmp_path))

    assert world.given_up == {
        "1": "failed: the files could not be read",
        "2": "failed: there is no user 'nobody' on this head node",
        "3": "too-late",
    }
    assert sorted(world.told) == ["1", "2", "3"]


def test_a_user_whose_files_come_slowly_holds_up_no_other(world: World, run: Any, tmp_path: Path) -> None:
    world.hold.clear()
    for job_id in range(1, 20):
        end(tmp_path, job_id, "slow")
    run(lambda: world.busy["slow"] > 0)

    end(tmp_path, 100)
    run(lambda: world.collected["100"] == 1)

    assert world.busiest["slow"] <= 5
    world.hold.set()
    run(lambda: is_empty(tmp_path))


def test_slurm_is_asked_about_ends_that_wait_for_their_turn(world: World, run: Any, tmp_path: Path) -> None:
    world.hold.clear()
    for job_id in range(1, 20):
        end(tmp_path, job_id, "slow")

    run(lambda: len(world.planned) == 19)

    assert world.collected.total() == 0
    world.hold.set()
    run(lambda: is_empty(tmp_path))
    assert set(world.planned.values()) == set(world.collected.values()) == {1}


def test_a_file_that_tells_of_no_end_is_put_aside(world: World, run: Any, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")

    run(lambda: is_empty(tmp_path))

    assert [each.name for each in tmp_path.iterdir()] == ["x.bad"]


@pytest.fixture
def stopped(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A service that stopped between the collection of an end and its last look at the files."""
    monkeypatch.setattr(ends_module, "_AGAIN", (60.0,))
    end(tmp_path, 1)
    with service(world, tmp_path):
        until(lambda: world.told == ["1"])
    assert not is_empty(tmp_path)
    monkeypatch.setattr(ends_module, "_AGAIN", (0.05,))
    return world


def test_what_slurm_has_forgotten_meanwhile_is_not_collected_again(stopped: World, tmp_path: Path) -> None:
    stopped.forgotten = True

    with service(stopped, tmp_path):
        until(lambda: is_empty(tmp_path))

    # That it was told cannot be known.
    assert (stopped.collected["1"], stopped.told, stopped.given_up) == (1, ["1", "1"], {})


def test_what_slurm_still_knows_is_collected_again_after_a_restart(stopped: World, tmp_path: Path) -> None:
    with service(stopped, tmp_path):
        until(lambda: is_empty(tmp_path))

    assert stopped.collected["1"] == 2


@pytest.mark.parametrize("reason", ["too-late", "user"])
def test_what_was_collected_is_never_given_up(
    stopped: World, tmp_path: Path, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == "too-late":
        monkeypatch.setattr(ends_module, "_OLDEST", -1)
    else:
        monkeypatch.setattr(stopped, "plan", lambda _: _raise(UnknownUserError("gone")))

    with service(stopped, tmp_path):
        until(lambda: is_empty(tmp_path))

    assert (stopped.collected["1"], stopped.given_up) == (1, {})


def test_what_changed_and_cannot_be_read_any_more_keeps_its_manifest(world: World, run: Any, tmp_path: Path) -> None:
    world.state = ("/home/x", 6, 2, 1)
    world.refused_again = True
    end(tmp_path, 1)

    run(lambda: is_empty(tmp_path))

    assert (world.collected["1"], world.given_up) == (1, {})


def test_an_end_with_both_its_files_is_dealt_with_once(world: World, run: Any, tmp_path: Path) -> None:
    end(tmp_path, 1)
    # As a service leaves them that is killed between them.
    both = json.loads((tmp_path / "1.json").read_text()) | {"output_told": {"id": "1"}}
    (tmp_path / "1.again.json").write_text(json.dumps(both))

    run(lambda: is_empty(tmp_path))

    assert list(tmp_path.iterdir()) == []
    assert world.collected["1"] == 1


def test_a_failure_waits_for_nothing_that_is_under_way(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hold.clear()
    end(tmp_path, 1, "slow")
    failures: list[BaseException | None] = []
    service: Any = Ends(tmp_path, world, world, world)  # type: ignore[arg-type]

    def run() -> None:
        with pytest.raises(RuntimeError, match="unforeseen") as caught:
            service.run(threading.Event())
        failures.append(caught.value)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: world.busy["slow"] > 0)
    monkeypatch.setattr(service, "_take_note", lambda: _raise(RuntimeError("unforeseen")))

    thread.join(10)

    assert (len(failures), world.busy["slow"]) == (1, 1)
    world.hold.set()


def _raise(exc: Exception) -> Any:
    raise exc
