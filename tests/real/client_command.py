"""The client as a user has it: installed by pip into an environment of its own, and run as a command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.real.conftest import ROOT, Stack

# Where the action's first step installs it, with RUNNER_TEMP as the folder above.
ENVIRONMENT = ROOT / ".local/runner/slurm-gateway"


@dataclass(frozen=True)
class Client:
    """The installed command, and what it needs to know of the stack."""

    command: Path
    stack: Stack
    home: Path

    def environ(self, user: str = "alice", **more: str) -> dict[str, str]:
        """Give the environment of a user's shell with AWS credentials, and nothing of this process's own."""
        keys = self.stack.credentials(user)
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "SLURM_GATEWAY_URL": self.stack.api,
            "AWS_REGION": self.stack.env["AWS_REGION"],
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            **more,
        }

    def run(
        self, *arguments: str | Path, environ: Mapping[str, str] | None = None, timeout: float = 120, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            [self.command, *arguments],
            env=environ if environ is not None else self.environ(**more),
            cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def start(self, *arguments: str | Path, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the command, and leave it running."""
        return subprocess.Popen(
            [self.command, *arguments],
            env=environ if environ is not None else self.environ(),
            cwd=self.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def script(self, name: str, body: str) -> Path:
        """Write a bash script and give its path."""
        path = self.home / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        return path


def job_id_of(line: str) -> str:
    """Give the id in `Submitted job 12 (job.sh)`."""
    found = re.search(r"(?:Submitted|Joined) job (\S+)", line)
    assert found, line
    return found[1]


def install(environment: Path) -> Path:
    """Install the client by pip, with what it needs to sign for AWS, and give the command."""
    command = environment / "bin/slurm-gateway"
    sources = [path for path in (ROOT / "client").rglob("*") if path.suffix in (".py", ".toml", ".md")]
    if command.exists() and command.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return command
    pip = [environment / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if command.exists():
        pip += ["--force-reinstall", "--no-deps"]
    else:
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    done = subprocess.run([*pip, f"{ROOT}/client[aws]"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    os.utime(command, (time.time(), time.time()))
    return command
