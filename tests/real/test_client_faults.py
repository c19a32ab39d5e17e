"""`submit --wait` while slurmrestd dies, the gateway is away, tokens expire, and whoever started it has enough."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local import cluster
from local.gateway import service
from tests.real.client_command import Client, job_id_of
from tests.real.conftest import Stack, slurm, wait_for

pytestmark = pytest.mark.any_release


@contextmanager
def gateway_stopped() -> Iterator[None]:
    """Keep the gateway stopped for a while."""
    config = json.loads(service.CONFIG_FILE.read_text())
    service.stop()
    try:
        yield
    finally:
        service.start(config)


def jobs_named(name: str) -> list[str]:
    return slurm("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%A").split()


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """Read a process's standard error up to a line with these words, and give that."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"it ended without {words!r}")


def test_it_ends_rightly_with_one_job_whatever_happens_meanwhile(client: Client, stack: Stack) -> None:
    """The token lives for 8 s, slurmrestd is killed, and the gateway is away for 12 s; the job takes 20 s."""
    script = client.script("faults.sh", "sleep 20; exit 3")
    process = client.start("submit", script, "--wait", environ=client.environ(SLURM_GATEWAY_LIFESPAN="8"))
    job_id = job_id_of(line_with(process, "Submitted"))
    stack.wait_for_state("alice", int(job_id), {"RUNNING"})
    assert cluster.run(["systemctl", "kill", "--kill-who=main", "--signal=KILL", "slurmrestd"]).returncode == 0
    with gateway_stopped():
        line_with(process, "The gateway cannot be reached: connection refused. Trying again")
        back_at = time.monotonic() + 12
        wait_for(lambda: time.monotonic() > back_at or process.poll() is not None, "the time to pass")
        assert process.poll() is None
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 3, stderr
    assert jobs_named("faults.sh") == [job_id]


def test_submit_that_begins_while_the_gateway_is_away_makes_one_job(client: Client) -> None:
    script = client.script("early.sh", "exit 4")
    assert client.run("login").returncode == 0
    with gateway_stopped():
        process = client.start("submit", script, "--wait")
        line_with(process, "Trying again")
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 4, stderr
    assert len(jobs_named("early.sh")) == 1


def test_gateway_that_stays_away_is_told_and_has_its_own_status(client: Client) -> None:
    job_id = client.run("submit", client.script("away.sh", "sleep 300"), "--parsable").stdout.strip()
    with gateway_stopped():
        done = client.run("wait", job_id, "--patience", "2")
    assert done.returncode == 246
    said = " ".join(done.stderr.split())
    assert "within 2 s" in said
    assert f"It does not touch job {job_id}." in said
    assert f"slurm-gateway wait {job_id}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_cancels_where_that_was_said(
    client: Client,
    stack: Stack,
    number: signal.Signals,
    status: int,
) -> None:
    process = client.start("submit", client.script("mine.sh", "sleep 300"), "--wait", "--cancel-on-interrupt")
    job_id = job_id_of(line_with(process, "Submitted"))
    line_with(process, "RUNNING")
    process.send_signal(number)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == status, stderr
    assert f"Cancelled job {job_id}." in stderr
    stack.wait_for_state("alice", int(job_id), {"CANCELLED"})


def test_interrupted_it_leaves_the_job_alone_where_nobody_can_be_asked(client: Client, stack: Stack) -> None:
    process = client.start("submit", client.script("mine.sh", "sleep 300"), "--wait")
    job_id = job_id_of(line_with(process, "Submitted"))
    line_with(process, "RUNNING")
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert f"slurm-gateway wait {job_id}" in stderr
    assert stack.job("alice", int(job_id))["job_state"] == ["RUNNING"]


@pytest.mark.parametrize(("answer", "state"), [("y\n", "CANCELLED"), ("n\n", "RUNNING")])
def test_ctrl_c_at_a_terminal_asks(client: Client, stack: Stack, answer: str, state: str) -> None:
    script = client.script("asked.sh", "sleep 300")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(  # noqa: S606 (a terminal of its own)
            client.command, ["slurm-gateway", "submit", str(script), "--wait"], client.environ(TERM="xterm")
        )
    try:
        job_id = job_id_of(read_until(terminal, "Submitted", "\n"))
        read_until(terminal, "RUNNING")
        os.write(terminal, b"\x03")
        read_until(terminal, "Cancel? [y/N]")
        os.write(terminal, answer.encode())
        read_until(terminal, "Cancelled job" if state == "CANCELLED" else "Not cancelled")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    finally:
        os.close(terminal)
    stack.wait_for_state("alice", int(job_id), {state})


def read_until(terminal: int, *words: str) -> str:
    """Read from a terminal until these words came, in their order."""
    text, deadline = "", time.monotonic() + 60
    while True:
        place = -1
        for word in words:
            place = text.find(word, place + 1)
            if place < 0:
                break
        else:
            return text
        ready, _, _ = select.select([terminal], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"waited for {words}, saw {text!r}"
        text += os.read(terminal, 4096).decode(errors="replace")


def test_token_that_was_given_and_expires_ends_the_waiting_and_says_how_to_come_back(
    client: Client,
    stack: Stack,
) -> None:
    given = client.run("token", "--lifespan", "5").stdout.strip()
    environ = client.environ(SLURM_JWT=given)
    done = client.run("submit", client.script("given.sh", "sleep 300"), "--wait", environ=environ)
    assert done.returncode == 247, done.stderr
    job_id = job_id_of(done.stderr)
    assert "expired at" in done.stderr
    assert f"slurm-gateway wait {job_id}" in " ".join(done.stderr.split())
    assert given not in done.stderr
    assert stack.job("alice", int(job_id))["job_state"] == ["RUNNING"]


def test_retried_ci_step_joins_its_first_job(client: Client) -> None:
    script = client.script("ci.sh", "exit 3")
    ci = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": str(time.time_ns()),
          "GITHUB_JOB": "simulate", "GITHUB_ACTION": "__run", "GITHUB_RUN_ATTEMPT": "1"}  # fmt: skip
    first = client.run("submit", script, "--wait", **ci)
    again = client.run("submit", script, "--wait", **(ci | {"GITHUB_RUN_ATTEMPT": "2"}))
    other = client.run("submit", script, "--wait", **(ci | {"GITHUB_ACTION": "__run_2"}))
    assert (first.returncode, again.returncode, other.returncode) == (3, 3, 3)
    assert job_id_of(again.stderr) == job_id_of(first.stderr)
    assert "Joined job" in again.stderr
    assert "had ended before this command began" in again.stderr
    assert job_id_of(other.stderr) != job_id_of(first.stderr)
