"""Inputs: an object of the inbox becomes a file of the job's user, and only then the held job runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from local import aws_emulator, principals, stacks
from slurm_gateway.head_node_orders import HeadNodeOrders, InputOrder, input_path
from tests.real.conftest import FINAL_STATES, Stack, slurm, wait_for

Order = Callable[..., InputOrder]
Send = Callable[[InputOrder], None]
SCRIPT = '#!/bin/bash\n#SBATCH --hold --output=/home/alice/%j.out\ncat "$1"\n'


@pytest.fixture(scope="module")
def outputs() -> dict[str, str]:
    return stacks.outputs_of(stacks.REQUIREMENTS_STACK)


@pytest.fixture
def send(stack: Stack, outputs: dict[str, str]) -> Send:
    """Sends an order as a function does that may."""
    cloudformation = aws_emulator.client("cloudformation", principals.administrator())
    found = cloudformation.describe_stack_resource(StackName=stacks.API_STACK, LogicalResourceId="JobsFunction")
    function = found["StackResourceDetail"]["PhysicalResourceId"]
    sqs = aws_emulator.client("sqs", stacks.function_credentials(function))
    return HeadNodeOrders(sqs, outputs["HeadNodeQueueUrl"]).send


@pytest.fixture
def order(stack: Stack, outputs: dict[str, str]) -> Order:
    """Puts an object into the inbox, submits a held job for it, and gives the order that belongs to both."""

    def make(content: bytes, *, directory: str = "/home/{user}/inbox", user: str = "alice") -> InputOrder:
        s3 = aws_emulator.client("s3", principals.administrator())
        key = f"inbox/test-{time.time_ns()}/data set.txt"
        version = s3.put_object(Bucket=outputs["BucketName"], Key=key, Body=content)["VersionId"]
        path = input_path(directory, user=user, bucket=outputs["BucketName"], key=key, version=version)
        body = {"script": SCRIPT, "arguments": [path], "working_directory": f"/home/{user}"}
        answer = stack.http.post(f"{stack.api}/jobs", json=body, headers=stack.headers(user))
        assert answer.status_code == 201, answer.text
        job_id = str(answer.json()["id"])
        marker = str(shown(job_id)["extra"])
        return InputOrder(
            cluster="parallelcluster", job_id=job_id, user=user, submitted=int(marker.split(":")[1]), marker=marker,
            bucket=outputs["BucketName"], key=key, version=version, size=len(content), path=path,
        )  # fmt: skip

    return make


def shown(job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(slurm("scontrol", "--json", "show", "job", job_id))["jobs"][0]
    return found


def state(job_id: str) -> str:
    return str(shown(job_id)["job_state"][0])


def log_since(begin: float) -> str:
    return slurm("journalctl", "-u", "slurm-gateway-files.service", "-o", "cat", f"--since=@{begin:.3f}")


def test_a_job_finds_the_exact_version_of_its_input_as_its_own_file(
    order: Order, send: Send, outputs: dict[str, str]
) -> None:
    content = bytes(range(256)) * 5000
    asked = order(content)
    # What comes after it is another version, and another job's.
    s3 = aws_emulator.client("s3", principals.administrator())
    s3.put_object(Bucket=outputs["BucketName"], Key=asked.key, Body=b"newer")
    assert shown(asked.job_id)["hold"]

    for _ in range(3):
        send(asked)

    wait_for(lambda: state(asked.job_id) in FINAL_STATES, "the job to end")
    assert slurm("stat", "--format=%U %a %s", asked.path).split() == ["alice", "600", str(len(content))]
    assert slurm(
        "bash", "-c", f"cmp {asked.path!r} /home/alice/{asked.job_id}.out && ls -A $(dirname {asked.path!r})"
    ) == ("data set.txt\n")


def test_a_forged_order_moves_nothing(order: Order, send: Send) -> None:
    begin = time.time()
    asked = order(b"x")
    forged = [
        replace(asked, marker=asked.marker[:-1] + ("0" if asked.marker[-1] != "0" else "1")),
        replace(asked, user="bob"),
        replace(asked, path="/etc/cron.d/evil"),
        replace(asked, path="/home/alice/../bob/evil"),
        replace(asked, key="scripts/alice/x"),
        replace(asked, bucket="another-bucket"),
        replace(asked, cluster="another"),
        replace(asked, size=7),
    ]

    for each in forged:
        send(each)

    wait_for(lambda: log_since(begin).count("an order is refused") >= len(forged), "the orders to be refused")
    assert shown(asked.job_id)["hold"]
    assert slurm("bash", "-c", "ls /etc/cron.d/evil /home/bob/evil 2>&1 || true").count("No such file") == 2


def test_an_input_that_cannot_be_written_says_why_and_is_written_once_it_can(order: Order, send: Send) -> None:
    directory = f"/home/alice/closed-{time.time_ns()}"
    slurm("bash", "-c", f"mkdir -m 755 {directory}")
    asked = order(b"late but whole\n", directory=directory)

    send(asked)

    wait_for(lambda: "Permission denied" in shown(asked.job_id)["admin_comment"], "the reason to be shown")
    assert shown(asked.job_id)["hold"]
    slurm("chown", "alice", directory)
    wait_for(lambda: state(asked.job_id) in FINAL_STATES, "the job to end")
    assert slurm("cat", f"/home/alice/{asked.job_id}.out") == "late but whole\n"


def test_a_job_that_an_administrator_holds_gets_its_input_and_runs_once_he_releases_it(
    order: Order, send: Send
) -> None:
    begin = time.time()
    asked = order(b"whole\n")
    assert shown(asked.job_id)["state_reason"] == "JobHeldUser"
    slurm("scontrol", "hold", asked.job_id)
    assert shown(asked.job_id)["state_reason"] == "JobHeldAdmin"

    send(asked)

    wait_for(lambda: f"job {asked.job_id} of alice stays held" in log_since(begin), "the order to be carried out")
    held = shown(asked.job_id)
    assert (held["hold"], held["state_reason"]) == (True, "JobHeldAdmin")
    slurm("scontrol", "release", asked.job_id)
    wait_for(lambda: state(asked.job_id) in FINAL_STATES, "the job to end")
    assert slurm("cat", f"/home/alice/{asked.job_id}.out") == "whole\n"


@pytest.mark.any_release
def test_a_service_that_is_killed_while_it_copies_leaves_nothing_half_done(order: Order, send: Send) -> None:
    content = b"0123456789abcdef" * (6 << 20)
    asked = order(content)

    send(asked)
    part = f"{asked.path.rpartition('/')[0]}/.data set.txt.partial"
    wait_for(lambda: slurm("ls", part, asked.path, check=False), "the copying to begin")
    slurm("systemctl", "kill", "--kill-who=main", "--signal=KILL", "slurm-gateway-files.service")

    # The order comes again when the time is up for which it was hidden.
    wait_for(lambda: state(asked.job_id) in FINAL_STATES, "the job to end", timeout=120)
    assert slurm("stat", "--format=%s", f"/home/alice/{asked.job_id}.out").strip() == str(len(content))
    assert slurm("ls", "-A", asked.path.rpartition("/")[0]) == "data set.txt\n"
