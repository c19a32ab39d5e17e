"""Background processes on this machine: start, stop, ask, wait.

A process is known by a name. Its pid file, ``.local/run/NAME.pid``, holds the pid and the time at which the
kernel started it (clock ticks since boot, field 22 of /proc/PID/stat), because a pid alone may meanwhile
belong to a stranger: after a crash or a reboot nothing is signalled unless both agree. Output goes to
``.local/log/NAME.log``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.address import LOG_DIRECTORY, RUN_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MARK = "SLURM_GATEWAY_PROCESS"
"""Environment variable by which what a process leaves behind is known again; it holds the pid file's path."""

POLL_INTERVAL = 0.05
PROGRESS_INTERVAL = 5.0
LOG_TAIL_LINES = 15
ORPHAN_TIMEOUT = 5.0

_children: dict[int, subprocess.Popen[bytes]] = {}


class ProcessError(Exception):
    """A background process did not start, stop or become ready; the message says where to look."""


@dataclass(frozen=True)
class Process:
    """A background process, running or not.

    Takes its name (also that of its pid file and log) and the directories of both.
    """

    name: str
    run_directory: Path = RUN_DIRECTORY
    log_directory: Path = LOG_DIRECTORY

    @property
    def pid_file(self) -> Path:
        """The file that holds ``PID START_TIME``."""
        return self.run_directory / f"{self.name}.pid"

    @property
    def log_file(self) -> Path:
        """The file that receives its standard output and standard error."""
        return self.log_directory / f"{self.name}.log"

    def pid(self) -> int | None:
        """Give the pid of the running process, or None where there is none."""
        recorded = self._recorded()
        if recorded is None:
            return None
        pid, started = recorded
        return pid if start_time(pid) == started else None

    def is_running(self) -> bool:
        """Tell whether the process that the pid file names is alive (a zombie is not)."""
        return self.pid() is not None

    def start(
        self,
        argv: Sequence[str | Path],
        *,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> int:
        """Start the process in a session of its own, unless it runs already, and give its pid.

        Takes the command line, the whole environment (default: this process's) and the working directory.
        Raises ProcessError when the command cannot be executed. It does not wait until the process is ready:
        that is for :func:`wait_until`. Two callers at once start it once.
        """
        self.run_directory.mkdir(parents=True, exist_ok=True)
        self.log_directory.mkdir(parents=True, exist_ok=True)
        with self._locked():
            running = self.pid()
            if running is not None:
                return running
            self._end_orphans()
            with self.log_file.open("ab") as log:
                try:
                    child = subprocess.Popen(
                        [os.fspath(word) for word in argv],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env={**(os.environ if environ is None else environ), MARK: str(self.pid_file)},
                        cwd=cwd,
                        start_new_session=True,
                    )
                except OSError as exc:
                    command = os.fspath(argv[0])
                    raise ProcessError(f"{self.name}: cannot run {command}: {exc.strerror}") from exc
            _children[child.pid] = child
            self._record(child.pid)
            return child.pid

    def stop(self, *, timeout: float = 10.0) -> bool:
        """Stop the process and what it started: SIGTERM, and SIGKILL after ``timeout`` seconds.

        Gives False where nothing ran. The signals go to the whole session that :meth:`start` made, so
        workers of a master do not outlive it. Raises ProcessError when SIGKILL does not end it within 5 s.
        """
        if not self.run_directory.is_dir():
            return False
        with self._locked():
            pid = self.pid()
            if pid is None:
                self._end_orphans()
                self.pid_file.unlink(missing_ok=True)
                return False
            _signal_group(pid, signal.SIGTERM)
            if not _gone(self.is_running, timeout):
                _signal_group(pid, signal.SIGKILL)
                if not _gone(self.is_running, 5.0):
                    raise ProcessError(f"{self.name}: pid {pid} survived SIGKILL; look at /proc/{pid}/stack")
            self._end_orphans()
            self.pid_file.unlink(missing_ok=True)
            return True

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """Give the last lines of the log, or an empty string where there is none."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(max(0, self.log_file.stat().st_size - 64 * 1024))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def _recorded(self) -> tuple[int, int] | None:
        try:
            words = self.pid_file.read_text().split()
        except FileNotFoundError:
            return None
        if len(words) != 2 or not all(word.isdigit() for word in words):
            return None
        return int(words[0]), int(words[1])

    def _end_orphans(self) -> None:
        """Kill what is left of the session of a process that is gone.

        Only what carries the mark that :meth:`start` set in its environment is ended: a session's number may
        belong to a stranger by now.
        """
        recorded = self._recorded()
        if recorded is None or start_time(recorded[0]) is not None:
            return
        mark = f"{MARK}={self.pid_file}".encode()
        for pid in _members(recorded[0], mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _gone(lambda: bool(_members(recorded[0], mark)), ORPHAN_TIMEOUT)

    def _record(self, pid: int) -> None:
        started = start_time(pid)
        if started is None:
            raise ProcessError(f"{self.name}: ended at once\n{self.log_tail()}")
        # Renamed into place: whoever reads it sees both numbers or no file.
        new = self.pid_file.with_suffix(".pid.new")
        new.write_text(f"{pid} {started}\n")
        new.replace(self.pid_file)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.run_directory / f"{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _members(session: int, mark: bytes) -> list[int]:
    """Give the live pids of a session that carry a mark (proc(5): stat, fields 3 and 6, and environ)."""
    members = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) != session or fields[0] in ("Z", "X"):
                continue
            marked = mark in (process / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if marked:
            members.append(int(process.name))
    return members


def start_time(pid: int) -> int | None:
    """Give the kernel's start time of a process in clock ticks since boot; None if it is gone or a zombie.

    Source: proc(5), /proc/PID/stat, fields 3 and 22. The second field may hold blanks and parentheses, so
    counting begins after the last parenthesis.
    """
    _reap(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def wait_until(
    predicate: Callable[[], bool],
    what: str,
    timeout: float,
    *,
    process: Process | None = None,
    interval: float = POLL_INTERVAL,
) -> None:
    """Wait until ``predicate()`` is true.

    Takes what is waited for as a phrase ("the gateway to answer"), the bound in seconds, and the process
    whose end makes waiting pointless. A line on standard error says every 5 s what is waited for. Raises
    ProcessError on time-out, and at once when the process has ended, with the end of its log.
    """
    begin = time.monotonic()
    next_report = begin + PROGRESS_INTERVAL
    while not predicate():
        now = time.monotonic()
        if process is not None and not process.is_running():
            raise ProcessError(f"waiting for {what}: {process.name} has ended{_log_excerpt(process)}")
        if now - begin > timeout:
            log = "" if process is None else _log_excerpt(process)
            raise ProcessError(f"waited {timeout:g} s for {what}, in vain{log}")
        if now >= next_report:
            print(f"  still waiting for {what} ({now - begin:.0f} s)", file=sys.stderr, flush=True)
            next_report += PROGRESS_INTERVAL
        time.sleep(interval)


def _log_excerpt(process: Process) -> str:
    tail = process.log_tail()
    return f"; the end of {process.log_file}:\n{tail}" if tail else f"; {process.log_file} is empty"


def _gone(is_running: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while is_running():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL)
    return True


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _reap(pid: int) -> None:
    """Collect a child of this program that has ended; one of an earlier run is init's to collect."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
