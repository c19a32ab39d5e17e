"""The root file system of the local head node: Debian with real Slurm, one directory per Slurm release.

mmdebstrap makes it under ``.local/`` in half a minute and nothing of it is installed on the host. It is built
under another name and renamed when it is whole, so that a directory of the final name is always usable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from local.address import LOG_DIRECTORY, STATE_DIRECTORY

DEFAULT_RELEASE = "24.11"

PACKAGES = (
    "slurmctld", "slurmd", "slurmdbd", "slurmrestd", "slurm-client",
    "slurm-wlm-jwt-plugin", "slurm-wlm-mysql-plugin", "munge", "mariadb-server",
    "awscli", "openssl", "curl", "ca-certificates",
    "systemd", "systemd-sysv", "dbus", "iproute2", "procps", "sudo",
    "python3", "python3-boto3",
    "haproxy",
)  # fmt: skip
"""haproxy stands for the load balancer; the stack runs it from here so that the host needs none."""

PACKAGE_LIST = "etc/local-packages"
"""The file in a root file system that tells which packages it was made with."""

UNUSED_UNITS = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "console-getty.service", "getty@.service", "systemd-logind.service", "haproxy.service", "slurmd.service",
    "systemd-networkd.service", "systemd-networkd-wait-online.service", "systemd-resolved.service",
    "systemd-timesyncd.service", "systemd-sysctl.service", "systemd-firstboot.service",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount", "dev-hugepages.mount",
)  # fmt: skip
"""Masked: they act on the host's kernel or network, which this machine shares, or only cost time at boot.

slurmd's own unit is among them because this machine runs four, by a template unit."""

CANARY_USER = "slurm-canary"
"""Whom configure.sh makes for the API's canary."""

USERS = {"alice": 1001, "bob": 1002}
"""The cluster's users and their numbers, equal to those of their groups."""

EXCLUDED_PATHS = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")

COMMANDS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "ip": "iproute2",
}


class RootfsError(Exception):
    """The root file system cannot be made; the message says what to do."""


@dataclass(frozen=True)
class Release:
    """A Slurm release and the Debian suite whose packages hold it."""

    slurm: str
    suite: str
    expired_indexes: bool = False
    """Take package indexes that are past their date: a suite still in development renews its own every few
    hours, and a mirror that lags behind would be refused."""

    @property
    def directory(self) -> Path:
        """The directory of the finished root file system."""
        return STATE_DIRECTORY / f"rootfs-{self.slurm}"

    @property
    def log(self) -> Path:
        """The file that receives mmdebstrap's output."""
        return LOG_DIRECTORY / f"rootfs-{self.slurm}.log"


RELEASES = {
    release.slurm: release
    for release in (
        Release(slurm="24.11", suite="trixie"),
        Release(slurm="26.05", suite="forky", expired_indexes=True),
    )
}


def release(name: str) -> Release:
    """Give the release of a name such as ``24.11``. Raises RootfsError for an unknown one."""
    try:
        return RELEASES[name]
    except KeyError as exc:
        known = " or ".join(RELEASES)
        raise RootfsError(f"there is no local cluster of Slurm {name!r}; set SLURM={known}") from exc


def ensure(name: str) -> Path:
    """Make the root file system of a release unless it is there with all its packages, and give its directory.

    Takes the release's name. Making it needs Debian's package archive and takes 30 to 60 s, which is said on standard
    output. The machine must not run when it is made anew, which loses that cluster's state. Raises RootfsError.
    """
    wanted = release(name)
    if wanted.directory.is_dir() and not is_outdated(name):
        return wanted.directory
    _require_commands()
    if wanted.directory.is_dir():
        print(f"the root file system of Slurm {name} lacks a package that the stack needs now", flush=True)
        _refuse_mounts_below(wanted.directory)
        shutil.rmtree(wanted.directory)
    partial = wanted.directory.with_name(wanted.directory.name + ".partial")
    if partial.exists():
        # mmdebstrap unmounts what it mounted even when it fails, but a SIGKILL leaves it no chance.
        _refuse_mounts_below(partial)
        shutil.rmtree(partial)
    partial.parent.mkdir(parents=True, exist_ok=True)
    wanted.log.parent.mkdir(parents=True, exist_ok=True)
    print(f"building the root file system (Slurm {name} from Debian {wanted.suite}, about 40 s) ...", flush=True)
    begin = time.monotonic()
    with wanted.log.open("wb") as log:
        # Without a mirror argument mmdebstrap takes the archive of the suite's vendor, also on Ubuntu.
        status = subprocess.run(
            [*_mmdebstrap_options(wanted), wanted.suite, partial],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            check=False,
        ).returncode
    if status != 0:
        tail = "\n".join(wanted.log.read_text(errors="replace").splitlines()[-15:])
        raise RootfsError(
            f"mmdebstrap could not make Debian {wanted.suite} (exit status {status}); on Ubuntu the packages "
            f"debian-archive-keyring, gpg and distro-info-data must be installed; the end of {wanted.log}:\n{tail}"
        )
    _finish(partial)
    partial.rename(wanted.directory)
    print(f"  built in {time.monotonic() - begin:.0f} s", flush=True)
    return wanted.directory


def is_outdated(name: str) -> bool:
    """Tell whether a release's root file system is there, and was made with other packages than are wanted now."""
    listing = release(name).directory / PACKAGE_LIST
    return release(name).directory.is_dir() and (not listing.exists() or listing.read_text() != _package_list())


def _package_list() -> str:
    return "".join(f"{package}\n" for package in sorted(PACKAGES))


def _mmdebstrap_options(wanted: Release) -> list[str]:
    options = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED_PATHS]
    if wanted.expired_indexes:
        options.append('--aptopt=Acquire::Check-Valid-Until "false"')
    return [*options, "--include=" + ",".join(PACKAGES)]


def _finish(root: Path) -> None:
    """Make what the release's directory holds before its first boot the same for every cluster."""
    (root / PACKAGE_LIST).write_text(_package_list())
    for unit in UNUSED_UNITS:
        _mask(root, unit)
    # Debian's slurmrestd listens on every interface, as root; headnode/configure.sh brings its own unit.
    wanted_by = root / "etc/systemd/system/multi-user.target.wants"
    (wanted_by / "slurmrestd.service").unlink(missing_ok=True)
    subprocess.run(["systemd-machine-id-setup", f"--root={root}"], check=True, capture_output=True)
    for user, number in USERS.items():
        _in_root(root, "groupadd", f"--gid={number}", user)
        _in_root(root, "useradd", f"--uid={number}", f"--gid={number}", "--create-home", "--shell=/bin/bash", user)
    _lay_out_as_parallelcluster(root)


def _lay_out_as_parallelcluster(root: Path) -> None:
    """Let Debian's Slurm be found where ParallelCluster has its own, so that one script fits both."""
    prefix = root / "opt/slurm"
    prefix.mkdir()
    (prefix / "lib").mkdir()
    (prefix / "bin").symlink_to("/usr/bin")
    (prefix / "sbin").symlink_to("/usr/sbin")
    plugins = next((root / "usr/lib").glob("*/slurm-wlm"))
    (prefix / "lib/slurm").symlink_to("/" / plugins.relative_to(root))
    (root / "etc/slurm").rename(prefix / "etc")
    (root / "etc/slurm").symlink_to("/opt/slurm/etc")
    for directory, mode in (("spool/slurm.state", "700"), ("spool/slurmd", "755"), ("log/slurm", "755")):
        owner = "root" if directory == "spool/slurmd" else "slurm"
        _in_root(root, "install", "-d", f"--mode={mode}", f"--owner={owner}", f"/var/{directory}")


def _in_root(root: Path, *argv: str) -> None:
    result = subprocess.run(["chroot", root, *argv], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RootfsError(f"{' '.join(argv)} failed in {root}: {result.stderr.strip()}")


def _mask(root: Path, unit: str) -> None:
    path = root / "etc/systemd/system" / unit
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/null")


def _require_commands() -> None:
    if os.geteuid() != 0:
        raise RootfsError("the local cluster needs root: run the command again with sudo")
    missing = [package for command, package in COMMANDS.items() if shutil.which(command) is None]
    if missing:
        raise RootfsError(f"missing on this machine; install with: apt-get install {' '.join(missing)}")


def _refuse_mounts_below(directory: Path) -> None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount_point = line.split()[4]
        if Path(mount_point).is_relative_to(directory):
            raise RootfsError(f"{mount_point} is still mounted, left by an interrupted build: umount {mount_point}")
