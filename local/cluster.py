"""The local head node and its cluster: real Slurm, set up by the script that a ParallelCluster head node runs.

:func:`start` boots the machine with munge, MariaDB, slurmdbd, slurmctld and four slurmd; :func:`configure` runs
``headnode/configure.sh`` in it, which adds tokens and slurmrestd. Everything listens on this checkout's
address. What is wrong is put right by calling start again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local import rootfs, slurm_configuration
from local.address import CHECKOUT, SLURMRESTD_PORT, address
from local.nspawn import Machine, MachineError
from local.process import Process, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEFAULT_RELEASE = rootfs.DEFAULT_RELEASE
HOSTNAME = "head-node"
HEAD_NODE_SCRIPTS = CHECKOUT / "headnode"
UNITS = (
    "munge.service", "mariadb.service", "accounting-database.service", "slurmdbd.service", "slurmctld.service",
    *(f"slurmd@{node}.service" for node in slurm_configuration.NODES),
)  # fmt: skip
CONFIGURED_UNITS = (
    "slurmrestd.service", "slurmrestd-lists.service",
    "slurm-gateway-queue.service", "slurm-gateway-feed.service", "slurm-gateway-files.service",
    "slurm-gateway-keys.timer", "slurm-gateway-register.timer", "slurm-gateway-credentials.timer",
    "slurm-gateway-users.timer", "slurm-gateway-users-changed.path", "slurm-gateway-users.path",
)  # fmt: skip


class ClusterError(Exception):
    """The cluster does not do what was asked; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """What may differ from one local cluster to the next."""

    max_job_count: int = 10_000
    """slurm.conf's MaxJobCount: how many jobs slurmctld holds in memory."""


def ensure_rootfs(release: str = DEFAULT_RELEASE) -> Path:
    """Make the root file system of a Slurm release unless it is there, and give its directory.

    Takes the release ("24.11" or "26.05"). One that was made with other packages is made anew. Raises RootfsError.
    """
    if rootfs.is_outdated(release) and running_release() == release:
        stop()
    return rootfs.ensure(release)


def running_release() -> str | None:
    """Give the Slurm release of the machine that runs, or None where none does."""
    return next((name for name in rootfs.RELEASES if _machine(name).is_running()), None)


def is_running() -> bool:
    """Tell whether the head node runs (its daemons may be down all the same: see :func:`wait_ready`)."""
    return running_release() is not None


def start(release: str = DEFAULT_RELEASE, settings: Settings | None = None) -> None:
    """Bring the cluster up with a Slurm release, or heal the one that runs.

    Takes the release and settings that differ from the default. A machine of another release is stopped
    first; daemons that died are started again. Each release keeps its own state (jobs, accounting, homes)
    from one start to the next. Raises RootfsError, MachineError, ProcessError or ClusterError.
    """
    root = ensure_rootfs(release)
    if running_release() not in (None, release):
        stop()
    changed = slurm_configuration.write(
        root, hostname=HOSTNAME, address=address(), max_job_count=(settings or Settings()).max_job_count
    )
    machine = _machine(release)
    was_running = machine.is_running()
    _add_address()
    if not was_running:
        print(f"starting the cluster (Slurm {release}) ...", flush=True)
        machine.start()
    units = [*UNITS, *(unit for unit in CONFIGURED_UNITS if _unit_path(root, unit).exists())]
    if was_running and changed:
        _checked(machine, ["systemctl", "daemon-reload"])
        _checked(machine, ["hostname", HOSTNAME])
        slurm_units = [unit for unit in units if unit.startswith("slurm")]
        _checked(machine, ["systemctl", "restart", "--no-block", *slurm_units])
    _checked(machine, ["systemctl", "reset-failed"])
    _checked(machine, ["systemctl", "start", "--no-block", *units])


def configure(*, arguments: Sequence[str], environment: Mapping[str, str], instance_id: str) -> None:
    """Run ``headnode/configure.sh`` on the head node, as OnNodeConfigured does on a ParallelCluster one.

    Takes the arguments of the script, the environment of AWS there (AWS_ENDPOINT_URL, AWS_REGION and the head node's
    credentials), and the instance id to register. What this machine has otherwise than ParallelCluster's is told here,
    before the arguments, of which the last one holds. The script's output goes to standard output. Raises ClusterError
    when it fails.
    """
    release = _require_running()
    root = rootfs.release(release).directory
    scripts = root / "root/headnode"
    shutil.rmtree(scripts, ignore_errors=True)
    shutil.copytree(HEAD_NODE_SCRIPTS, scripts)
    environment_file = root / "root/headnode.environment"
    environment_file.touch(mode=0o600)
    environment_file.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
    argv = [
        "/root/headnode/configure.sh", "--shared-directories", "/home", "--python", "/usr/bin/python3",
        "--listen-address", address(), "--environment-file", "/root/headnode.environment",
        "--instance-id", instance_id,
    ]  # fmt: skip
    sys.stdout.flush()
    command = _machine(release).command([*argv, *arguments])
    status = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False).returncode
    if status != 0:
        raise ClusterError(f"headnode/configure.sh failed with exit status {status}; its message stands above")


def wait_ready(timeout: float = 60.0) -> None:
    """Wait until slurmctld, slurmdbd and all nodes answer, and slurmrestd where it is configured.

    Takes the bound in seconds. Adds alice and bob to the accounting where they are missing. Raises
    ProcessError on time-out.
    """
    release = _require_running()
    machine = _machine(release)
    wait_until(lambda: _nodes_ready(machine), "slurmctld and its nodes", timeout)
    wait_until(lambda: _succeeds(machine, ["sacctmgr", "-nP", "show", "cluster"]), "slurmdbd", timeout)
    _add_accounts(machine)
    if _unit_path(rootfs.release(release).directory, "slurmrestd.service").exists():
        wait_until(lambda: _accepts(SLURMRESTD_PORT), "slurmrestd", timeout)


def stop() -> bool:
    """Shut the head node down with all its jobs, and give False where nothing ran."""
    release = running_release()
    machine = _machine(release or DEFAULT_RELEASE)
    if release is not None:
        _stop_jobs(machine)
    stopped = machine.stop()
    _remove_address()
    return stopped


def leader() -> int | None:
    """Give the pid of the head node's systemd as this machine sees it, or None where it does not run."""
    name = running_release()
    return None if name is None else _machine(name).leader()


def pids() -> list[int]:
    """Give the pids of all the head node's processes, jobs among them, as this machine sees them."""
    return _machine(_require_running()).pids()


def run(argv: Sequence[str], user: str | None = None, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command on the head node and give its result, whatever its exit status.

    Takes the command line, the user it runs as (default: root) and what it reads. Raises ClusterError when
    the cluster does not run.
    """
    return _machine(_require_running()).run(argv, user=user or "root", stdin=stdin)


def replace_process_with(argv: Sequence[str], user: str | None = None) -> None:
    """Become a command on the head node: standard streams, signals and exit status are the command's.

    Takes the command line and the user it runs as (default: root). Raises ClusterError when the cluster does
    not run.
    """
    terminal = {name: os.environ[name] for name in ("TERM", "COLUMNS") if name in os.environ}
    command = _machine(_require_running()).command(argv, user=user or "root", environ=terminal)
    os.execvp(command[0], command)  # noqa: S606 - to become the command is the purpose


def _machine(release: str) -> Machine:
    # Both releases carry one name: they share the address, so that only one of them can run.
    name = "slurm-gateway-" + "-".join(address().split(".")[1:3])
    return Machine(name=name, root=rootfs.release(release).directory, hostname=HOSTNAME, process=Process("cluster"))


def _stop_jobs(machine: Machine) -> None:
    """Cancel the jobs that run, and end their processes.

    Without the cancelling slurmctld would take them for running after the next start, for minutes. slurmstepd
    takes no SIGTERM, and the machine's shutdown would wait for it.
    """
    nodes = [unit for unit in UNITS if unit.startswith("slurmd@")]
    for argv in (
        ["scancel", "--state=RUNNING"],
        ["systemctl", "stop", "slurmctld.service"],
        ["systemctl", "kill", "--signal=KILL", *nodes],
    ):
        # What does not answer is ended with the machine.
        with contextlib.suppress(subprocess.TimeoutExpired, MachineError):
            machine.run(argv, timeout=10)


def _add_address() -> None:
    """Give the loopback interface this checkout's address, until :func:`stop`.

    Listening there works without, but whoever connects there would come from 127.0.0.1, and Slurm calls
    back where a connection came from: srun's output and slurmdbd's updates would go astray.
    """
    if not _has_address():
        _ip("add")


def _remove_address() -> None:
    if _has_address():
        _ip("del")


def _has_address() -> bool:
    listed = subprocess.run(["ip", "-o", "address", "show", "dev", "lo"], capture_output=True, text=True, check=True)
    return f" {address()}/32 " in listed.stdout


def _ip(verb: str) -> None:
    argv = ["ip", "address", verb, f"{address()}/32", "dev", "lo"]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ClusterError(f"{' '.join(argv)} failed: {result.stderr.strip()}; the local cluster needs root")


def _require_running() -> str:
    if os.geteuid() != 0:
        raise ClusterError("the local cluster needs root: run the command again with sudo")
    release = running_release()
    if release is None:
        raise ClusterError("the local cluster does not run: start it with make up")
    return release


def _unit_path(root: Path, unit: str) -> Path:
    return root / "etc/systemd/system" / unit


def _checked(machine: Machine, argv: Sequence[str]) -> str:
    result = machine.run(argv)
    if result.returncode != 0:
        raise ClusterError(f"{' '.join(argv)} failed on the head node: {result.stderr.strip()}")
    return result.stdout


def _succeeds(machine: Machine, argv: Sequence[str]) -> bool:
    try:
        return machine.run(argv, timeout=10).returncode == 0
    except (subprocess.TimeoutExpired, MachineError):
        return False


def _nodes_ready(machine: Machine) -> bool:
    try:
        result = machine.run(["sinfo", "--noheader", "--Node", "--format=%T"], timeout=10)
    except (subprocess.TimeoutExpired, MachineError):
        return False
    states = result.stdout.split()
    return len(states) == len(slurm_configuration.NODES) and all(
        state in ("idle", "mixed", "allocated", "completing") for state in states
    )


def _add_accounts(machine: Machine) -> None:
    present = _checked(machine, ["sacctmgr", "-nP", "show", "association", "format=user"]).split()
    missing = [user for user in (*rootfs.USERS, rootfs.CANARY_USER) if user not in present]
    if missing:
        # Adding what is there already is no error, but exits with 1: hence the look first.
        add = ["sacctmgr", "-i", "add"]
        machine.run([*add, "account", "users", "Description=users", "Organization=users"])
        _checked(machine, [*add, "user", ",".join(missing), "Account=users"])


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((address(), port), timeout=1):
            return True
    except OSError:
        return False
