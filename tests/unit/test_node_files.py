"""The files service's own judgement: which files, which orders, which job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from slurm_gateway_node import job_end, job_user, orders, output_event, output_files, slurm_job
from slurm_gateway_node.collection import Collector
from slurm_gateway_node.files_settings import FilesSettings
from slurm_gateway_node.job_user import JobUser
from slurm_gateway_node.output_files import Names
from slurm_gateway_node.settings import SettingsError

from slurm_gateway import collect, head_node_orders, output_facts

NAMES = Names(job_id="12_3", number=15, job_name="train", user="alice", batch_host="node-1.example.org")
MARKER = f"slurm-gateway:1795250000:{'a' * 32}:{'c' * 64}"
INPUT = head_node_orders.InputOrder(
    cluster="parallelcluster", job_id="12", user="alice", submitted=1795250000, marker=MARKER, bucket="bucket",
    key="inbox/a", version="v", size=3, path="/home/alice/inbox/0123456789abcdef/a",
)  # fmt: skip
WATCH = head_node_orders.WatchOrder("parallelcluster", "12_3", "alice", 1795250000, "stderr", 5)


# ---- names of files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("slurm-%A_%a.out", "slurm-12_3.out"),
        ("%j %J %x %u", "15 15 train alice"),
        ("%N-%n-%t-%s", "node-1-0-0-batch"),
        ("%5a|%12j|%4x", "00003|0000000015|train"),
        ("100%%-%q-%", "100%-%q-%"),
        ("%b", "3"),
    ],
)
def test_signs_in_a_files_name_stand_for_what_slurm_makes_of_them(path: str, expected: str) -> None:
    assert output_files.expand(path, NAMES) == expected


def test_a_script_names_files_where_sbatch_looks_for_options() -> None:
    script = b'#!/bin/bash\n#SBATCH -n1\n#GATEWAY output=a/*.csv  output="b c" # both\n\n'
    script += b" #GATEWAY\toutput=d\necho\n#GATEWAY output=e\n"

    assert output_files.wanted(script, "") == output_files.Wanted(("a/*.csv", "b c", "d"), ())


def test_what_cannot_be_understood_is_told() -> None:
    script = b'#GATEWAY output=../up\n#GATEWAY input=x output=\n#GATEWAY output="open\n'
    script += b"#GATEWAYS output=no\n#GATEWAY output=\xff\n"

    found = output_files.wanted(script, "")

    assert found.patterns == ("�",)
    assert set(found.misunderstood) == {"../up", "input=x", "output=", 'output="open'}


def test_a_script_of_nothing_but_comments_takes_little_memory() -> None:
    script = b"#!/bin/sh\n#GATEWAY output=a\n" + b"##\n" * 1_300_000

    tracemalloc.start()
    found = output_files.wanted(script, "")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found.patterns == ("a",)
    assert peak < 3 * len(script)


def test_a_line_that_is_cut_off_where_a_script_is_looked_at_no_more_names_nothing() -> None:
    script = b"#!/bin/sh\n#GATEWAY output=a\n" + b"#GATEWAY output=" + b"b" * 300_000

    assert output_files.wanted(script, "") == output_files.Wanted(("a",), ())


def test_what_a_submit_asks_to_collect_arrives_through_the_jobs_extra_field() -> None:
    patterns = ["results/*.csv", "a,b c/ü?.txt", "x%j"]

    assert output_files.wanted(None, f"mine {MARKER} {collect.word(patterns)}").patterns == tuple(patterns)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a//b/./c", "/home/alice/a/b/c"), ("/x", "/x"), ("", ""), ("../x", "/home/alice/../x")],
)
def test_a_path_begins_at_the_working_directory(path: str, expected: str) -> None:
    assert output_files.absolute(path, "/home/alice") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/a", True),
        ("/homes/a", False),
        ("/home", False),
        ("/home/../etc/x", False),
        ("/shared/a", True),
        ("", False),
    ],
)
def test_a_shared_directory_is_known_by_its_whole_name(path: str, expected: bool) -> None:
    assert output_files.is_below(path, ("/home", "/shared/")) is expected


# ---- orders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [INPUT, WATCH], ids=["input", "watch"])
def test_what_the_functions_send_is_what_the_head_node_understands(order: Any) -> None:
    assert asdict(orders.parse(head_node_orders.body(order))) == asdict(order)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"kind":"delete"}',
        json.dumps({"kind": "input", **asdict(WATCH)}),
        json.dumps({"kind": "watch", **asdict(WATCH), "more": 1}),
        *(
            head_node_orders.body(replace(INPUT, **wrong))
            for wrong in (
                {"path": "relative"}, {"path": "/a/../b"}, {"path": "/a//b"}, {"path": "/a/"}, {"path": "/a\0"},
                {"size": -1}, {"size": "3"}, {"size": True}, {"user": "../x"}, {"user": ""}, {"job_id": "1; rm"},
                {"marker": ""}, {"marker": MARKER + " x"},
            )
        ),
        *(
            head_node_orders.body(replace(WATCH, **wrong))
            for wrong in ({"stream": "../x"}, {"offset": -1}, {"job_id": "012"}, {"user": "a/b"})
        ),
    ],
)  # fmt: skip
def test_a_message_that_is_no_order_is_refused(body: str) -> None:
    with pytest.raises(orders.OrderError):
        orders.parse(body)


# ---- jobs --------------------------------------------------------------------------------------------------------


def record(**changes: Any) -> dict[str, Any]:
    return {
        "job_id": 15, "array_job_id": {"set": True, "infinite": False, "number": 0}, "user_name": "alice",
        "submit_time": {"set": True, "infinite": False, "number": 1795250007}, "job_state": ["RUNNING"], "hold": False,
        "standard_output": "/home/alice/slurm-15.out", "current_working_directory": "/home/alice", "extra": "",
        "batch_host": "node-1", "name": "train", **changes,
    }  # fmt: skip


def test_a_job_of_the_gateways_is_known_by_its_marker_and_another_by_its_submit_time() -> None:
    assert slurm_job.job_of(record()).submitted == 1795250007
    ours = slurm_job.job_of(record(extra=f"mine {MARKER}"))
    assert (ours.submitted, ours.marker()) == (1795250000, MARKER)
    # What a submit's user writes stands before it.
    written = slurm_job.job_of(record(extra=f"slurm-gateway:1700000000:{'0' * 32}:{'a' * 64} {MARKER}"))
    assert (written.submitted, written.marker()) == (1795250000, MARKER)


def test_a_requeued_job_is_still_the_one_whose_record_is_older_and_nobody_elses() -> None:
    requeued = slurm_job.job_of(record(restart_cnt=1))

    assert requeued.is_of("alice", 1795250000)
    assert not requeued.is_of("bob", 1795250000)
    assert not slurm_job.job_of(record()).is_of("alice", 1795250000)


def test_parts_of_jobs_have_the_ids_that_people_write() -> None:
    number = {"set": True, "infinite": False, "number": 12}
    task = record(array_job_id=number, array_task_id={"set": True, "infinite": False, "number": 3})
    component = record(het_job_id=number, het_job_offset={"set": True, "infinite": False, "number": 1})

    assert [slurm_job.job_of(each).id for each in (record(), task, component)] == ["15", "12_3", "12+1"]


def test_where_output_goes_is_told_by_every_version() -> None:
    old = slurm_job.job_of(record())
    new = slurm_job.job_of(record(standard_output="%j", stdout_expanded="/x/15", stderr_expanded="/x/15.err"))

    assert (old.stdout, old.stderr) == ("/home/alice/slurm-15.out",) * 2
    assert (new.stdout, new.stderr) == ("/x/15", "/x/15.err")


@pytest.mark.parametrize(
    ("changes", "held", "running"),
    [
        ({"job_state": ["PENDING"], "hold": True}, True, False),
        ({"job_state": ["PENDING"]}, False, False),
        ({}, False, True),
        ({"job_state": ["COMPLETED", "COMPLETING"]}, False, True),
        ({"job_state": ["COMPLETED"], "hold": True}, False, False),
    ],
)
def test_a_job_is_held_or_runs_or_neither(changes: dict[str, Any], held: bool, running: bool) -> None:
    job = slurm_job.job_of(record(**changes))
    assert (job.is_held, job.is_running) == (held, running)


@pytest.mark.parametrize(
    ("reason", "state", "hold", "by_admin"),
    [
        ("JobHeldAdmin", "PENDING", True, True),
        ("JobHeldUser", "PENDING", True, False),
        ("None", "PENDING", True, False),
        # What it was held by once.
        ("JobHeldAdmin", "PENDING", False, False),
        ("JobHeldAdmin", "CANCELLED", True, False),
    ],
)
def test_an_administrators_hold_is_told_from_a_users(reason: str, state: str, hold: bool, by_admin: bool) -> None:
    job = slurm_job.job_of(record(job_state=[state], hold=hold, state_reason=reason))
    assert job.is_held_by_admin is by_admin


def test_an_end_is_read_as_the_feed_writes_it(tmp_path: Path) -> None:
    detail = {
        "id": "12_3", "cluster": "c", "user": "alice", "submitted": 1795250000, "submit_time": "2026-11-21T08:33:20Z",
        "start_time": "2026-11-21T08:33:21Z", "end_time": "2026-11-21T08:33:26Z", "stdout": "/a", "stderr": None,
        "working_directory": "/home/alice", "name": "x", "state": "COMPLETED",
    }  # fmt: skip
    file = tmp_path / "x.json"
    file.write_text(json.dumps(detail))

    end = job_end.read(file)

    assert (end.id, end.submitted, end.ended_at, end.has_started, end.stderr) == (
        "12_3", 1795250000, 1795250006, True, "",
    )  # fmt: skip
    assert job_end.of_detail(detail | {"submitted": None}).submitted == 1795250000


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": "../x", "cluster": "c", "user": "a", "end_time": 1}'])
def test_a_file_that_tells_of_no_end_is_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(job_end.JobEndError):
        job_end.read(tmp_path / "x.json")


class Slurm:
    """Knows one job, or none."""

    def __init__(self, job: slurm_job.SlurmJob | None) -> None:
        self.job = job

    def find(self, _job_id: str) -> slurm_job.SlurmJob | None:
        return self.job

    def batch_script(self, _number: int) -> bytes:
        return b"#!/bin/sh\n#GATEWAY output=a\n"


@pytest.mark.parametrize(("job", "patterns"), [(record(), ["/home/alice/a"]), (None, [])])
def test_a_plan_says_whether_slurm_still_has_the_job(
    monkeypatch: pytest.MonkeyPatch, job: dict[str, Any] | None, patterns: list[str]
) -> None:
    monkeypatch.setattr(job_user, "find", lambda name: JobUser(name, 1001, 1001, ()))
    slurm = Slurm(slurm_job.job_of(job) if job else None)
    settings = SimpleNamespace(shared=("/home",), output_bytes=9)
    detail = {"id": "15", "cluster": "c", "user": "alice", "submitted": 1795250007, "start_time": 1, "end_time": 2,
              "stdout": "/home/alice/slurm-15.out"}  # fmt: skip

    plan = Collector(*cast("Any", (settings, slurm, None, None, None))).plan(job_end.of_detail(detail))

    assert (plan.is_known, plan.streams) == (job is not None, ("stdout",))
    assert [item.pattern for item in plan.items if item.pattern] == patterns


# ---- what is told ------------------------------------------------------------------------------------------------


def test_the_event_has_sizes_and_problems_and_no_place_in_s3() -> None:
    manifest = {
        "version": 1, "cluster": "c", "id": "12", "user": "alice", "submitted": 1, "ended_at": 2,
        "collected_at": "2026-11-21T08:33:27.000001Z",
        "stdout": {"size": 5}, "stderr": None, "one_stream": False,
        "files": [{"name": "a", "size": 2}, {"name": "b", "size": 3}],
        "problems": [{"path": f"/{number}", "problem": "missing"} for number in range(30)], "more_problems": 4,
    }  # fmt: skip

    told = output_event.detail(manifest)

    assert told["files"] == {"count": 2, "size": 5}
    assert (len(told["problems"]), told["more_problems"]) == (10, 24)
    assert "output/" not in json.dumps(told)
    assert output_facts.read(told).output["problems"] == told["problems"]
    schema = json.loads((Path(__file__).resolve().parents[2] / "schemas/slurm-job-output.json").read_text())
    assert set(told) == set(schema["properties"]) == set(schema["required"])
    assert told["event_id"] == output_event.detail(manifest)["event_id"]
    assert told["event_id"] != output_event.detail({**manifest, "collected_at": "later"})["event_id"]


def test_settings_name_all_that_is_wrong_with_them() -> None:
    environ = {
        "AWS_REGION": "r", "CLUSTER_NAME": "c", "EVENT_BUS": "b", "SLURM_PREFIX": "/opt/slurm", "SLURM_ETC": "/etc",
        "SLURMRESTD_ADDRESS": "a", "PORT": "6830", "BUCKET": "bucket", "HEAD_NODE_QUEUE_URL": "u",
        "SHARED_DIRECTORIES": "/home:/shared", "OUTPUT_MAX_BYTES": "5", "OUTPUT_MAX_FILES": "6",
        "OUTPUT_BANDWIDTH": "7", "ACCOUNTING": "yes",
    }  # fmt: skip

    assert FilesSettings.from_environ(environ).shared == ("/home", "/shared")
    with pytest.raises(SettingsError, match="BUCKET, OUTPUT_MAX_FILES"):
        FilesSettings.from_environ(environ | {"BUCKET": "", "OUTPUT_MAX_FILES": "0"})


# ---- the service -------------------------------------------------------------------------------------------------


def test_a_part_that_fails_ends_the_service_whatever_another_has_under_way() -> None:
    script = """
import threading
from slurm_gateway_node import files, logs
from slurm_gateway_node.workers import workers

def copies(ending):
    with workers(1, "copy") as pool:
        pool.submit(threading.Event().wait)
        begun.set()

def fails(ending):
    with workers(1, "collect") as pool:
        pool.submit(threading.Event().wait)
        begun.wait()
        raise RuntimeError("unforeseen")

begun = threading.Event()
logs.configure()
files.FilesSettings.from_environ = lambda _: type("Settings", (), {"shared": ()})
files._parts = lambda _: [copies, fails]
raise SystemExit(files.main())
"""
    environ = {**os.environ, "PYTHONPATH": str(Path(job_end.__file__).parents[1])}

    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=20, check=False
    )

    assert done.returncode == 1
    assert "a part of the service has failed" in done.stderr
    assert "RuntimeError: unforeseen" in done.stderr
