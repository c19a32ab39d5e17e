"""``make verify-on-aws`` against the local stack, as far as an API without an account goes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.real.conftest import ROOT, Stack

pytestmark = pytest.mark.any_release


def verify(stack: Stack, principal: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the checks as a principal."""
    key = stack.credentials(principal)
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": str(key.access_key),
        "AWS_SECRET_ACCESS_KEY": str(key.secret_key),
        "AWS_REGION": stack.env["AWS_REGION"],
        "AWS_DEFAULT_REGION": stack.env["AWS_REGION"],
        "AWS_ENDPOINT_URL": stack.env["AWS_ENDPOINT_URL"],
    }
    return subprocess.run(
        [sys.executable, "-m", "deploy.verify", *(arguments or [stack.api])],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_every_check_of_the_api_goes_well(stack: Stack) -> None:
    done = verify(stack, "alice")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 of 13 as they should be" in done.stdout
    assert "eyJ" not in done.stdout


def test_whoever_is_mapped_to_nobody_is_told_what_to_do(stack: Stack) -> None:
    done = verify(stack, "mallory")

    assert done.returncode == 1
    assert "FAILED  token" in done.stdout
    assert "is mapped to no Slurm user" in done.stdout
    assert "docs/deploy.md" in done.stdout


def test_without_a_url_it_says_what_to_give(stack: Stack) -> None:
    done = verify(stack, "alice", "")

    assert done.returncode == 2
    assert "make verify-on-aws API=https://" in done.stderr
