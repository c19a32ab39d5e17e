"""Small versions of what `make soak` and `make bench` run at full size, where no other test runs them already."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench import large_output
from local import principals
from local.aws_emulator import endpoint
from tests.real.conftest import ROOT, Stack

pytestmark = pytest.mark.any_release


def test_a_large_output_takes_little_memory(stack: Stack) -> None:
    size = 32 << 20

    found = large_output.run(size)

    assert (found.size, found.is_good()) == (size, True), found.lines()


def test_every_job_of_a_long_list_is_seen_once(stack: Stack) -> None:
    region = stack.env["AWS_REGION"]
    environ = {"AWS_ENDPOINT_URL": endpoint(), "AWS_REGION": region, "AWS_DEFAULT_REGION": region}

    done = subprocess.run(
        [sys.executable, "-m", "bench.job_list", "300"],
        cwd=ROOT, env={**os.environ, **environ, **principals.administrator().environment()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "30 jobs seen, each once: True" in done.stdout, done.stderr
