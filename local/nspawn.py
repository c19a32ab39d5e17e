"""A machine that systemd-nspawn boots: a real systemd of its own, on this machine's network.

The machine is found again by its control group, which carries its name: whatever the machine's processes do,
and even when systemd-nspawn itself was killed, all that is left of it is in there. Its network is the host's,
so that everything that listens on this checkout's address is reached without routes or bridges.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.process import Process, start_time, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CAPABILITIES = "CAP_BPF,CAP_NET_ADMIN"
"""What systemd inside needs beyond nspawn's defaults to attach a unit's IPAddressDeny= filter."""

STOP_TIMEOUT = 20.0
COMMAND_PATH = "/opt/slurm/bin:/opt/slurm/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class MachineError(Exception):
    """The machine does not start, stop or answer; the message says what to do."""


@dataclass(frozen=True)
class Machine:
    """A machine, running or not.

    Takes its name (unique on the host), its root directory, its host name and the background process that
    stands for it (systemd-nspawn's pid file and log).
    """

    name: str
    root: Path
    hostname: str
    process: Process

    @property
    def control_group(self) -> Path:
        """The directory of the machine's control group in the unified hierarchy."""
        return unified_hierarchy() / self._group_path

    @property
    def _group_path(self) -> str:
        return f"machine.slice/{self.name}.scope" if _host_runs_systemd() else self.name

    def leader(self) -> int | None:
        """Give the pid of the machine's own systemd as the host sees it, or None where it does not run.

        It is the one process in nspawn's control group whose pid is 1 in its own pid namespace.
        """
        for pid in self.pids():
            if _innermost_pid(pid) == 1 and start_time(pid) is not None:
                return pid
        return None

    def is_running(self) -> bool:
        """Tell whether both systemd-nspawn and the systemd that it booted from this root are alive."""
        leader = self.leader()
        if leader is None or not self.process.is_running():
            return False
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{leader}/root").samefile(self.root)
        return False

    def start(self, *, timeout: float = 60.0) -> None:
        """Boot the machine unless it runs, and wait until its systemd takes commands.

        What an earlier run left (a systemd whose nspawn was killed, a job) is ended first. Raises
        MachineError or ProcessError.
        """
        if self.is_running():
            return
        self.stop()
        self.process.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.process.log_file.write_bytes(b"")
        self.process.start(self._command(), environ=self._environ())
        wait_until(self._answers, f"{self.name} to boot", timeout, process=self.process)

    def stop(self) -> bool:
        """Shut the machine down, end whatever is left of it, and give False where nothing ran.

        Raises MachineError when something survives SIGKILL.
        """
        ran = self.process.is_running() or bool(self.pids())
        pid = self.process.pid()
        if pid is not None and self.leader() is not None:
            # To nspawn SIGTERM means: have the machine shut itself down.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            _wait(lambda: not self.process.is_running() and not self.pids(), STOP_TIMEOUT)
        self.process.stop(timeout=2.0)
        self._kill_rest()
        self._remove_traces()
        return ran

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        stdin: bytes | None = None,
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine and give its result, output as text, whatever its exit status.

        Takes the user it runs as, what it reads on standard input (default: nothing) and its bound in
        seconds. Raises MachineError when the machine does not run, subprocess.TimeoutExpired.
        """
        result = subprocess.run(
            self.command(argv, user=user), input=stdin or b"", capture_output=True, timeout=timeout, check=False
        )
        return subprocess.CompletedProcess(
            list(argv),
            result.returncode,
            result.stdout.decode(errors="replace"),
            result.stderr.decode(errors="replace"),
        )

    def command(
        self, argv: Sequence[str], *, user: str = "root", environ: Mapping[str, str] | None = None
    ) -> list[str]:
        """Give the command line that, run on the host as root, runs ``argv`` in the machine.

        It runs as ``user`` in that user's home with a fresh environment (``environ`` is added), and belongs to
        the machine's control group, so that :meth:`stop` ends it too. Raises MachineError when the machine
        does not run.
        """
        leader = self.leader()
        if leader is None:
            raise MachineError("the local cluster does not run: start it with make up")
        home = self._home(user)
        variables = {"PATH": COMMAND_PATH, "HOME": home, "USER": user, "LOGNAME": user, "LANG": "C.UTF-8"}
        variables |= environ or {}
        inside = ["env", "-i", "-C", home, *(f"{name}={value}" for name, value in variables.items())]
        if user != "root":
            inside += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        # In a group of its own beside nspawn's two: inside the machine's systemd would take it for a stray.
        join = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
        commands = self.control_group / "commands"
        commands.mkdir(exist_ok=True)
        return ["sh", "-c", join, str(commands), "nsenter", "-t", str(leader), "-a", *inside, *argv]

    def _home(self, user: str) -> str:
        users = {}
        for line in (self.root / "etc/passwd").read_text().splitlines():
            name, *_, home, _shell = line.split(":")
            users[name] = home
        if user not in users:
            raise MachineError(f"there is no user {user} on the head node; its users are alice, bob and root")
        # A system user's home need not exist.
        return users[user] if (self.root / users[user].lstrip("/")).is_dir() else "/"

    def _command(self) -> list[str]:
        nspawn = [
            "systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}", f"--machine={self.name}",
            f"--hostname={self.hostname}", f"--capability={CAPABILITIES}", "--system-call-filter=bpf",
            "--settings=no", "--private-users=no", "--register=no", "--keep-unit",
            "--link-journal=no", "--resolv-conf=off", "--timezone=off",
        ]  # fmt: skip
        # nspawn makes its groups below the one it is started in, and --keep-unit has it stay there. On a host
        # with systemd that one must be systemd's to give (not seen: the machines at hand have none).
        if _host_runs_systemd():
            scope = ["systemd-run", "--quiet", "--scope", "--collect", "--slice=machine.slice"]
            return [*scope, f"--unit={self.name}", "--property=Delegate=yes", "--", *nspawn]
        # Where the host has the v1 hierarchy of systemd as well, nspawn looks for the same path in that one.
        groups = [str(root / self._group_path) for root in _hierarchies()]
        enter = 'for group in "$@"; do shift; [ "$group" = -- ] && break; mkdir -p "$group"; '
        enter += 'echo $$ >"$group/cgroup.procs"; done; exec "$@"'
        return ["sh", "-ec", enter, "sh", *groups, "--", *nspawn]

    def _environ(self) -> dict[str, str]:
        return {"PATH": COMMAND_PATH, "LANG": "C.UTF-8", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}

    def _answers(self) -> bool:
        if self.leader() is None:
            return False
        # Any answer will do: "starting" and "degraded" come with exit status 1.
        return self.run(["systemctl", "is-system-running"], timeout=30).stdout.strip() in (
            "starting", "running", "degraded",
        )  # fmt: skip

    def pids(self) -> list[int]:
        """Give the pids of all that runs in the machine, as the host sees them."""
        pids: list[int] = []
        for group in self._groups():
            with contextlib.suppress(OSError):
                pids += [int(line) for line in (group / "cgroup.procs").read_text().split()]
        return [pid for pid in pids if pid != 0]

    def _groups(self) -> list[Path]:
        return [Path(directory) for directory, _, _ in os.walk(self.control_group)]

    def _kill_rest(self) -> None:
        deadline = time.monotonic() + 5.0
        while pids := self.pids():
            if time.monotonic() > deadline:
                raise MachineError(f"{self.name}: pids {pids} survived SIGKILL; look at /proc/PID/stack")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def _remove_traces(self) -> None:
        for hierarchy in _hierarchies():
            for directory, _, _ in os.walk(hierarchy / self._group_path, topdown=False):
                with contextlib.suppress(FileNotFoundError):
                    Path(directory).rmdir()
        # nspawn leaves the directory through which mounts could be passed into the machine.
        shutil.rmtree(Path("/run/systemd/nspawn/propagate") / self.name, ignore_errors=True)


def unified_hierarchy() -> Path:
    """Give the mount point of the control groups' unified hierarchy. Raises MachineError where there is none."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount_point, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(mount_point)
    raise MachineError("no cgroup2 file system is mounted here: mount -t cgroup2 none /sys/fs/cgroup")


def _hierarchies() -> list[Path]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    named = [Path(m[1]) for m in mounts if m[2] == "cgroup" and "name=systemd" in m[3].split(",")]
    return [unified_hierarchy(), *named]


def _host_runs_systemd() -> bool:
    """Tell whether this host's PID 1 is systemd. Source: sd_booted(3)."""
    return Path("/run/systemd/system").is_dir()


def _innermost_pid(pid: int) -> int | None:
    """Give a process's pid in a pid namespace just below ours, else None.

    Source: proc(5), NSpid in /proc/PID/status.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                numbers = line.split()[1:]
                return int(numbers[1]) if len(numbers) == 2 else None
    return None


def _wait(condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
