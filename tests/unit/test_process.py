from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from local.process import Process, ProcessError, start_time, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)",
]
WITH_CHILD = [
    sys.executable,
    "-c",
    (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); time.sleep(60)"
    ),
]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process("sleeper", tmp_path / "run", tmp_path / "log")
    yield process
    process.stop(timeout=0.2)


def wait_for_output(process: Process) -> str:
    wait_until(lambda: bool(process.log_tail()), "output", 5, process=process)
    return process.log_tail()


def is_alive(pid: int) -> bool:
    return start_time(pid) is not None


def test_a_started_process_runs_in_a_session_of_its_own(process: Process) -> None:
    pid = process.start(SLEEP)

    assert process.is_running()
    assert os.getsid(pid) == pid


def test_starting_twice_starts_once(process: Process) -> None:
    assert process.start(SLEEP) == process.start(SLEEP)


def test_stopping_ends_the_process_and_forgets_it(process: Process) -> None:
    pid = process.start(SLEEP)

    assert process.stop()
    assert not is_alive(pid)
    assert not process.pid_file.exists()


def test_stopping_what_does_not_run_says_so(process: Process) -> None:
    assert not process.stop()


def test_a_process_that_ignores_sigterm_is_killed(process: Process) -> None:
    pid = process.start(STUBBORN)
    wait_for_output(process)

    process.stop(timeout=0.3)

    assert not is_alive(pid)


def test_stopping_ends_what_the_process_started(process: Process) -> None:
    process.start(WITH_CHILD)
    child = int(wait_for_output(process))

    process.stop()

    wait_until(lambda: not is_alive(child), "the child to end", 5)


def test_orphans_of_a_killed_process_end_before_it_starts_again(process: Process) -> None:
    killed = process.start(WITH_CHILD)
    child = int(wait_for_output(process))
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not process.is_running(), "the process to die", 5)
    assert is_alive(child)

    process.start(SLEEP)

    assert not is_alive(child)


def test_a_recycled_pid_is_not_killed(process: Process) -> None:
    stranger = process.start(SLEEP)
    process.pid_file.write_text(f"{stranger} 1\n")

    assert not process.is_running()
    assert not process.stop()
    assert is_alive(stranger)

    os.kill(stranger, signal.SIGKILL)


def test_a_damaged_pid_file_means_not_running(process: Process) -> None:
    process.run_directory.mkdir()
    process.pid_file.write_text("rubbish")

    assert not process.is_running()


def test_a_command_that_does_not_exist_is_named(process: Process) -> None:
    with pytest.raises(ProcessError, match="sleeper: cannot run /does/not/exist: No such file"):
        process.start(["/does/not/exist"])


def test_waiting_ends_when_the_condition_is_true() -> None:
    begin = time.monotonic()

    wait_until(lambda: time.monotonic() - begin > 0.1, "a moment", 5)


def test_waiting_in_vain_says_for_what_and_shows_the_log(process: Process) -> None:
    process.start(STUBBORN)
    wait_for_output(process)

    with pytest.raises(ProcessError, match=r"waited 0.1 s for a miracle, in vain; the end of .*:\nready"):
        wait_until(lambda: False, "a miracle", 0.1, process=process)


def test_waiting_for_a_process_that_ended_stops_at_once_with_its_last_words(process: Process) -> None:
    process.start([sys.executable, "-c", "print('no luck'); raise SystemExit(1)"])

    with pytest.raises(ProcessError, match=r"waiting for it: sleeper has ended; the end of .*:\nno luck"):
        wait_until(lambda: False, "it", 10, process=process)
