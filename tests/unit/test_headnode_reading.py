"""What the head node reads of Slurm's, where users may have written anything."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from slurm_gateway_node import daemons, jobs, task_lists
from slurm_gateway_node.journal import Journal
from slurm_gateway_node.output_paths import Names, expanded
from slurm_gateway_node.queue_service import RequestError, command
from slurm_gateway_node.settings import Settings
from slurm_gateway_node.slurm_queue import QueuedState, QueueError, parse_states
from slurm_gateway_node.store import Store

ENTRY = {"job_id": 5, "user_id": 0, "job_state": 3, "exit_code": 0, "submit_time": 1, "end_time": 2, "told": 2}
NAMES = Names(job=20, number=22, user="alice", name="align", nodes="queue1-dy-t3micro-[3-4],x", is_array=True, task=3)
SETTINGS = Settings(
    region="r", cluster="c", event_bus="b", slurm_prefix=Path("/opt/slurm"), slurm_etc=Path("/opt/slurm/etc"),
    slurmrestd_address="127.0.0.1", slurmrestd_port=6830, accounting=True,
)  # fmt: skip


def lines(*entries: object) -> str:
    return "".join(f"\n{json.dumps(entry)}\n" for entry in entries)


def test_journal_is_read_once_across_its_files(tmp_path: Path) -> None:
    (tmp_path / "ends-2026112110").write_text(lines(ENTRY, {**ENTRY, "job_id": 6}))
    (tmp_path / "ends-2026112111").write_text(lines({**ENTRY, "job_id": 7}))
    journal = Journal(tmp_path)

    first, place = journal.read(("", 0))
    second, place = journal.read(place)

    assert [entry["job_id"] for entry in first + second] == [5, 6, 7]
    assert journal.read(place) == ([], place)
    assert journal.unread(place) == 0


def test_line_that_is_not_whole_waits_and_one_that_was_cut_short_is_left(tmp_path: Path) -> None:
    file = tmp_path / "ends-2026112110"
    file.write_text('\n{"job_id": 4, "user_' + lines(ENTRY) + '\n{"job_id"')
    journal = Journal(tmp_path)

    entries, place = journal.read(("", 0))
    assert [entry["job_id"] for entry in entries] == [5]
    assert journal.read(place)[0] == []
    assert journal.unread(place) >= 0

    file.write_text(file.read_text().removesuffix('\n{"job_id"') + lines({**ENTRY, "job_id": 6}))
    assert [entry["job_id"] for entry in journal.read(place)[0]] == [6]


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "ends-2026112110").write_bytes(b'\n{"name":"\xff\xfe",' + json.dumps(ENTRY).encode()[1:] + b"\n")

    [entry] = Journal(tmp_path).read(("", 0))[0]

    assert entry["name"] == "\ufffd\ufffd"


def test_a_file_whose_end_a_crash_of_the_machine_took_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "ends-2026112110"
    file.write_text(lines(ENTRY, {**ENTRY, "job_id": 6}))
    journal = Journal(tmp_path)
    place = journal.read(("", 0))[1]

    file.write_text(lines(ENTRY))
    assert journal.unread(place) > 0
    entries, place = journal.read(place)
    file.write_text(lines(ENTRY, {**ENTRY, "job_id": 7}))

    assert [entry["job_id"] for entry in entries + journal.read(place)[0]] == [5, 7]


def test_a_user_whom_the_directory_did_not_know_is_asked_about_again(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[int, str] = {}
    monkeypatch.setattr(jobs.pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name=known[uid]))
    jobs._user_name.cache_clear()

    assert jobs.user_name(4_000_000) == "4000000"
    known[4_000_000] = "alice"
    assert jobs.user_name(4_000_000) == "alice"
    known.clear()
    assert jobs.user_name(4_000_000) == "alice"


def test_what_waits_is_counted_without_a_look_at_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "feed.db")
    [(*_, plan)] = store._db.execute("EXPLAIN QUERY PLAN SELECT count(*), min(since) FROM outbox").fetchall()
    with store.transaction():
        store.tell("{}")

    assert "COVERING INDEX" in plan
    assert store.outbox()[0] == 1


def test_files_that_were_read_are_deleted_later(tmp_path: Path) -> None:
    for name, age in (("ends-2026112107", 3 * 3600), ("ends-2026112110", 3 * 3600), ("ends-2026112109", 60)):
        (tmp_path / name).write_text(lines(ENTRY))
        os.utime(tmp_path / name, (time.time() - age,) * 2)

    Journal(tmp_path).forget(("ends-2026112110", 5))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["ends-2026112109", "ends-2026112110"]


def test_states_are_read() -> None:
    printed = "12|RUNNING|12\n13_[1-5,7%2]|PENDING|13\n13_6|COMPLETED|15\n16+1|PENDING|17\n"
    assert list(parse_states(printed)) == [
        QueuedState("12", 12, 12, "RUNNING"),
        QueuedState("13", 13, 13, "PENDING", "1-5,7"),
        QueuedState("13_6", 13, 15, "COMPLETED"),
        QueuedState("16+1", 16, 17, "PENDING"),
    ]


@pytest.mark.parametrize("line", ["12|RUNNING", "x|RUNNING|1", "12|running|12", "12_[a]|PENDING|12", "slurm_load_jobs"])
def test_line_that_is_none_is_not_believed(line: str) -> None:
    with pytest.raises(QueueError, match="a line that is none"):
        list(parse_states(f"1|RUNNING|1\n{line}\n"))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("", "/home/alice/slurm-20_3.out"),
        ("out/%x-%A_%2a.%u", "/home/alice/out/align-20_03.alice"),
        ("/scratch/%5j%%", "/scratch/00022%"),
        ("%N-%J", "/home/alice/queue1-dy-t3micro-3-22"),
        ("a\\%j", "/home/alice/a%j"),
        ("%t-%q", "/home/alice/%t-%q"),
    ],
)
def test_output_path_is_as_slurm_makes_it(pattern: str, path: str) -> None:
    assert expanded(pattern, "/home/alice", NAMES) == path


def test_output_path_of_a_job_and_of_an_array_as_a_whole() -> None:
    plain = Names(job=22, number=22, user="alice", name="align")
    whole = Names(job=20, number=20, user="alice", name="align", is_array=True)
    assert [expanded("", "/h", plain), expanded("", "/h", whole)] == ["/h/slurm-22.out", "/h/slurm-20_%a.out"]


@pytest.mark.parametrize(("text", "tasks"), [("1-3,7", {1, 2, 3, 7}), ("0-10:5", {0, 5, 10}), ("", set())])
def test_lists_of_tasks_are_read_and_written(text: str, tasks: set[int]) -> None:
    assert task_lists.parse(text) == task_lists.parse(task_lists.text(tasks)) == tasks


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        (range(0, 100_001, 2), "0-100000:2"),
        ((1, 2, 3, 7), "1-3,7"),
        ((1, 2, 5, 8, 9, 10), "1-2,5,8-10"),
        ((0, 10, 20, 21, 22, 30), "0-20:10,21-22,30"),
        ((4, 6), "4,6"),
        ((), ""),
    ],
)
def test_lists_of_tasks_are_written_as_short_as_slurm_does(tasks: Iterable[int], text: str) -> None:
    assert task_lists.text(tasks) == text
    assert task_lists.parse(text) == set(tasks)


@pytest.mark.parametrize(
    "request_",
    [
        {}, {"ask": "rm"}, {"ask": "jobs"}, {"ask": "jobs", "numbers": ["1; rm"]}, {"ask": "jobs", "numbers": [0]},
        {"ask": "jobs", "numbers": []}, {"ask": "accounts", "numbers": [1.5]}, {"ask": "jobs", "numbers": [1] * 1001},
        {"ask": "jobs", "numbers": "12"}, {"ask": ["jobs"], "numbers": [1]},
    ],
)  # fmt: skip
def test_the_service_that_is_slurmuser_runs_three_commands_only(request_: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        command(SETTINGS, request_)


def test_daemons_whose_commands_cannot_be_started_are_down(tmp_path: Path) -> None:
    settings = replace(SETTINGS, slurm_prefix=tmp_path, slurmrestd_port=1)

    assert daemons.states(settings) == {"slurmctld": "DOWN", "slurmrestd": "DOWN", "slurmdbd": "DOWN"}


def test_what_the_service_runs() -> None:
    states, jobs = (command(SETTINGS, request) for request in ({"ask": "states"}, {"ask": "jobs", "numbers": [3, 4]}))
    assert (states[0], "--only-job-state" in states) == ("/opt/slurm/bin/squeue", True)
    assert jobs == ["/opt/slurm/bin/squeue", "--states=all", "--all", "--jobs=3,4", "--json"]
