"""The faults of the fault table: how each is caused, lifted, and what heals it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.head_node import Moment, replaced
from bench.memory_limit import MemoryLimit
from local import aws_emulator, cluster, principals, stacks
from local.address import SLURMRESTD_PORT, address
from local.process import Process, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


HEALED_WITHIN = 120.0
"""Seconds after which a fault that was lifted counts as not healed."""


@dataclass(frozen=True)
class Fault:
    """A fault: `made` causes it, and lifts it at the end where it does not go by itself.

    `heals` says what puts it right. `keeps_jobs` and `spares_slurmctld` say what must be as before.
    `waits` is for how many seconds nothing is submitted before it. `within` is how many seconds the API may take to be
    whole again, from the moment that `made` gives, or else from its end.
    """

    name: str
    made: Callable[[], AbstractContextManager[Moment | None]]
    heals: str
    keeps_jobs: bool = True
    spares_slurmctld: bool = True
    replaces_head_node: bool = False
    waits: float = 0.0
    within: float = HEALED_WITHIN


def slurmrestd_pid(port: int = SLURMRESTD_PORT) -> int:
    """Give the process id, as this machine sees it, of the slurmrestd at a port; 0 where there is none."""
    for pid in cluster.pids():
        # Processes come and go while one looks.
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"/slurmrestd\0" in command and f":{port}".encode() in command:
                return pid
    return 0


def run(*argv: str) -> str:
    """Run a command on the head node; give what it printed. Raises RuntimeError where it fails."""
    done = cluster.run(argv)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return str(done.stdout)


def slurmctld_pid() -> str:
    """Give slurmctld's process id on the head node."""
    return run("systemctl", "show", "--property=MainPID", "--value", "slurmctld").strip()


def _signal(unit: str, name: str) -> None:
    run("systemctl", "kill", "--kill-who=main", f"--signal={name}", unit)


@contextmanager
def _stopped(*units: str) -> Iterator[None]:
    run("systemctl", "stop", *units)
    try:
        yield
    finally:
        run("systemctl", "start", *units)


@contextmanager
def _hung(unit: str) -> Iterator[None]:
    _signal(unit, "STOP")
    try:
        yield
    finally:
        _signal(unit, "CONT")


@contextmanager
def _killed(unit: str, *, start: bool) -> Iterator[None]:
    _signal(unit, "KILL")
    try:
        yield
    finally:
        if start:
            run("systemctl", "start", unit)


@contextmanager
def _done(*argv: str) -> Iterator[None]:
    run(*argv)
    yield


@contextmanager
def _out_of_memory() -> Iterator[None]:
    """End slurmrestd by a memory limit, again and again, as job lists that are too large for it do."""
    with MemoryLimit("1M", slurmrestd_pid) as limit:
        wait_until(lambda: _asked_for_much() and limit.kills() > 0, "slurmrestd to be ended by its memory limit", 20)
        yield


def _asked_for_much() -> bool:
    """Ask slurmrestd for what takes memory; who asks sees the connection break."""
    with contextlib.suppress(OSError), socket.create_connection((address(), SLURMRESTD_PORT), timeout=2) as connection:
        connection.settimeout(2)
        connection.sendall(b"GET /openapi/v3 HTTP/1.1\r\nHost: x\r\nX-SLURM-USER-TOKEN: x\r\n\r\n")
        connection.recv(1)
    return True


@contextmanager
def _connections_taken() -> Iterator[None]:
    """Hold more connections to slurmrestd than it serves, each with half a request."""
    held = []
    for _ in range(200):
        connection = socket.create_connection((address(), SLURMRESTD_PORT), timeout=5)
        connection.sendall(b"GET /slurm/v0.0.42/nodes/ HTTP/1.1\r\nHost: x\r\nX-")
        held.append(connection)
    try:
        yield
    finally:
        for connection in held:
            connection.close()


@contextmanager
def _aws(*services: str, code: str, status: int = 400, seconds: float = 0.0) -> Iterator[None]:
    def tell(code: str) -> None:
        for service in services:
            body = {"service": service, "code": code, "status": status, "seconds": seconds}
            aws_emulator.ask("POST", "/_local/faults", body, timeout=5.0)

    tell(code)
    try:
        yield
    finally:
        tell("")


@contextmanager
def _parameter(output: str, value: str) -> Iterator[None]:
    """Write nonsense into a parameter, as an operator might, and put it right again."""
    name = stacks.outputs_of(stacks.REQUIREMENTS_STACK)[output]
    ssm = aws_emulator.client("ssm", principals.administrator())
    before = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    ssm.put_parameter(Name=name, Value=value, Overwrite=True)
    try:
        yield
    finally:
        ssm.put_parameter(Name=name, Value=before, Overwrite=True)


@contextmanager
def _deregistered() -> Iterator[None]:
    requirements = stacks.outputs_of(stacks.REQUIREMENTS_STACK)
    elb = aws_emulator.client("elbv2", principals.administrator())
    target = {"Id": stacks.head_node_instance_id(requirements)}
    elb.deregister_targets(TargetGroupArn=requirements["TargetGroupArn"], Targets=[target])
    try:
        yield
    finally:
        # What its timer does every five minutes.
        run("systemctl", "start", "slurm-gateway-register.service")


@contextmanager
def _functions_killed(name: str) -> Iterator[None]:
    """Kill the processes that run a function, wherever they are."""
    emulator = Process("aws-emulator").pid()
    for thread in Path(f"/proc/{emulator}/task").iterdir():
        # Threads and processes come and go while one looks.
        with contextlib.suppress(OSError):
            for pid in (thread / "children").read_text().split():
                if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGKILL)
    yield


@contextmanager
def _rebooted() -> Iterator[None]:
    release = cluster.running_release() or cluster.DEFAULT_RELEASE
    cluster.stop()
    try:
        yield
    finally:
        cluster.start(release)
        cluster.wait_ready()


_RESTART = "systemd, by itself"
_START = "started again"
_AWS = "AWS answers again"

FAULTS = (
    Fault("slurmrestd stopped", partial(_stopped, "slurmrestd"), _START),
    Fault("slurmrestd killed", partial(_killed, "slurmrestd", start=False), _RESTART),
    Fault("slurmrestd hung", partial(_hung, "slurmrestd"), "goes on"),
    Fault("slurmrestd out of memory", _out_of_memory, "systemd; the limit put back"),
    Fault("slurmrestd's connections all taken", _connections_taken, "connections closed"),
    Fault("slurmctld stopped", partial(_stopped, "slurmctld"), _START, spares_slurmctld=False),
    # What a slurmctld that is killed was told in its last seconds is lost, for it writes its state every five.
    Fault("slurmctld killed", partial(_killed, "slurmctld", start=True), _START, spares_slurmctld=False, waits=7),
    Fault("slurmctld hung", partial(_hung, "slurmctld"), "goes on"),
    Fault("slurmctld restarted", partial(_done, "systemctl", "restart", "slurmctld"), "by itself",
          spares_slurmctld=False),
    Fault("slurmctld reconfigured", partial(_done, "scontrol", "reconfigure"), "by itself", spares_slurmctld=False),
    Fault("slurmdbd stopped", partial(_stopped, "slurmdbd"), _START),
    Fault("database stopped", partial(_stopped, "mariadb"), _START),
    Fault("munge stopped", partial(_stopped, "munge"), _START),
    Fault("a node's slurmd killed", partial(_killed, "slurmd@queue1-dy-t3micro-2", start=True), _START),
    Fault("KMS throttled", partial(_aws, "kms", code="ThrottlingException"), _AWS),
    Fault("SSM throttled", partial(_aws, "ssm", code="ThrottlingException"), _AWS),
    Fault("DynamoDB throttled", partial(_aws, "dynamodb", code="ProvisionedThroughputExceededException"), _AWS),
    Fault("S3 throttled", partial(_aws, "s3", code="SlowDown", status=503), _AWS),
    Fault("KMS and SSM silent", partial(_aws, "kms", "ssm", code="InternalFailure", status=500, seconds=6), _AWS),
    Fault("DynamoDB silent", partial(_aws, "dynamodb", code="InternalServerError", status=500, seconds=6), _AWS),
    Fault("a role's policy is gone", partial(_aws, "dynamodb", code="AccessDeniedException"), "deployed again"),
    Fault("key list made nonsense", partial(_parameter, "KeysParameterName", "no-key"), "put right"),
    Fault("access document made nonsense", partial(_parameter, "AccessParameterName", "rules: ["), "put right"),
    Fault("jobs function killed", partial(_functions_killed, "JobsFunction"), "Lambda, by itself"),
    Fault("edge authorizer killed", partial(_functions_killed, "EdgeAuthorizerFunction"), "Lambda, by itself"),
    Fault("target deregistered", _deregistered, "registers itself within 5 min; here at once"),
    Fault("head node rebooted", _rebooted, "starts by itself", spares_slurmctld=False),
    Fault("head node replaced: new address, empty state disk", replaced, "registers itself",
          keeps_jobs=False, spares_slurmctld=False, replaces_head_node=True, within=60.0),
)  # fmt: skip
