"""What the head node tells: jobs that only Slurm knows are in the list, and every one has its one final record."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench import job_records
from local import cluster
from tests.real.conftest import Stack, restart_slurmctld, slurm, wait_for

FEED = "slurm-gateway-feed.service"


def sbatch(user: str, *options: str, body: str = "true") -> str:
    """Submit a job on the head node, as somebody does who is logged in there."""
    done = cluster.run(
        ["sbatch", "--parsable", "--output=/dev/null", *options], user=user, stdin=f"#!/bin/bash\n{body}\n".encode()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def listed(stack: Stack, user: str, **query: str) -> dict[str, dict[str, Any]]:
    answer = stack.http.get(f"{stack.api}/jobs", params={"limit": "500", **query}, headers=stack.headers(user))
    assert answer.status_code == 200, answer.text
    # The newest of an id: a slurmctld that was killed gives some of them again.
    return {job["id"]: job for job in reversed(answer.json()["jobs"])}


def one(stack: Stack, user: str, job: str) -> Any:
    return stack.http.get(f"{stack.api}/jobs/{job}", headers=stack.headers(user))


def is_listed(stack: Stack, user: str, job: str, state: str) -> Callable[[], Any]:
    return lambda: (found := listed(stack, user).get(job)) and found["state"] == state and found


def is_quiet(stack: Stack, user: str, job: str) -> Callable[[], Any]:
    return lambda: found if not (found := one(stack, user, job).json())["state_flags"] else None


@pytest.fixture
def as_it_was(stack: Stack) -> Iterator[None]:
    yield
    assert cluster.run(["systemctl", "start", "slurmdbd", FEED]).returncode == 0
    restart_slurmctld()


def test_jobs_of_sbatch_are_in_their_owners_list_within_five_seconds(stack: Stack) -> None:
    # By then the recorder and the list have started, and the feed waits for nothing any more that was away before.
    first = sbatch("bob", "--hold")
    wait_for(is_listed(stack, "bob", first, "PENDING"), "the first job to be listed", 60)
    stack.token("alice")
    took: list[float] = []
    # A machine that is busy with something else gets another two tries.
    while len(took) < 3 and min(took, default=10) > 5:
        begin = time.monotonic()
        job, other = sbatch("alice", "--hold", "--job-name=mine"), sbatch("bob", "--hold")

        found = wait_for(is_listed(stack, "alice", job, "PENDING"), "the job to be listed", 60)

        assert (found["name"], found["user"], found["held"]) == ("mine", "alice", True)
        wait_for(is_listed(stack, "bob", other, "PENDING"), "the other's job to be listed", 60)
        took.append(time.monotonic() - begin)
        assert other not in listed(stack, "alice")
    assert min(took) <= 5, took


def test_record_says_what_slurm_says(stack: Stack) -> None:
    ids = [
        sbatch("alice", "--job-name=one two", "--output=%x-%j.out", body="exit 3"),
        sbatch("alice", "--array=1-2", "--time=5", body="exit $SLURM_ARRAY_TASK_ID"),
    ]
    told = [wait_for(is_listed(stack, "alice", job, "FAILED"), f"the end of job {job}", 60) for job in ids]

    for job, found in zip(ids, told, strict=True):
        # What is told of an end says nothing of the COMPLETING that follows it in Slurm for a moment.
        answered = wait_for(is_quiet(stack, "alice", job), f"job {job} to complete")
        # The journal knows no reasons, output is told later, and a reader of the whole array is shown one task's paths.
        unlike = {"state_reason", "output"} | ({"stdout", "stderr"} if found["tasks"] else set())
        same = set(found) - unlike
        assert {name: found[name] for name in same} == {name: answered[name] for name in same}
    assert told[1]["tasks"] == "1-2"


def test_every_job_has_one_final_record_and_an_event_while_the_feed_is_killed(stack: Stack) -> None:
    found = job_records.run(40)

    assert (found.wrong(), found.untold(), found.kills > 0) == ({}, set(), True), found.lines()


def test_what_a_user_writes_makes_nobody_elses_record(stack: Stack) -> None:
    victim = sbatch("bob", "--hold")
    wait_for(is_listed(stack, "bob", victim, "PENDING"), "bob's job to be listed", 20)
    entry = {"job_id": int(victim), "user_id": 1002, "job_state": 3, "exit_code": 0, "submit_time": 1, "end_time": 2}
    forged = json.dumps({**entry, "told": 3})
    marker = "slurm-gateway:1700000000:" + "0" * 32 + ":" + "a" * 64
    name = f'x"}}\n{forged}\n{victim}|COMPLETED|{victim}\n\\\x07ü'

    job = sbatch("alice", f"--job-name={name}", f"--extra={marker}", "--comment=\n" + forged)

    found = wait_for(is_listed(stack, "alice", job, "COMPLETED"), "the job with the odd name", 60)
    assert (found["name"], found["script"]) == (name, None)
    assert listed(stack, "bob")[victim]["state"] == "PENDING"
    assert slurm("systemctl", "is-active", FEED).strip() == "active"


def test_a_marker_that_a_user_writes_does_not_stand_for_the_gateways(stack: Stack) -> None:
    name = f"marked-{uuid.uuid4().hex[:8]}"
    written = "slurm-gateway:1700000000:" + "0" * 32 + ":" + "a" * 64
    options = {"extra": written, "output": "/dev/null", "job-name": name}
    headers = stack.headers("alice")
    answer = stack.http.post(f"{stack.api}/jobs", params=options, content=b"#!/bin/bash\ntrue\n", headers=headers)
    assert answer.status_code == 201, answer.text
    job = answer.json()

    wait_for(is_listed(stack, "alice", job["id"], "COMPLETED"), "the job's end", 60)

    assert one(stack, "alice", job["id"]).json()["script"] == job["script"]
    page = stack.http.get(f"{stack.api}/jobs", params={"name": name}, headers=headers).json()
    assert [(each["id"], each["script"]) for each in page["jobs"]] == [(job["id"], job["script"])]


def test_jobs_are_remembered_that_slurm_forgot_and_ids_that_begin_again_are_other_jobs(
    stack: Stack, as_it_was: None
) -> None:
    restart_slurmctld("MinJobAge=2")
    assert cluster.run(["systemctl", "stop", "slurmdbd"]).returncode == 0
    body, headers = f"#!/bin/bash\n# {uuid.uuid4()}\nexit 5\n", stack.headers("alice")
    answer = stack.http.post(f"{stack.api}/jobs", params={"output": "/dev/null"}, content=body, headers=headers)
    script, old = answer.json()["script"], answer.json()["id"]
    wait_for(is_listed(stack, "alice", old, "FAILED"), "the job's end", 60)

    wait_for(lambda: "Invalid job id" in cluster.run(["scontrol", "show", "job", old]).stderr, "Slurm to forget it", 90)
    assert (one(stack, "alice", old).json()["state"], one(stack, "bob", old).status_code) == ("FAILED", 404)
    cancelled = stack.http.delete(f"{stack.api}/jobs/{old}", headers=headers)
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "FAILED")
    assert stack.http.patch(f"{stack.api}/jobs/{old}", json={"hold": True}, headers=headers).status_code == 409
    assert stack.http.delete(f"{stack.api}/jobs/{old}", headers=stack.headers("bob")).status_code == 404

    # Slurm forgets all: ids begin again, at the one that alice's job had. (Without state it starts with slurmdbd only.)
    assert cluster.run(["systemctl", "start", "slurmdbd"]).returncode == 0
    # It is started before it listens.
    wait_for(lambda: cluster.run(["sacctmgr", "-nP", "show", "cluster"]).returncode == 0, "slurmdbd to answer")
    empty = "systemctl stop slurmctld; rm -rf /var/spool/slurm.state/*"
    restart = f"FirstJobId={old}"
    assert cluster.run(["bash", "-c", empty]).returncode == 0
    restart_slurmctld("MinJobAge=2", restart)
    new = sbatch("bob", "--hold", "--job-name=of bob")
    assert new == old
    wait_for(is_listed(stack, "bob", new, "PENDING"), "bob's job of the same id", 30)

    alices, bobs = one(stack, "alice", old), one(stack, "bob", new)
    assert (alices.json()["state"], alices.json()["exit_code"], alices.json()["script"]) == ("FAILED", 5, script)
    assert (bobs.json()["name"], bobs.json()["state"], bobs.json()["script"]) == ("of bob", "PENDING", None)
    assert listed(stack, "alice")[old]["state"] == "FAILED"
    assert stack.http.get(f"{stack.api}/scripts/{script}", headers=stack.headers("bob")).status_code == 404


def test_an_array_has_failed_whose_first_task_did_though_slurm_has_forgotten_that_task(
    stack: Stack, as_it_was: None
) -> None:
    restart_slurmctld("MinJobAge=2")
    go = f"/home/alice/go-{uuid.uuid4()}"
    body = f"[ $SLURM_ARRAY_TASK_ID = 0 ] && exit 7\nuntil [ -e {go} ]; do sleep 0.5; done"
    array = sbatch("alice", "--array=0-1", body=body)
    wait_for(is_listed(stack, "alice", array, "RUNNING"), "the array to be listed", 30)
    assert one(stack, "alice", array).json()["tasks"] == "0-1"

    def remembered() -> list[str]:
        return slurm("squeue", "--noheader", "--array", "--states=all", f"--jobs={array}", "--format=%i").split()

    wait_for(lambda: f"{array}_0" not in remembered(), "Slurm to forget the first task", 90)
    running = one(stack, "alice", array).json()
    assert (running["state"], running["tasks"]) == ("RUNNING", "0-1")

    slurm("touch", go, user="alice")
    seen = set()

    def has_failed() -> Any:
        found = one(stack, "alice", array).json()
        seen.add(found["state"])
        return found if found["state"] == "FAILED" else None

    ended = wait_for(has_failed, "the array to have failed", 30)
    assert (ended["exit_code"], ended["tasks"]) == (7, "0-1")
    assert "COMPLETED" not in seen
    assert listed(stack, "alice")[array]["exit_code"] == 7


def test_slurmctld_that_is_killed_leaves_no_record_behind(stack: Stack, as_it_was: None) -> None:
    held = [sbatch("alice", "--hold") for _ in range(10)]
    wait_for(is_listed(stack, "alice", held[-1], "PENDING"), "the jobs to be listed", 20)
    cluster.run(["scancel", *held[:5]])
    cluster.run(["systemctl", "kill", "--signal=KILL", "--kill-who=main", "slurmctld"])
    cluster.run(["systemctl", "restart", "slurmctld"])
    cluster.wait_ready()

    def agrees() -> bool:
        shown = dict(
            line.split() for line in slurm("squeue", "--noheader", "--states=all", "--format=%i %T").splitlines()
        )
        recorded = listed(stack, "alice")
        # What Slurm lost with its memory is told as UNKNOWN, once slurmdbd does not know it either.
        return all(recorded[job]["state"] == shown[job] for job in held if job in shown)

    wait_for(agrees, "the records to say what Slurm says", 60)


def test_slurmctld_that_was_away_is_seen_again_at_once(stack: Stack, as_it_was: None) -> None:
    begin = slurm("date", "+%s").strip()

    def told() -> str:
        return slurm("journalctl", "--unit", FEED, f"--since=@{begin}", "--output=cat", "--no-pager")

    assert cluster.run(["systemctl", "stop", "slurmctld"]).returncode == 0
    # squeue would go on trying for a minute, and be blind for as long when slurmctld has come back.
    wait_for(lambda: "Slurm's queue cannot be seen" in told(), "the feed to miss slurmctld", 20)
    assert cluster.run(["systemctl", "start", "slurmctld"]).returncode == 0
    cluster.wait_ready()
    job = sbatch("alice", "--hold")

    wait_for(is_listed(stack, "alice", job, "PENDING"), "the job to be listed", 40)


def test_health_tells_which_daemon_is_away(stack: Stack, as_it_was: None) -> None:
    wait_for(lambda: stack.http.get(f"{stack.api}/health").status_code == 200, "health", 60)
    assert cluster.run(["systemctl", "stop", "slurmdbd"]).returncode == 0

    def missed() -> Any:
        found = stack.http.get(f"{stack.api}/health")
        return found if found.status_code == 503 else None

    answer = wait_for(missed, "slurmdbd to be missed", 60)

    assert answer.json()["daemons"]["slurmdbd"] == "DOWN"
    assert int(answer.headers["retry-after"]) > 0


def test_feed_is_nobody_to_slurm_and_the_queue_has_no_credentials(stack: Stack) -> None:
    def environment(unit: str) -> str:
        pid = slurm("systemctl", "show", "-P", "MainPID", unit).strip()
        return slurm("cat", f"/proc/{pid}/status") + slurm("bash", "-c", f"tr '\\0' '\\n' </proc/{pid}/environ")

    feed, queue = environment("slurm-gateway-feed"), environment("slurm-gateway-queue")
    assert "CapEff:\t0000000000000000" in feed
    assert "AWS_SECRET_ACCESS_KEY" not in queue
    job = sbatch("alice", "--hold")
    assert cluster.run(["squeue", "--noheader"], user="slurm-gateway").stdout == ""
    assert cluster.run(["scancel", job], user="slurm-gateway").returncode != 0
    assert cluster.run(["cat", "/run/slurm-gateway-queue/socket"], user="alice").returncode != 0
    assert cluster.run(["ls", "/var/lib/slurm-gateway/journal"], user="alice").returncode != 0


def test_pages_show_every_job_that_was_there_all_the_time_once(stack: Stack) -> None:
    name = f"pages-{uuid.uuid4().hex[:8]}"
    script = f"for i in $(seq 60); do sbatch --quiet --hold --job-name={name} --output=/dev/null --wrap true; done"
    assert cluster.run(["bash", "-c", script], user="alice").returncode == 0
    wait_for(lambda: len(listed(stack, "alice", name=name)) == 60, "all jobs to be listed", 60)
    there = set(listed(stack, "alice", name=name))
    ids: list[str] = []
    cursor = {}
    while True:
        query = {"name": name, "limit": "7", **cursor}
        page = stack.http.get(f"{stack.api}/jobs", params=query, headers=stack.headers("alice")).json()
        ids += [job["id"] for job in page["jobs"]]
        sbatch("alice", "--hold", f"--job-name={name}")
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert [job for job in ids if job in there] == sorted(there, key=int, reverse=True)
    assert len(ids) == len(set(ids))


def test_events_wait_while_the_network_is_away(stack: Stack) -> None:
    drop_in = "/run/systemd/system/slurm-gateway-feed.service.d"
    again = f"systemctl daemon-reload && systemctl restart {FEED}"
    away = f"mkdir -p {drop_in} && printf '[Service]\\nIPAddressDeny=any\\n' >{drop_in}/away.conf && {again}"
    assert cluster.run(["bash", "-c", away]).returncode == 0
    try:
        job = sbatch("alice", body="exit 6")
        wait_for(lambda: "FAILED" in slurm("squeue", "-h", "-t", "all", "-j", job, "-o", "%T"), "the job's end", 60)
    finally:
        assert cluster.run(["bash", "-c", f"rm -r {drop_in} && {again}"]).returncode == 0
    wait_for(is_listed(stack, "alice", job, "FAILED"), "the end to be told after all", 60)
