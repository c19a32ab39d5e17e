"""Faults that are really caused: daemons stopped or killed, and what a caller sees and how it heals."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local import cluster
from local.address import address
from local.process import Process, start_time
from tests.real.conftest import Stack, local, slurm, up, wait_for

PROCESSES = ("gateway", "load-balancer", "aws-emulator")


def systemctl(*arguments: str) -> str:
    done = cluster.run(["systemctl", *arguments])
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@contextmanager
def stopped(unit: str) -> Iterator[None]:
    """Keep a unit of the head node stopped for a while."""
    systemctl("stop", unit)
    try:
        yield
    finally:
        systemctl("start", unit)


def answers(stack: Stack) -> bool:
    return stack.slurm("alice", "GET", "nodes/").status_code == 200


def test_slurmrestd_down_is_a_gateway_error_and_heals(stack: Stack) -> None:
    stack.token("alice")
    with stopped("slurmrestd.service"):
        assert stack.slurm("alice", "GET", "nodes/").status_code in (502, 503, 504)
    wait_for(lambda: answers(stack), "slurmrestd to answer again")


# On each release it is the gateway that gives up first, after its 30 s.
@pytest.mark.any_release
def test_slurmctld_down_is_an_error_and_heals(stack: Stack) -> None:
    stack.token("alice")
    with stopped("slurmctld.service"):
        answer = stack.slurm("alice", "GET", "nodes/")
        assert answer.status_code in (500, 502, 503, 504), answer.text
    wait_for(lambda: answers(stack), "slurmctld to answer again", 60)


@pytest.mark.any_release
@pytest.mark.parametrize(
    "unit", ["slurmrestd", "slurmctld", "slurmdbd", "munge", "mariadb", "slurmd@queue1-dy-t3micro-2"]
)
def test_daemon_killed_is_healed_by_up(stack: Stack, unit: str) -> None:
    pid = int(systemctl("show", "--property=MainPID", "--value", unit))
    assert cluster.run(["kill", "-KILL", str(pid)]).returncode == 0
    up()
    assert systemctl("is-active", unit).strip() == "active"
    wait_for(lambda: answers(stack), "the API to answer")
    job_id = stack.submit("alice", "#!/bin/sh\ntrue\n")
    stack.wait_for_state("alice", job_id, {"COMPLETED"})


@pytest.mark.any_release
@pytest.mark.parametrize("name", PROCESSES)
def test_process_of_this_machine_killed_is_healed_by_up(stack: Stack, name: str) -> None:
    pid = Process(name).pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    up()
    assert Process(name).pid() not in (None, pid)
    assert answers(stack)


@pytest.mark.any_release
def test_whole_head_node_killed_is_healed_by_up(stack: Stack) -> None:
    leader = cluster.leader()
    assert leader is not None
    os.kill(leader, signal.SIGKILL)
    wait_for(lambda: start_time(leader) is None, "the head node to be gone")
    up()
    job_id = stack.submit("alice", "#!/bin/sh\ntrue\n")
    stack.wait_for_state("alice", job_id, {"COMPLETED"})


@pytest.mark.any_release
def test_up_twice_does_no_harm(stack: Stack) -> None:
    job_id = stack.submit("alice")
    stack.wait_for_state("alice", job_id, {"RUNNING"})
    before = systemctl("show", "--property=MainPID", "--value", "slurmctld")
    up()
    assert systemctl("show", "--property=MainPID", "--value", "slurmctld") == before
    assert stack.job("alice", job_id)["job_state"] == ["RUNNING"]


@pytest.mark.any_release
def test_down_stops_all_of_it_and_up_brings_it_back(stack: Stack) -> None:
    pending = stack.submit("alice", hold=True)
    ours = [*cluster.pids(), *(pid for name in PROCESSES for pid in process_group(name))]
    started = {pid: start_time(pid) for pid in ours}
    try:
        down = local("down")
        assert down.returncode == 0, down.stderr
        # What is killed is gone when the kernel has put its memory away.
        wait_for(lambda: not any(start_time(pid) == began for pid, began in started.items()), "all of it to end", 5)
        assert [line for line in listening() if address() in line] == []
    finally:
        up()
    assert stack.job("alice", pending)["job_state"] == ["PENDING"]


def test_everything_listens_on_loopback(stack: Stack) -> None:
    """Whatever listens on this machine from the stack is bound to an address of 127.0.0.0/8."""
    ours = set(cluster.pids()) | {pid for name in PROCESSES for pid in process_group(name)}
    of_ours = [line for line in listening() if any(f"pid={pid}," in line for pid in ours)]
    assert len(of_ours) >= 9
    assert [line for line in of_ours if not line.split()[4].startswith("127.")] == []


def listening() -> list[str]:
    """Give a line for each socket that listens on this machine, with its process."""
    command = ["ss", "--no-header", "--listening", "--tcp", "--udp", "--numeric", "--processes"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def process_group(name: str) -> list[int]:
    group = Process(name).pid()
    listed = subprocess.run(["ps", "-e", "-o", "pid=,pgid="], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid, pgid in (line.split() for line in listed.splitlines()) if int(pgid) == group]


@pytest.mark.any_release
def test_second_checkout_has_addresses_of_its_own(tmp_path: Path) -> None:
    assert address(tmp_path) != address()


def test_status_tells_what_runs(stack: Stack) -> None:
    done = local("status")
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("gateway", "load balancer", "AWS emulator", "slurmctld", "slurmrestd", stack.api):
        assert part in done.stdout


def test_local_slurm_runs_as_the_user_asked_for() -> None:
    assert slurm("id", "-un", user="bob").strip() == "bob"
    assert slurm("id", "-un").strip() == "root"
