"""What jobs print, shown as it comes and kept when they end; and how that looks at a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
import uuid
from fcntl import ioctl
from struct import pack
from termios import TIOCSWINSZ

import pytest

from tests.real.client_command import Client
from tests.real.conftest import ROOT, slurm

pytestmark = pytest.mark.any_release

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def test_log_comes_while_the_job_runs_and_is_complete_soon_after_its_end(client: Client) -> None:
    go = f"/home/alice/go-{uuid.uuid4().hex}"
    waits = f"until [ -e {go} ]; do sleep 0.2; done; rm {go}"
    script = client.script("talk.sh", f"for n in 1 2 3; do echo line $n; sleep 1.5; done; {waits}; echo line 4; exit 3")
    process = client.start("submit", script, "--follow")
    assert process.stdout is not None
    assert process.stdout.readline() == "line 1\n"
    assert process.poll() is None, "the job is not over yet"
    slurm("touch", go, user="alice")
    # What came together with the first line is in the buffer, and communicate() would leave it there.
    assert process.stdout.read() == "line 2\nline 3\nline 4\n"
    process.communicate(timeout=120)
    assert process.returncode == 3


def test_output_and_files_are_kept_for_each_job_and_each_task(client: Client) -> None:
    script = client.script(
        "keep.sh",
        "#GATEWAY output=results/*.csv\ncd $SLURM_SUBMIT_DIR; mkdir -p results; echo $1 > results/$1.csv; echo kept",
    )
    done = client.run("submit", script, "--output-dir=out", "--parsable", "--error=%j.err", "--", "seven")
    assert done.returncode == 0, done.stderr
    job_id = done.stdout.strip()
    assert (client.home / f"out/{job_id}/stdout").read_text() == "kept\n"
    assert (client.home / f"out/{job_id}/files/results/seven.csv").read_text() == "seven\n"
    array = client.run(
        "submit", "--wrap=echo task $SLURM_ARRAY_TASK_ID", "--array=1,3", "--output-dir=out", "--parsable"
    )
    assert array.returncode == 0, array.stderr
    for task in (1, 3):
        assert (client.home / f"out/{array.stdout.strip()}_{task}/stdout").read_text() == f"task {task}\n"
    logs = client.run("logs", job_id)
    assert (logs.returncode, logs.stdout) == (0, "kept\n")


def test_documented_session_is_what_it_looks_like(client: Client) -> None:
    found = re.search(r"^\$ cat hello.sh\n(.*?)^\$ (slurm-gateway [^\n]*)\n(.*?)^\$ echo \$\?\n(\d+)$",
                      (ROOT / "docs/client.md").read_text(), re.MULTILINE | re.DOTALL)  # fmt: skip
    assert found
    (client.home / "hello.sh").write_text(found[1])
    command = found[2].split()[1:]
    done = subprocess.run(
        [client.command, *command], env=client.environ(), cwd=client.home, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == int(found[4])
    shown = [alike(line) for line in done.stdout.splitlines()]
    documented = [alike(line) for line in found[3].splitlines()]
    # Whether a state is seen depends on when one looks; those that end and begin it are always there.
    assert [line for line in documented if "PENDING" not in line and "RUNNING" not in line] == [
        line for line in shown if "PENDING" not in line and "RUNNING" not in line
    ]
    assert set(shown) <= {*documented, "job N PENDING (Priority)", "job N PENDING (None)"}


def test_documented_error_is_what_it_looks_like(client: Client) -> None:
    found = re.search(r"^\$ slurm-gateway (submit hello.sh --partition=nowhere)\n(.*?)^```$",
                      (ROOT / "docs/client.md").read_text(), re.MULTILINE | re.DOTALL)  # fmt: skip
    assert found
    client.script("hello.sh", "true")
    done = client.run(*found[1].split())
    assert (done.returncode, done.stdout, done.stderr) == (248, "", found[2])


def alike(line: str) -> str:
    return re.sub(r"t3micro-\d", "t3micro-N", re.sub(r"after \d:\d\d", "after N", re.sub(r"job \d+", "job N", line)))


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("no_color", [False, True])
def test_follow_at_a_terminal_fits_it_and_is_coloured_as_wanted(client: Client, columns: int, no_color: bool) -> None:
    script = client.script("a-script-with-a-name-that-is-rather-long-for-a-terminal.sh", "echo printed; exit 2")
    status, text = at_terminal(client, columns, no_color, "submit", script.name, "--follow", "--time=10")
    lines = [line.rstrip("\r") for line in ANSI.sub("", text).split("\n")]
    assert status == 2, text
    assert "Traceback" not in text
    assert ("\x1b[31m" in text) == (not no_color), "FAILED is red, unless nobody wants colours"
    assert any(line.startswith("Submitted job ") for line in lines)
    assert "printed" in lines
    refused = at_terminal(client, columns, no_color, "submit", script.name, "--partition=none")
    assert refused[0] == 248
    assert max(len(line.rstrip("\r")) for line in ANSI.sub("", refused[1]).split("\n")) <= columns
    assert len(refused[1].splitlines()) < 24


def at_terminal(client: Client, columns: int, no_color: bool, *words: str) -> tuple[int, str]:
    """Run the command at a terminal of so many columns; give its status and all that it wrote."""
    environ = client.environ(TERM="xterm-256color", **({"NO_COLOR": "1"} if no_color else {}))
    pid, terminal = pty.fork()
    if pid == 0:
        ioctl(0, TIOCSWINSZ, pack("HHHH", 24, columns, 0, 0))
        os.chdir(client.home)
        os.execve(client.command, ["slurm-gateway", *words], environ)  # noqa: S606 (a terminal of its own)
    text, deadline = b"", time.monotonic() + 120
    while True:
        ready, _, _ = select.select([terminal], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"waited for its end, saw {text!r}"
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux says so when the other side has ended
            break
        if not piece:
            break
        text += piece
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode()
