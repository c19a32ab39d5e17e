"""Reading, listing, changing and cancelling jobs, on real Slurm."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from slurm_gateway import job as jobs
from slurm_gateway import job_id as ids
from slurm_gateway import task_lists
from slurm_gateway.api_version import KNOWN
from tests.real.conftest import Stack, slurm, wait_for

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(stack: Stack) -> Ask:
    def send(method: str, path: str, user: str = "alice", **arguments: Any) -> httpx.Response:
        headers = stack.headers(user) | arguments.pop("headers", {})
        return stack.http.request(method, stack.api + path, headers=headers, **arguments)

    return send


@pytest.fixture
def read(ask: Ask) -> Callable[..., dict[str, Any]]:
    def one(job_id: object, user: str = "alice") -> dict[str, Any]:
        answer = ask("GET", f"/jobs/{job_id}", user)
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    return one


def sbatch(*options: str, user: str = "alice", wrap: str = "sleep 300") -> int:
    printed = slurm("sbatch", "--parsable", *options, f"--wrap={wrap}", user=user)
    return int(printed.split(";")[0])


def hetjob(*options: str, user: str = "alice") -> int:
    printed = slurm("sbatch", "--parsable", *options, "-n1", "--wrap=sleep 300", ":", *options, "-n1", user=user)
    return int(printed.split(";")[0])


def test_a_job_is_read_from_its_start_to_its_end(read: Callable[..., dict[str, Any]]) -> None:
    job_id = sbatch("--job-name=lives", "--time=5", "-n2", wrap="sleep 6; exit 3")

    begun = wait_for(lambda: job if (job := read(job_id))["state"] == "RUNNING" else None, "it to run")
    assert (begun["id"], begun["name"], begun["user"], begun["time_limit"]) == (str(job_id), "lives", "alice", 300)
    assert (begun["cpus"], begun["nodes"], begun["end_time"]) == (2, 1, None)
    assert begun["stdout"] == f"/home/alice/slurm-{job_id}.out"

    ended = wait_for(lambda: job if jobs.is_final(job := read(job_id)) else None, "it to end")
    assert (ended["state"], ended["exit_code"], ended["signal"]) == ("FAILED", 3, None)
    assert ended["start_time"] == begun["start_time"] < ended["end_time"]


def test_every_api_version_of_the_release_gives_the_same_job(stack: Stack) -> None:
    plain, array, het = sbatch("--time=7"), sbatch("--array=1-4%2"), hetjob()
    wait_for(lambda: slurm("squeue", "-h", "-t", "R", "-u", "alice").count("\n") >= 3, "jobs to run")

    def shapes(version: str) -> list[Any]:
        found: list[Any] = []
        for wanted in (str(plain), str(array), f"{array}_1", f"{array}_4", str(het), f"{het}+1"):
            job_id = ids.parse(wanted)
            url = f"{stack.api}/slurm/{version}/job/{job_id.in_path()}"
            answer = stack.http.get(url, headers=stack.headers("alice"))
            if answer.status_code == 404 and "requested URL" in answer.text:
                return []
            found.append(jobs.read(answer.json()["jobs"], job_id, "parallelcluster"))
        return found

    # A part of a job that starts between two versions' answers changes what is shown: then all are asked again.
    for _ in range(3):
        shown = {version: shape for version in KNOWN if (shape := shapes(version))}
        assert len(shown) >= 3
        newest = next(iter(shown.values()))
        if all(shape == newest for shape in shown.values()):
            break

    assert None not in newest
    for version, shape in shown.items():
        assert shape == newest, version


def test_parts_of_jobs_are_read_changed_and_cancelled(ask: Ask, read: Callable[..., dict[str, Any]]) -> None:
    array, het = sbatch("--array=0-5%1", "--time=10"), hetjob()
    wait_for(lambda: read(f"{array}_0")["state"] == "RUNNING", "the first task to run")
    assert read(f"{array}_5")["state"] == "PENDING"
    assert read(array)["tasks"] == "0-5"
    assert read(het)["components"] == [f"{het}+0", f"{het}+1"]
    own_number = slurm("squeue", "--noheader", f"--jobs={array}_0", "--format=%A").strip()
    assert (own_number != str(array), read(own_number)["id"]) == (True, f"{array}_0")

    assert ask("PATCH", f"/jobs/{array}_0", json={"time_limit": 300}).json()["time_limit"] == 300
    changed = ask("PATCH", f"/jobs/{het}+1", json={"time_limit": 240})
    assert changed.json()["time_limit"] == 240
    assert read(f"{het}+0")["time_limit"] != 240

    assert ask("DELETE", f"/jobs/{array}_5").status_code == 202
    assert read(f"{array}_5")["state"] == "CANCELLED"
    assert ask("DELETE", f"/jobs/{array}").status_code == 202
    wait_for(lambda: jobs.is_final(read(array)), "the array to end")
    assert ask("GET", f"/jobs/{array}_77").status_code == 404


def test_a_waiting_task_is_found_however_long_the_list_of_the_others(read: Callable[..., dict[str, Any]]) -> None:
    tasks = [number * number for number in range(32)]
    array = sbatch("--hold", f"--array={','.join(map(str, tasks))}")
    assert read(f"{array}_{tasks[-1]}")["state"] == "PENDING"
    assert task_lists.parse(read(array)["tasks"]) == set(tasks)


def test_a_whole_array_is_changed_in_its_running_and_its_waiting_tasks(
    ask: Ask, read: Callable[..., dict[str, Any]]
) -> None:
    array = sbatch("--array=0-3%2", "--time=10")
    wait_for(lambda: {read(f"{array}_{task}")["state"] for task in (0, 1)} == {"RUNNING"}, "two tasks to run")

    answer = ask("PATCH", f"/jobs/{array}", json={"time_limit": 300})

    assert (answer.status_code, answer.json()["time_limit"]) == (202, 300), answer.text
    assert [read(f"{array}_{task}")["time_limit"] for task in range(4)] == [300] * 4

    # What runs is not held, as with scontrol hold.
    assert ask("PATCH", f"/jobs/{array}", json={"hold": True}).status_code == 202
    assert [read(f"{array}_{task}")["held"] for task in range(4)] == [False, False, True, True]


def test_a_held_heterogeneous_job_is_released_in_all_its_components(
    ask: Ask, read: Callable[..., dict[str, Any]]
) -> None:
    het = hetjob("--hold")
    assert [read(f"{het}+{offset}")["held"] for offset in (0, 1)] == [True, True]

    assert ask("PATCH", f"/jobs/{het}", json={"hold": False}).status_code == 202

    assert [read(f"{het}+{offset}")["held"] for offset in (0, 1)] == [False, False]


def test_hold_release_and_signal(ask: Ask, read: Callable[..., dict[str, Any]]) -> None:
    held = sbatch("--begin=now+1hour")
    assert ask("PATCH", f"/jobs/{held}", json={"hold": True}).json()["held"] is True
    assert ask("PATCH", f"/jobs/{held}", json={"hold": False}).json()["held"] is False

    # Slurm says RUNNING before the shell has set its trap: the job itself tells when.
    caught = sbatch(wrap="trap 'exit 7' USR1; echo ready; sleep 300 & wait")
    output = ("-name", f"slurm-{caught}.out", "-size", "+0")
    wait_for(lambda: slurm("find", "/home/alice", *output), "the trap to be set")
    sent = ask("DELETE", f"/jobs/{caught}", params={"signal": "USR1"})
    assert sent.status_code == 202
    wait_for(lambda: jobs.is_final(read(caught)), "the signal to end it")
    late = ask("DELETE", f"/jobs/{caught}", params={"signal": "USR1"})
    assert (late.status_code, late.json()["slurm"]["error_number"]) == (409, 2021)


def test_requeue_where_the_release_can(ask: Ask, read: Callable[..., dict[str, Any]], release: str) -> None:
    job_id = sbatch("--requeue")
    wait_for(lambda: read(job_id)["state"] == "RUNNING", "it to run")

    answer = ask("PATCH", f"/jobs/{job_id}", json={"requeue": True})

    if release == "24.11":
        assert (answer.status_code, answer.json()["title"]) == (422, "Requeue is not carried")
    else:
        assert answer.status_code == 202, answer.text
        wait_for(lambda: read(job_id)["restarts"] == 1, "it to be requeued")


def test_another_users_job_can_be_neither_changed_nor_cancelled(ask: Ask) -> None:
    job_id = sbatch()

    for answer in (
        ask("DELETE", f"/jobs/{job_id}", "bob"),
        ask("DELETE", f"/jobs/{job_id}?signal=USR1", "bob"),
        ask("PATCH", f"/jobs/{job_id}", "bob", json={"hold": True}),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert slurm("squeue", "--noheader", f"--jobs={job_id}", "--format=%u").strip() == "alice"
    assert ask("GET", "/jobs", "bob", params={"name": "wrap"}).json()["jobs"] == []


def test_a_job_whose_name_is_no_text_is_read_and_cancelled(ask: Ask, read: Callable[..., dict[str, Any]]) -> None:
    command = r"sbatch --parsable --hold --job-name=$'caf\xe9' --wrap=true"
    job_id = slurm("bash", "-c", command, user="alice").strip().split(";")[0]

    assert read(job_id)["name"] == "caf\ufffd"
    assert ask("DELETE", f"/jobs/{job_id}").status_code == 202
    assert read(job_id)["state"] == "CANCELLED"


def test_a_job_that_was_read_is_in_its_owners_list(ask: Ask, read: Callable[..., dict[str, Any]]) -> None:
    job_id = sbatch("--job-name=remembered", wrap="true")
    wait_for(lambda: jobs.is_final(read(job_id)), "it to end")
    # Its output may be told of in between.
    known = read(job_id) | {"output": None}

    listed = ask("GET", "/jobs", params={"name": "remembered"}).json()["jobs"]
    assert known in [job | {"output": None} for job in listed]


def test_a_list_pages_newest_first(ask: Ask, read: Callable[..., dict[str, Any]]) -> None:
    name = f"page-{time.time_ns()}"
    made = [sbatch(f"--job-name={name}", "--hold") for _ in range(5)]
    for job_id in made:
        read(job_id)  # A read is what makes a record of a job that did not come this way.

    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = ask("GET", "/jobs", params={"name": name, "limit": "2", **cursor}).json()
        seen += [int(job["id"]) for job in page["jobs"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert seen == made[::-1]


def test_a_job_that_has_not_changed_is_not_sent_again(ask: Ask) -> None:
    job_id = sbatch("--hold")
    first = ask("GET", f"/jobs/{job_id}")

    again = ask("GET", f"/jobs/{job_id}", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert int(first.headers["retry-after"]) >= 1
