"""The CI job that this runs in: what of it stays the same when a step is tried again.

Sources: GitHub Actions' "Variables reference", GitLab's "Predefined CI/CD variables reference".
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# The run, the job and the step; never the attempt, so that a retried step finds the job that it submitted first.
_GITHUB = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_JOB", "GITHUB_ACTION")
_GITLAB = ("CI_SERVER_URL", "CI_PROJECT_ID", "CI_PIPELINE_ID", "CI_JOB_NAME")
# No variable tells the jobs of a matrix apart on GitHub: action.yml says by this which one it is.
STEP = "SLURM_GATEWAY_STEP"


def step(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the CI run's own number, and all that tells this step of it from others; None outside CI."""
    names: tuple[str, ...]
    if environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_RUN_ID"):
        names, run = _GITHUB, f"github-{environ['GITHUB_RUN_ID']}"
    elif environ.get("GITLAB_CI") and environ.get("CI_PIPELINE_ID"):
        names, run = _GITLAB, f"gitlab-{environ['CI_PIPELINE_ID']}"
    else:
        return None
    return run, "\0".join([*(environ.get(name, "") for name in names), environ.get(STEP, "")])


def key(environ: Mapping[str, str], script: str, parts: Sequence[bytes]) -> str | None:
    """Return an idempotency key for one script of this CI step, None outside CI.

    `script` is its name and `parts` what is asked for: two scripts of one step are two jobs, and so is one that
    changed.
    """
    found = step(environ)
    if found is None:
        return None
    run, which = found
    return f"{run}-{digest([_bytes(which), _bytes(script), *parts])}"


def of_several(given: str, script: str) -> str:
    """Return the key of one script among several that share a key which was given."""
    return f"{given[:200]}.{digest([_bytes(script)])}"


def _bytes(name: str) -> bytes:
    """Return a name as the system has it: a file's need not be UTF-8."""
    return name.encode(errors="surrogateescape")


def digest(parts: Sequence[bytes]) -> str:
    """Return 32 hexadecimal digits of a list of parts, different for each list."""
    joined = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(joined).hexdigest()[:32]


@contextmanager
def unheeded(stream: BinaryIO, environ: Mapping[str, str]) -> Iterator[None]:
    """Let GitHub's runner take nothing that is written meanwhile for a command to itself; elsewhere do nothing.

    Source: "Workflow commands for GitHub Actions", stop-commands.
    """
    if environ.get("GITHUB_ACTIONS") != "true":
        yield
        return
    token = secrets.token_hex(16)
    stream.write(f"::stop-commands::{token}\n".encode())
    stream.flush()
    try:
        yield
    finally:
        stream.write(f"\n::{token}::\n".encode())
        stream.flush()
