"""Jobs in one shape: records as Slurm's API versions write them, shortened to what is read."""

from __future__ import annotations

from typing import Any

import pytest

from slurm_gateway import job as jobs
from slurm_gateway import job_id as ids
from slurm_gateway.job_id import JobId
from slurm_gateway.problem import Problem


def number(value: int | None, *, infinite: bool = False) -> dict[str, Any]:
    return {"set": value is not None, "infinite": infinite, "number": value or 0}


def record(**changes: Any) -> dict[str, Any]:
    """Give a running job as v0.0.42 has it."""
    return {
        "job_id": 12,
        "name": "test",
        "user_name": "alice",
        "account": "users",
        "partition": "queue1",
        "job_state": ["RUNNING"],
        "state_reason": "None",
        "hold": False,
        "exit_code": {
            "status": ["SUCCESS"],
            "return_code": number(0),
            "signal": {"id": number(None), "name": ""},
        },
        "submit_time": number(1795250000),
        "start_time": number(1795250001),
        "end_time": number(1826786101),
        "time_limit": number(10),
        "node_count": number(1),
        "nodes": "queue1-dy-t3micro-1",
        "cpus": number(2),
        "current_working_directory": "/home/alice",
        "standard_output": "/home/alice/slurm-12.out",
        "standard_error": "/home/alice/slurm-12.out",
        "restart_cnt": 0,
        "array_job_id": number(0),
        "array_task_id": number(None),
        "array_task_string": "",
        "het_job_id": number(0),
        "het_job_offset": number(0),
        **changes,
    }


def task(number_: int, own: int, **changes: Any) -> dict[str, Any]:
    return record(job_id=own, array_job_id=number(12), array_task_id=number(number_), **changes)


def waiting_tasks(tasks: str, **changes: Any) -> dict[str, Any]:
    return record(
        array_job_id=number(12),
        array_task_id=number(0),
        array_task_string=tasks,
        job_state=["PENDING"],
        nodes="",
        standard_output="/home/alice/slurm-12_4294967294.out",
        standard_error="/home/alice/slurm-12_4294967294.out",
        **changes,
    )


def component(offset: int, **changes: Any) -> dict[str, Any]:
    return record(job_id=12 + offset, het_job_id=number(12), het_job_offset=number(offset), **changes)


def read(job_id: str, *records: dict[str, Any]) -> dict[str, Any]:
    job = jobs.read(records, ids.parse(job_id), "parallelcluster")
    assert job is not None
    return job


def test_a_running_job() -> None:
    assert read("12", record()) == {
        "id": "12",
        "cluster": "parallelcluster",
        "name": "test",
        "user": "alice",
        "account": "users",
        "partition": "queue1",
        "state": "RUNNING",
        "state_flags": [],
        "state_reason": None,
        "held": False,
        "exit_code": None,
        "signal": None,
        "submit_time": "2026-11-21T08:33:20Z",
        "start_time": "2026-11-21T08:33:21Z",
        "end_time": None,
        "time_limit": 600,
        "nodes": 1,
        "node_list": "queue1-dy-t3micro-1",
        "cpus": 2,
        "working_directory": "/home/alice",
        "stdout": "/home/alice/slurm-12.out",
        "stderr": "/home/alice/slurm-12.out",
        "restarts": 0,
        "tasks": None,
        "components": None,
    }


def test_numbers_may_come_bare() -> None:
    bare = {
        name: value["number"] if isinstance(value, dict) and "number" in value else value
        for name, value in record().items()
    }

    assert read("12", bare) == read("12", record())


def test_expanded_paths_go_before_those_with_percent_signs() -> None:
    newer = record(standard_output="/home/alice/%x-%j.out", stdout_expanded="/home/alice/test-12.out")

    assert read("12", newer)["stdout"] == "/home/alice/test-12.out"


def test_errors_go_where_the_output_goes_unless_something_else_was_asked_for() -> None:
    assert read("12", record(standard_error=""))["stderr"] == "/home/alice/slurm-12.out"
    assert read("12", record(standard_error="/tmp/errors"))["stderr"] == "/tmp/errors"


def test_a_job_that_waits_has_not_started_whatever_is_expected() -> None:
    job = read("12", record(job_state=["PENDING"], nodes="", state_reason="Resources"))

    assert (job["start_time"], job["end_time"], job["node_list"]) == (None, None, None)
    assert job["state_reason"] == "Resources"


def test_a_job_that_was_cancelled_before_its_start_never_started() -> None:
    job = read("12", record(job_state=["CANCELLED"], nodes="", end_time=number(1795250001)))

    assert (job["start_time"], job["end_time"]) == (None, "2026-11-21T08:33:21Z")


def test_what_ended_a_job() -> None:
    killed = {"return_code": number(None), "signal": {"id": number(9), "name": "KILL"}}

    assert read("12", record(job_state=["FAILED"], exit_code=killed))["signal"] == 9
    failed = {"return_code": number(3), "signal": {"id": number(None), "name": ""}}
    assert read("12", record(job_state=["FAILED"], exit_code=failed))["exit_code"] == 3


def test_no_time_limit_is_none() -> None:
    assert read("12", record(time_limit=number(None, infinite=True)))["time_limit"] is None


def test_a_job_is_final_when_nothing_more_will_happen() -> None:
    assert jobs.is_final(read("12", record(job_state=["COMPLETED"])))
    assert not jobs.is_final(read("12", record(job_state=["COMPLETED", "COMPLETING"])))
    assert not jobs.is_final(read("12", record(job_state=["CANCELLED", "REQUEUED"])))
    assert not jobs.is_final(read("12", record(job_state=["PENDING"])))


# ---- arrays ------------------------------------------------------------------------------------------------------

ARRAY = [waiting_tasks("2,5-9:2%2"), task(1, 15, nodes="n1"), task(0, 14, nodes="n1", job_state=["FAILED"])]


def test_a_whole_array_runs_while_one_of_its_tasks_does() -> None:
    job = read("12", *ARRAY)

    assert (job["id"], job["state"], job["tasks"], job["end_time"]) == ("12", "RUNNING", "0-2,5-9:2", None)
    assert job["stdout"] == "/home/alice/slurm-12_%a.out"


def test_tasks_of_an_array_are_one_short_list_however_many_have_started() -> None:
    started = [task(place, 100 + place) for place in (*range(900), 903)]

    assert read("12", waiting_tasks("901-902%9"), *started)["tasks"] == "0-899,901-903"
    assert read("12", waiting_tasks("1000,1003,..."), *started)["tasks"] == "0-899,903,1000,1003,..."


def test_of_an_array_that_ended_the_worst_is_told() -> None:
    ends = ["COMPLETED", "FAILED", "CANCELLED"]
    job = read("12", *(task(place, 14 + place, job_state=[state]) for place, state in enumerate(ends)))

    assert job["state"] == "FAILED"
    assert jobs.is_final(job)


@pytest.mark.parametrize(("text", "state"), [("12_1", "RUNNING"), ("12_0", "FAILED"), ("12_2", "PENDING")])
def test_a_task_is_found_in_its_own_record_or_in_that_of_those_that_wait(text: str, state: str) -> None:
    job = read(text, *ARRAY)

    assert (job["id"], job["state"], job["tasks"]) == (text, state, None)


def test_a_waiting_tasks_output_has_its_number() -> None:
    assert read("12_7", *ARRAY)["stdout"] == "/home/alice/slurm-12_7.out"


@pytest.mark.parametrize("text", ["12_6", "12_3", "12_10"])
def test_a_task_that_is_not_among_them_is_not_found(text: str) -> None:
    assert jobs.read(ARRAY, ids.parse(text), "parallelcluster") is None


def test_a_task_has_a_number_of_its_own_once_it_started() -> None:
    assert jobs.own_number(ARRAY, JobId(12, task=1)) == 15
    assert jobs.own_number(ARRAY, JobId(12, task=5)) is None


# ---- heterogeneous jobs ------------------------------------------------------------------------------------------


def test_a_heterogeneous_job_has_its_components_and_all_their_nodes() -> None:
    job = read("12", component(0, nodes="n1"), component(1, nodes="n2"))

    assert (job["id"], job["components"], job["tasks"]) == ("12", ["12+0", "12+1"], None)
    assert (job["nodes"], job["cpus"], job["node_list"]) == (2, 4, "n1,n2")


def test_a_component_is_one_of_them() -> None:
    job = read("12+1", component(0), component(1, nodes="n2"))

    assert (job["id"], job["node_list"], job["components"]) == ("12+1", "n2", None)
    assert jobs.own_number([component(0), component(1)], JobId(12, component=1)) == 13


# ---- by a part's own number ---------------------------------------------------------------------------------------


def test_a_part_that_is_asked_for_by_its_own_number_is_told_under_its_id() -> None:
    assert read("15", task(1, 15)) == read("12_1", task(1, 15))
    assert read("13", component(1)) == read("12+1", component(1))
    assert read("12", task(5, 12))["tasks"] == "5"


# ---- right after a submit ----------------------------------------------------------------------------------------


def test_a_job_right_after_its_submit_has_the_same_members_as_one_that_was_read() -> None:
    sent = {"name": "test", "partition": "queue1", "time_limit": number(10), "array": "0-3%2", "minimum_cpus": 4}

    job = jobs.submitted(12, user="alice", cluster="parallelcluster", descriptions=[sent], submitted_at=1795250000)

    assert list(job) == list(read("12", record()))
    assert (job["state"], job["tasks"], job["time_limit"], job["cpus"]) == ("PENDING", "0-3", 600, 4)
    assert job["submit_time"] == "2026-11-21T08:33:20Z"


# ---- ids ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1", "12", "12_0", "12_3", "12+1", "4294967292"])
def test_an_id_is_written_as_it_was_read(text: str) -> None:
    assert str(ids.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "12_",
        "12_[1-3]",
        "12+",
        "12_3+1",
        "4294967293",
        "4294967295",
        "4294967296",
        "abc",
        "\u0661",
        "12 ",
    ],
)
def test_what_is_no_id_is_no_job(text: str) -> None:
    with pytest.raises(Problem) as refused:
        ids.parse(text)

    assert refused.value.status == 404


def test_in_a_path_a_plus_is_quoted() -> None:
    assert ids.parse("12+1").in_path() == "12%2B1"
