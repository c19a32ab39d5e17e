"""The README's local part, run verbatim, in order, as somebody who has just cloned the project would."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.conftest import ROOT

pytestmark = pytest.mark.any_release

BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def local_commands(readme: str) -> str:
    """Give the commands of the first screen and of the local part as one script."""
    first_screen, _, rest = readme.partition("## The way of a request")
    local_part = rest.partition("## The stack on one machine")[2].partition("## Deploying to AWS")[0]
    demo = [
        line.removeprefix("$ ") for line in "\n".join(BLOCK.findall(first_screen)).splitlines() if line == "$ make demo"
    ]
    assert demo, "the README's first screen shows make demo"
    return "\n".join([*demo, *BLOCK.findall(local_part)])


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A clean clone of what is committed, with an address, a cluster and a .venv of its own."""
    directory = tmp_path / "slurm-gateway"
    subprocess.run(["git", "clone", "--quiet", ROOT, directory], check=True)
    yield directory
    subprocess.run(["make", "clean"], cwd=directory, check=True, capture_output=True)


def test_commands_of_the_local_part_work_in_a_clean_clone_beside_another_stack(clone: Path, stack: object) -> None:
    script = local_commands((clone / "README.md").read_text())
    for command in (
        "make demo",
        "make up",
        "make status",
        "curl",
        "local/slurm",
        "local/aws",
        "SLURM=26.05 make up",
        "make down",
    ):
        assert command in script
    environment = {name: value for name, value in os.environ.items() if name not in ("SLURM", "VIRTUAL_ENV")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=clone, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "Hello from alice" in done.stdout
