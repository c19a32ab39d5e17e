"""The running stack: every test here talks to real Slurm through the local gateway."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local import aws_emulator, cluster, principals, stacks

if TYPE_CHECKING:
    from tests.real.client_command import Client

ROOT = Path(__file__).resolve().parents[2]
NATIVE_VERSION = "v0.0.42"  # the one that both 24.11 and 26.05 speak
FINAL_STATES = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE", "PREEMPTED"}


def read_env(path: Path) -> dict[str, str]:
    """Read .local/env as a shell would: KEY=value lines, `export` and quotes allowed."""
    shown = subprocess.run(
        ["bash", "-c", f"set -a; source {path}; env -0"], env={}, capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in shown.stdout.split("\0") if line)


@dataclass
class Stack:
    """What a client of the local stack holds: the API's URL, an HTTP client, principals' keys, tokens by user."""

    env: dict[str, str]
    http: httpx.Client
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def api(self) -> str:
        return self.env["API"]

    def credentials(self, principal: str) -> Credentials:
        prefix = principal.upper()
        return Credentials(self.env[f"{prefix}_AWS_ACCESS_KEY_ID"], self.env[f"{prefix}_AWS_SECRET_ACCESS_KEY"])

    def signed(
        self, principal: str, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send a request with the principal's SigV4 signature."""
        request = AWSRequest(method=method, url=self.api + path, data=body.encode(), headers=headers or {})
        SigV4Auth(self.credentials(principal), "execute-api", self.env["AWS_REGION"]).add_auth(request)
        return self.http.request(method, self.api + path, content=body.encode(), headers=dict(request.headers))

    def token(self, user: str) -> str:
        """Give a Slurm token of the user, minted once and again when it has less than a minute to live."""
        token, expires_at = self._tokens.get(user, ("", 0.0))
        if expires_at - time.time() < 60:
            answer = self.signed(user, "POST", "/token", '{"lifespan": 900}')
            assert answer.status_code == 200, answer.text
            token, expires_at = answer.json()["token"], time.time() + answer.json()["expires_in"]
            self._tokens[user] = (token, expires_at)
        return token

    def headers(self, user: str) -> dict[str, str]:
        return {"X-SLURM-USER-NAME": user, "X-SLURM-USER-TOKEN": self.token(user)}

    def slurm(self, user: str, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Ask slurmrestd through the gateway: ``path`` follows /slurm/VERSION/."""
        headers = self.headers(user) | arguments.pop("headers", {})
        return self.http.request(method, f"{self.api}/slurm/{NATIVE_VERSION}/{path}", headers=headers, **arguments)

    def submit(self, user: str, script: str = "#!/bin/bash\nsleep 300\n", **job: Any) -> int:
        """Submit a job through the gateway and give its id."""
        description = {
            "name": "test",
            "partition": "queue1",
            "current_working_directory": f"/home/{user}",
            "standard_output": f"/home/{user}/test-%j.out",
            "environment": ["PATH=/usr/bin:/bin"],
            "script": script,
        } | job
        answer = self.slurm(user, "POST", "job/submit", json={"job": description})
        assert answer.status_code == 200, answer.text
        assert answer.json()["errors"] == [], answer.text
        return int(answer.json()["job_id"])

    def job(self, user: str, job_id: int) -> dict[str, Any]:
        answer = self.slurm(user, "GET", f"job/{job_id}")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()["jobs"][0]
        return job

    def wait_for_state(self, user: str, job_id: int, states: set[str], timeout: float = 60) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            job = self.job(user, job_id)
            # Slurm has not done with it while it also says COMPLETING.
            return job if states & set(job["job_state"]) and "COMPLETING" not in job["job_state"] else None

        found: dict[str, Any] = wait_for(reached, f"job {job_id} to be {states}", timeout)
        return found


def wait_for(condition: Callable[[], Any], what: str, timeout: float = 30) -> Any:
    """Ask until the condition gives something true, and give that; fail with ``what`` after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.2)
    return value


def local(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``python -m local ...`` as make does."""
    return subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


def up(*arguments: str) -> None:
    done = local("up", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    # What it asks would stand in the logs among what a test asks, at any moment.
    schedule_canary(on=False)


def schedule_canary(*, on: bool) -> None:
    """Turn the schedule on or off that runs the canary every five minutes, and have the emulator keep it so."""
    administrator = principals.administrator()
    cloudformation, events = (aws_emulator.client(service, administrator) for service in ("cloudformation", "events"))
    found = cloudformation.describe_stack_resource(StackName=stacks.API_STACK, LogicalResourceId="CanarySchedule")
    (events.enable_rule if on else events.disable_rule)(Name=found["StackResourceDetail"]["PhysicalResourceId"])
    # One that is killed knows only what it had written.
    aws_emulator.save()


def slurm(*command: str, user: str | None = None, check: bool = True) -> str:
    """Run a command on the local cluster's head node through local/slurm and give what it printed."""
    identity = ["--as", user] if user else []
    done = subprocess.run([ROOT / "local/slurm", *identity, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done.stdout


def restart_slurmctld(*settings: str) -> None:
    """Put settings at the end of slurm.conf, where the last one counts, and restart slurmctld."""
    file = "/opt/slurm/etc/slurm.conf"
    script = f'sed -i "/# test$/d" {file}; for s in "$@"; do echo "$s # test"; done >>{file}'
    assert cluster.run(["bash", "-c", script, "bash", *settings]).returncode == 0
    assert cluster.run(["systemctl", "restart", "slurmctld"]).returncode == 0
    cluster.wait_ready()


def load_balancer_log() -> str:
    return (ROOT / ".local/log/alb.log").read_text()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack, up. It is left running: `make down` ends it."""
    up()
    forget_records()
    with httpx.Client(timeout=35, trust_env=False) as http:
        yield Stack(read_env(ROOT / ".local/env"), http)
    schedule_canary(on=True)


def forget_records() -> None:
    """Delete the records of jobs: each release's cluster counts its jobs from 1, and users keep what they had."""
    dynamodb = aws_emulator.client("dynamodb", principals.administrator())
    table = stacks.outputs_of(stacks.API_STACK)["JobsTableName"]
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ProjectionExpression="job, submitted"):
        for key in page["Items"]:
            dynamodb.delete_item(TableName=table, Key=key)


@pytest.fixture(scope="session")
def release() -> str:
    """The Slurm release that is tested."""
    return os.environ.get("SLURM", "24.11")


@pytest.fixture
def client(stack: Stack, tmp_path: Path) -> Client:
    """The client's command, installed, for a user whose home is empty."""
    from tests.real.client_command import ENVIRONMENT, Client, install

    return Client(install(ENVIRONMENT), stack, tmp_path)


_REPORT = pytest.StashKey[list[str]]()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Give what writes a line into the report at the end of the run: counts, for a reader."""
    lines = request.config.stash.setdefault(_REPORT, [])
    return lines.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what tests reported."""
    for line in config.stash.get(_REPORT, []):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def no_jobs_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Cancel what a test left in the queue, so that the next one finds free nodes."""
    yield
    if "stack" in request.fixturenames:
        # One command, from this process: it comes after each of some thousand tests.
        cluster.run(["sh", "-c", "scancel --user=alice; scancel --user=bob"])
