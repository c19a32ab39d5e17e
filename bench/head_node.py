"""The head node replaced as ParallelCluster does it: another instance and address, an empty disk, the same key list.

What stays is what lies outside it: the key list, the target group, the API. The new one runs configure.sh as its
OnNodeConfigured action, and no operator does anything.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local import aws_emulator, cluster, principals, rootfs, stack, stacks
from local.address import CHECKOUT, address
from local.slurm_configuration import HEAD_NODE_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What configure.sh, slurmctld and slurmrestd keep on the head node's disk.
_GONE = (
    "opt/slurm-gateway",
    "etc/slurm-gateway",
    "var/lib/slurm-gateway",
    "etc/systemd/system/slurmrestd.service",
    "etc/systemd/system/slurmrestd-lists.service",
    "etc/systemd/system/multi-user.target.wants/slurmrestd-lists.service",
    "etc/systemd/system/multi-user.target.wants/slurmrestd.service",
)


@dataclass
class Moment:
    """A moment that is yet to come: `at` is then a time of the monotonic clock."""

    at: float | None = None


def new_address() -> str:
    """Give the address of the next head node: beside this checkout's own, on loopback as that is."""
    return address().rpartition(".")[0] + ".77"


@contextmanager
def replaced() -> Iterator[Moment]:
    """Take the head node away while this lasts; at the end its successor boots and configures itself.

    Gives the moment at which the successor's slurmctld answers. What comes after this, `make up`, puts the first
    address back.
    """
    answered = Moment()
    release = cluster.running_release() or cluster.DEFAULT_RELEASE
    requirements = stacks.outputs_of(stacks.REQUIREMENTS_STACK)
    ec2, elb = (aws_emulator.client(service, principals.administrator()) for service in ("ec2", "elbv2"))
    old = stacks.head_node_instance_id(requirements)
    cluster.stop()
    # AWS takes an instance that is terminated out of its target groups.
    ec2.terminate_instances(InstanceIds=[old])
    for group in _groups(requirements):
        elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": old}])
    try:
        yield answered
    finally:
        _wipe(rootfs.release(release).directory)
        made = ec2.run_instances(
            ImageId="ami-00000000", InstanceType="t3.micro", MinCount=1, MaxCount=1,
            SubnetId=requirements["HeadNodeSubnetId"], SecurityGroupIds=[requirements["HeadNodeSecurityGroupId"]],
            PrivateIpAddress=new_address(),
        )  # fmt: skip
        cluster.start(release)
        cluster.wait_ready()
        answered.at = time.monotonic()
        stack.configure_head_node(
            requirements, made["Instances"][0]["InstanceId"], "--listen-address", new_address()
        )  # fmt: skip
        took = time.monotonic() - answered.at
        print(f"    configured {took:.1f} s after slurmctld answered, at {new_address()}", flush=True)


def _wipe(root: Path) -> None:
    """Leave of a disk what its image holds."""
    for name in _GONE:
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    state = root / "var/spool/slurm.state"
    for path in state.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (root / "etc/systemd/system").rglob("slurm-gateway-*"):
        path.unlink()
    for name in ("slurm.conf", "slurmdbd.conf"):
        file = root / "opt/slurm/etc" / name
        file.write_text(file.read_text().partition(HEAD_NODE_MARK)[0])


def put_back() -> None:
    """Let the first address have the head node again: the successor goes, and `make up` heals the stack."""
    # Or it would register itself again.
    cluster.run(["systemctl", "stop", "slurm-gateway-register.timer", "slurm-gateway-register.service"])
    requirements = stacks.outputs_of(stacks.REQUIREMENTS_STACK)
    ec2, elb = (aws_emulator.client(service, principals.administrator()) for service in ("ec2", "elbv2"))
    found = ec2.describe_instances(Filters=[{"Name": "private-ip-address", "Values": [new_address()]}])
    for reservation in found["Reservations"]:
        for instance in reservation["Instances"]:
            target = {"Id": instance["InstanceId"]}
            for group in _groups(requirements):
                elb.deregister_targets(TargetGroupArn=group, Targets=[target])
            ec2.terminate_instances(InstanceIds=[target["Id"]])
    # Before it configures, `make up` waits for a slurmrestd that is there: at the address that it knows.
    units = ["slurmrestd.service", "slurmrestd-lists.service"]
    cluster.run(["systemctl", "disable", "--now", *units])
    cluster.run(["rm", "--force", *(f"/etc/systemd/system/{unit}" for unit in units)])
    cluster.run(["systemctl", "daemon-reload"])
    subprocess.run([sys.executable, "-m", "local", "up"], cwd=CHECKOUT, check=True, capture_output=True)


def _groups(requirements: dict[str, str]) -> list[str]:
    return [requirements["TargetGroupArn"], requirements["ListsTargetGroupArn"]]
