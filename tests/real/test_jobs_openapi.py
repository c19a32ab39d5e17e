"""The served OpenAPI document: valid, and true of the running stack, which a fuzzer asks what nobody would."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import ROOT, Stack

# That each API version of a release gives the same job is in test_jobs_reads.py.
pytestmark = pytest.mark.any_release

TOOLS = ROOT / ".local/openapi/bin"
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance",
)  # fmt: skip


@pytest.fixture
def document(stack: Stack, tmp_path: Path) -> Path:
    answer = stack.http.get(f"{stack.api}/jobs/openapi.json", headers=stack.headers("alice"))
    assert answer.status_code == 200, answer.text
    served: dict[str, Any] = answer.json()
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(served))
    return path


def run(tool: str, *arguments: str | Path) -> str:
    environ = {"PATH": os.environ["PATH"], "NO_PROXY": "*", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [TOOLS / tool, *arguments], capture_output=True, text=True, check=False, env=environ, cwd=ROOT / ".local"
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def test_the_document_is_valid(document: Path) -> None:
    assert "OK" in run("openapi-spec-validator", document)


def test_no_answer_is_a_fault_or_outside_the_document(stack: Stack, document: Path) -> None:
    headers = [option for name, value in stack.headers("alice").items() for option in ("-H", f"{name}: {value}")]

    run(
        "schemathesis", "run", document, "--url", stack.api, *headers, "--checks", ",".join(CHECKS),
        "--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--max-time", "60",
        "--generation-with-security-parameters", "false", "--continue-on-failure", "--seed", "1",
        "--warnings", "off", "--no-color",
    )  # fmt: skip
