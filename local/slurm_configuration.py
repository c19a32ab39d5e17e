"""The configuration of the local cluster's daemons, written into its root file system.

The files stand in ``local/cluster_files`` with ``${...}`` where a checkout's own values go.
"""

from __future__ import annotations

import os
from pathlib import Path
from string import Template

from local.address import SLURMCTLD_PORT, SLURMD_PORTS, SLURMDBD_PORT

TEMPLATES = Path(__file__).with_name("cluster_files")
NODES = tuple(f"queue1-dy-t3micro-{number}" for number in range(1, len(SLURMD_PORTS) + 1))

HEAD_NODE_MARK = "# slurm-gateway:"
"""Begins the lines that headnode/configure.sh adds to a file. They are kept when the file is written anew."""

_FILES = {
    "slurm.conf": "opt/slurm/etc/slurm.conf",
    "slurmdbd.conf": "opt/slurm/etc/slurmdbd.conf",
    "cgroup.conf": "opt/slurm/etc/cgroup.conf",
    "gres.conf": "opt/slurm/etc/gres.conf",
    "mariadb.cnf": "etc/mysql/mariadb.conf.d/90-local.cnf",
    "slurmd@.service": "etc/systemd/system/slurmd@.service",
    "accounting-database.service": "etc/systemd/system/accounting-database.service",
    "slurmdbd.service.conf": "etc/systemd/system/slurmdbd.service.d/local.conf",
}


def write(root: Path, *, hostname: str, address: str, max_job_count: int) -> bool:
    """Write the configuration into a root file system, and tell whether anything in it changed.

    Takes the root directory, the machine's host name, the address that everything binds to and slurm.conf's
    MaxJobCount.
    """
    values = {
        "hostname": hostname,
        "address": address,
        "max_job_count": str(max_job_count),
        "slurmctld_port": str(SLURMCTLD_PORT),
        "slurmdbd_port": str(SLURMDBD_PORT),
        "slurmd_first_port": str(SLURMD_PORTS[0]),
        "slurmd_last_port": str(SLURMD_PORTS[-1]),
    }
    hosts = f"127.0.0.1 localhost\n{address} {hostname}\n"
    changes = [_replace(root / "etc/hosts", hosts), _replace(root / "etc/hostname", f"{hostname}\n")]
    for name, path in _FILES.items():
        text = (TEMPLATES / name).read_text()
        changes.append(_replace(root / path, text if name.endswith(".service") else Template(text).substitute(values)))
    _own_by_slurm(root, root / _FILES["slurmdbd.conf"])
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    changes.append(_enable(wanted, "accounting-database.service"))
    changes += [_enable(wanted, f"slurmd@{node}.service", "slurmd@.service") for node in NODES]
    return any(changes)


def _replace(path: Path, text: str) -> bool:
    """Write a file by rename, keeping the lines that configure.sh added; tell whether it changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    old = path.read_text() if path.exists() else ""
    _, mark, added = old.partition(HEAD_NODE_MARK)
    if mark:
        text = f"{text.rstrip()}\n\n{mark}{added}"
    if text == old:
        return False
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    if path.exists():
        status = path.stat()
        new.chmod(status.st_mode & 0o7777)
        os.chown(new, status.st_uid, status.st_gid)
    new.replace(path)
    return True


def _own_by_slurm(root: Path, path: Path) -> None:
    """Keep a configuration from all but SlurmUser: slurmdbd refuses it otherwise."""
    for line in (root / "etc/passwd").read_text().splitlines():
        name, _, uid, gid, *_ = line.split(":")
        if name == "slurm":
            path.chmod(0o600)
            os.chown(path, int(uid), int(gid))


def _enable(wanted: Path, unit: str, file: str | None = None) -> bool:
    link = wanted / unit
    if link.is_symlink():
        return False
    wanted.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"/etc/systemd/system/{file or unit}")
    return True
