"""What the head node's feed tells, from what the queue and the journal say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from slurm_gateway_node.jobs import rfc3339
from slurm_gateway_node.slurm_queue import Accounted, QueuedState, parse_states
from slurm_gateway_node.store import Store
from slurm_gateway_node.tracker import Tracker

from slurm_gateway import job_event

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas/slurm-job-state-change.json").read_text())
SUBMITTED = 1_795_250_000
NO_TASK = 0xFFFFFFFE
STATES = {"PENDING": 0, "RUNNING": 1, "COMPLETED": 3, "CANCELLED": 4, "FAILED": 5}


class World:
    """A tracker with a clock of its own, and all that it told."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "feed.db"
        self.clock = float(SUBMITTED + 2)
        self.files: list[dict[str, Any]] = []
        self.restart()

    def restart(self) -> None:
        self.store = Store(self.path)
        self.tracker = Tracker(
            self.store, "c", ended=lambda detail: self.files.append(dict(detail)), now=lambda: self.clock
        )

    def look(self, lines: str, *records: dict[str, Any]) -> set[int]:
        """Show the queue, two seconds after the last time, and the jobs in full that are asked for."""
        self.clock += 2
        states = list(parse_states(lines))
        wanted = self.tracker.on_states(self.clock, states)
        self.tracker.on_jobs(self.clock, [item for item in records if item["job_id"] in wanted])
        self.tracker.shown(states)
        return wanted

    def journal(self, *entries: dict[str, Any]) -> None:
        self.clock += 0.1
        self.tracker.on_journal(entries, ("ends-2026112110", 1))

    def told(self) -> list[dict[str, Any]]:
        """Give and forget what was told, each as the schema and the recorder want it."""
        waiting = self.store.waiting(1000)
        self.store.sent([number for number, _ in waiting])
        details = [json.loads(detail) for _, detail in waiting]
        for detail in details:
            assert set(detail) == set(SCHEMA["required"]) == set(SCHEMA["properties"])
            job_event.read(detail)
        return details

    def changes(self) -> list[tuple[str, str, str]]:
        return [(detail["id"], detail["change"], detail["state"]) for detail in self.told()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def record(number: int, state: str = "PENDING", **more: Any) -> dict[str, Any]:
    """A job as squeue's JSON shows it."""
    running = {"nodes": "n1", "start_time": SUBMITTED + 1} if state == "RUNNING" else {}
    return {
        "job_id": number,
        "job_state": [state],
        "user_name": "alice",
        "name": "job",
        "partition": "queue1",
        "submit_time": {"set": True, "infinite": False, "number": SUBMITTED},
        "node_count": {"set": True, "infinite": False, "number": 1},
        "cpus": {"set": True, "infinite": False, "number": 1},
        "current_working_directory": "/home/alice",
        "standard_output": f"/home/alice/slurm-{number}.out",
        "restart_cnt": 0,
        **running,
        **more,
    }


def end(number: int, state: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    """A line of the journal."""
    return {
        "told": SUBMITTED + 5, "job_id": number, "array_job_id": 0, "array_task_id": NO_TASK, "het_job_id": 0,
        "user_id": 0, "job_state": STATES[state] | 0x8000, "exit_code": 0, "submit_time": SUBMITTED,
        "start_time": SUBMITTED + 1, "end_time": SUBMITTED + 5, "restart_cnt": 0, "time_limit": NO_TASK,
        "total_nodes": 1, "total_cpus": 1, "name": "job", "partition": "queue1", "nodes": "n1",
        "work_dir": "/home/alice", **more,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slurm_gateway_node.jobs.user_name", lambda uid: {0: "alice", 1: "bob"}[uid])


def test_number_of_a_lost_job_given_to_another_in_the_same_state_is_told_as_both(world: World) -> None:
    number = {"set": True, "infinite": False, "number": SUBMITTED + 9}
    world.look("5|PENDING|5", record(5))
    world.look("")

    assert world.look("5|PENDING|5", record(5, submit_time=number)) == {5}

    assert world.changes() == [("5", "submitted", "PENDING"), ("5", "ended", "UNKNOWN"), ("5", "submitted", "PENDING")]


def test_job_is_told_when_it_is_submitted_starts_and_ends(world: World) -> None:
    world.look("5|PENDING|5", record(5))
    world.look("5|RUNNING|5", record(5, "RUNNING"))
    world.journal(end(5, "FAILED", exit_code=0x700))
    world.look("5|FAILED|5")

    told = world.told()

    assert [(each["change"], each["previous_state"], each["state"]) for each in told] == [
        ("submitted", None, "PENDING"),
        ("started", "PENDING", "RUNNING"),
        ("ended", "RUNNING", "FAILED"),
    ]
    assert (told[2]["exit_code"], told[2]["signal"], told[2]["stdout"]) == (7, None, "/home/alice/slurm-5.out")
    assert [file["event_id"] for file in world.files] == [told[2]["event_id"]]


def test_what_has_not_changed_is_not_asked_about_again(world: World) -> None:
    world.look("5|PENDING|5", record(5))

    assert world.look("5|PENDING|5") == set()


def test_an_array_is_asked_about_until_slurm_has_answered(world: World) -> None:
    lines = "9_[1-3]|PENDING|9"

    assert world.tracker.on_states(world.clock, list(parse_states(lines))) == {9}

    assert world.look(lines, record(9, array_job_id=9, array_task_string="1-3")) == {9}
    assert world.look(lines) == set()
    assert world.changes() == [("9", "submitted", "PENDING")]


def test_a_requeued_job_is_asked_about_until_slurm_has_answered(world: World) -> None:
    world.look("5|RUNNING|5", record(5, "RUNNING"))
    world.journal(end(5, "PENDING", job_state=0x400))
    world.told()

    assert world.tracker.on_states(world.clock + 2, [QueuedState("5", 5, 5, "RUNNING")]) == {5}
    again = record(5, "RUNNING", start_time=SUBMITTED + 4, restart_cnt=1)

    assert world.look("5|RUNNING|5", again) == {5}
    assert world.look("5|RUNNING|5") == set()
    assert [each["restarts"] for each in world.told()] == [1]


def test_a_requeued_job_that_is_gone_is_not_asked_about(world: World) -> None:
    world.look("5|RUNNING|5", record(5, "RUNNING"))
    world.journal(end(5, "PENDING", job_state=0x400))

    assert world.look("") == set()


def test_a_restart_tells_nothing_twice_and_what_was_not_told(world: World) -> None:
    world.look("5|PENDING|5", record(5))
    world.told()
    world.restart()

    world.look("5|PENDING|5", record(5))
    world.journal(end(5), end(5))

    assert world.changes() == [("5", "ended", "COMPLETED")]


def test_the_same_change_has_the_same_id_after_everything_was_forgotten(world: World, tmp_path: Path) -> None:
    world.journal(end(5))
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other")
    other.clock += 100
    other.journal(end(5))

    assert world.told()[0]["event_id"] == other.told()[0]["event_id"]


def test_cancelled_before_its_start_it_never_started(world: World) -> None:
    world.journal(end(5, "CANCELLED", nodes=None, start_time=SUBMITTED + 5, total_nodes=0, total_cpus=0))

    [told] = world.told()

    assert (told["state"], told["start_time"], told["node_list"]) == ("CANCELLED", None, None)


def test_a_held_array_that_is_cancelled_ends_task_by_task(world: World) -> None:
    world.look(
        "9_[1-3]|PENDING|9", record(9, array_job_id=9, array_task_string="1-3", hold=True, standard_output="/h/9_%a")
    )
    assert world.changes() == [("9", "submitted", "PENDING")]

    world.journal(end(9, "CANCELLED", array_job_id=9, array_task_cnt=3, nodes=None))

    told = world.told()
    assert [(each["id"], each["state"], each["array_task_id"]) for each in told] == [
        ("9_1", "CANCELLED", 1), ("9_2", "CANCELLED", 2), ("9_3", "CANCELLED", 3), ("9", "CANCELLED", None),
    ]  # fmt: skip
    assert told[3]["tasks"] == "1-3"


def test_an_array_that_was_cancelled_unseen_is_read_from_the_queue(world: World) -> None:
    world.journal(end(9, "CANCELLED", array_job_id=9, array_task_cnt=2, nodes=None))
    world.told()

    world.look("9_[4,6]|CANCELLED|9", record(9, "CANCELLED", array_job_id=9, array_task_string="4,6"))

    assert [change[:2] for change in world.changes()] == [("9_4", "ended"), ("9_6", "ended"), ("9", "ended")]


def test_tasks_that_started_meanwhile_are_not_cancelled_before_their_start(world: World) -> None:
    world.look("9_[1-3]|PENDING|9", record(9, array_job_id=9, array_task_string="1-3"))
    world.told()

    world.journal(end(9, "CANCELLED", array_job_id=9, array_task_cnt=2, nodes=None))

    assert world.changes() == []


def test_array_is_running_with_its_first_task_and_ends_with_its_last_as_the_worst(world: World) -> None:
    task = {"array_job_id": 9}
    world.look("9_[1-2]|PENDING|9", record(9, array_task_string="1-2", **task))
    world.look(
        "9_[2]|PENDING|9\n9_1|RUNNING|10",
        record(9, array_task_string="2", **task), record(10, "RUNNING", array_task_id=1, **task),
    )  # fmt: skip
    world.journal(end(10, "FAILED", array_task_id=1, exit_code=0x300, **task))
    world.journal(end(9, array_task_id=2, **task))

    assert world.changes() == [
        ("9", "submitted", "PENDING"), ("9_1", "started", "RUNNING"), ("9", "started", "RUNNING"),
        ("9_1", "ended", "FAILED"), ("9", "changed", "PENDING"), ("9_2", "ended", "COMPLETED"),
        ("9", "ended", "FAILED"),
    ]  # fmt: skip


def test_an_array_whose_tasks_end_together_is_told_once_after_them(world: World) -> None:
    world.look("9_[7-8]|PENDING|9", record(9, array_job_id=9, array_task_string="7-8"))
    world.told()

    world.journal(*(end(number, array_job_id=9, array_task_id=number) for number in (7, 8)))

    assert [change[:2] for change in world.changes()] == [("9_7", "ended"), ("9_8", "ended"), ("9", "ended")]


def test_an_array_is_told_before_another_job_that_was_given_its_number_at_once(world: World) -> None:
    world.look("9_[7]|PENDING|9", record(9, array_job_id=9, array_task_string="7"))
    world.told()

    world.journal(end(7, array_job_id=9, array_task_id=7), end(9, user_id=1, submit_time=SUBMITTED + 3))

    assert [(each["id"], each["user"], each["state"]) for each in world.told()] == [
        ("9_7", "alice", "COMPLETED"), ("9", "alice", "COMPLETED"), ("9", "bob", "COMPLETED"),
    ]  # fmt: skip


def test_how_an_array_ended_is_told_by_tasks_that_ended_days_before(world: World) -> None:
    task = {"array_job_id": 9}
    world.look(
        "9_1|RUNNING|10\n9_2|RUNNING|9",
        record(10, "RUNNING", array_task_id=1, **task), record(9, "RUNNING", array_task_id=2, **task),
    )  # fmt: skip
    world.journal(end(10, "FAILED", array_task_id=1, exit_code=0x300, **task))
    world.look("9_2|RUNNING|9")
    world.told()

    later = SUBMITTED + 3 * 24 * 3600
    world.clock = later
    world.tracker.forget(later - 24 * 3600)
    world.journal(end(9, array_task_id=2, end_time=later, told=later, **task))

    told = world.told()[-1]
    assert (told["id"], told["change"], told["state"], told["tasks"]) == ("9", "ended", "FAILED", "1-2")
    assert told["start_time"] == rfc3339(SUBMITTED + 1)


def test_an_array_is_forgotten_with_all_its_tasks(world: World) -> None:
    world.journal(*(end(number, array_job_id=9, array_task_id=number) for number in (8, 9)))
    world.look("9_8|COMPLETED|8\n9_9|COMPLETED|9")
    world.tracker.forget(SUBMITTED)
    assert len(list(world.store.parts())) == 2

    world.look("")
    world.tracker.forget(SUBMITTED + 1000)

    assert [*world.store.parts(), *world.store.wholes()] == []


def test_requeued_job_keeps_its_key(world: World) -> None:
    world.look("5|RUNNING|5", record(5, "RUNNING"))
    world.journal(end(5, "PENDING", job_state=0x400))
    world.look("5|PENDING|5", record(5, submit_time=SUBMITTED + 6, restart_cnt=1))
    world.journal(end(5, submit_time=SUBMITTED + 6, restart_cnt=1, end_time=SUBMITTED + 9, told=SUBMITTED + 9))

    told = world.told()

    assert [(each["change"], each["state"], each["restarts"]) for each in told] == [
        ("started", "RUNNING", 0), ("changed", "PENDING", 1), ("ended", "COMPLETED", 1),
    ]  # fmt: skip
    assert {each["submitted"] for each in told} == {SUBMITTED}


def test_job_that_comes_back_after_a_crash_of_slurmctld_is_told_again(world: World) -> None:
    world.look("5|PENDING|5", record(5))
    world.journal(end(5, "CANCELLED", nodes=None))
    world.told()
    world.clock += 5

    world.look("5|PENDING|5", record(5))

    [told] = world.told()
    assert (told["change"], told["previous_state"], told["submitted"]) == ("changed", "CANCELLED", SUBMITTED)
    assert told["seen_at"] > (SUBMITTED + 6) * 1000


def test_number_that_begins_again_is_another_job(world: World) -> None:
    world.look("5|RUNNING|5", record(5, "RUNNING"))
    later = SUBMITTED + 100
    world.clock = later + 5

    world.journal(end(5, user_id=1, submit_time=later, start_time=later, end_time=later + 1, told=later + 1))

    assert [(each["user"], each["state"], each["submitted"]) for each in world.told()] == [
        ("alice", "RUNNING", SUBMITTED), ("alice", "UNKNOWN", SUBMITTED), ("bob", "COMPLETED", later),
    ]  # fmt: skip


def test_marker_is_the_key_of_a_job_that_the_gateway_submitted(world: World) -> None:
    marker = f"slurm-gateway:{SUBMITTED - 1:010}:{'0' * 32}:{'a' * 64}"
    # What a submit's user has in `extra` stands before it, be it a marker.
    world.look("5|PENDING|5", record(5, extra=f"slurm-gateway:1700000000:{'1' * 32}: {marker}"))
    world.journal(end(6, marker=marker))

    assert [each["submitted"] for each in world.told()] == [SUBMITTED - 1, SUBMITTED - 1]


def test_end_that_the_journal_does_not_tell_is_read_from_the_queue(world: World) -> None:
    world.look("5|RUNNING|5", record(5, "RUNNING"))
    finished = record(5, "COMPLETED", nodes="n1", start_time=SUBMITTED + 1, end_time=SUBMITTED + 4)
    waits = [world.look("5|COMPLETED|5", finished) for _ in range(4)]

    assert waits == [set(), set(), set(), {5}]
    assert world.changes()[1:] == [("5", "ended", "COMPLETED")]


def test_a_look_from_before_the_end_does_not_bring_a_job_back(world: World) -> None:
    world.look("5|RUNNING|5", record(5, "RUNNING"))
    asked_at = world.clock + 1
    world.clock += 2
    world.journal(end(5, told=int(world.clock), end_time=int(world.clock)))

    assert world.tracker.on_states(asked_at, [QueuedState("5", 5, 5, "COMPLETING")]) == set()
    assert world.tracker.on_states(asked_at, [QueuedState("5", 5, 5, "RUNNING")]) == set()


def test_what_is_gone_is_looked_up_and_told_as_unknown_in_the_end(world: World) -> None:
    world.look("5|RUNNING|5\n6|RUNNING|6", record(5, "RUNNING"), record(6, "RUNNING"))
    world.told()
    for _ in range(6):
        world.look("")
    missing = world.tracker.missing(10)
    account = Accounted("5", 5, "alice", "TIMEOUT", 0, 0, SUBMITTED, SUBMITTED + 1, SUBMITTED + 3, 1, 1, "n1")

    world.tracker.on_accounts(missing, [account], last_chance=False)
    assert world.changes() == [("5", "ended", "TIMEOUT")]
    world.tracker.on_accounts(missing, [account], last_chance=True)

    assert missing == {"5": 5, "6": 6}
    assert world.changes() == [("6", "ended", "UNKNOWN")]


def test_heterogeneous_job_is_told_as_a_whole_too(world: World) -> None:
    both = [record(7, "RUNNING", het_job_id=7, het_job_offset=0), record(8, "RUNNING", het_job_id=7, het_job_offset=1)]
    world.look("7+0|RUNNING|7\n7+1|RUNNING|8", *both)
    world.journal(end(7, het_job_id=7, het_job_offset=0), end(8, "FAILED", het_job_id=7, het_job_offset=1))

    told = world.told()

    assert (told[-1]["id"], told[-1]["change"], told[-1]["state"]) == ("7", "ended", "FAILED")
    assert (told[-1]["components"], told[-1]["nodes"]) == (["7+0", "7+1"], 2)
