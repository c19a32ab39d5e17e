"""`python -m slurm_gateway.access`: what it says, and with which exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from slurm_gateway.access_command import main

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = """\
version: 1
rules:
  - name: team
    principal: {iam_role: "arn:aws:iam::123456789012:role/Team"}
    users: [alice]
  - name: ci
    principal: {oidc: {issuer: "https://ci.example.org", claims: {project: "74"}}}
    users: [bob]
"""
SESSION = "arn:aws:sts::123456789012:assumed-role/Team/anyone"


@pytest.fixture
def document(tmp_path: Path) -> str:
    path = tmp_path / "access.yaml"
    path.write_text(DOCUMENT)
    return str(path)


def test_a_session_of_a_role_is_told_its_rule(document: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--principal", SESSION, document]) == 0
    assert "a token for alice, by the rule team" in capsys.readouterr().out


@pytest.mark.parametrize("arn", ["arn:aws:iam::123456789012:role/Team", "arn:aws:iam::123456789012:root", "Team"])
def test_what_no_caller_can_be_is_misuse_and_not_somebody_without_a_rule(
    document: str, capsys: pytest.CaptureFixture[str], arn: str
) -> None:
    assert main(["explain", "--principal", arn, document]) == 2
    told = capsys.readouterr().out
    assert told.startswith(f"{arn}: should be an IAM user's ARN, or a role session's")
    assert "no token" not in told


@pytest.mark.parametrize("content", [None, "{", '"text"', json.dumps({"project": "74"})])
def test_claims_that_cannot_be_read_are_misuse(
    document: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    claims = tmp_path / "claims.json"
    if content is not None:
        claims.write_text(content)

    assert main(["explain", "--claims", str(claims), document]) == 2
    assert capsys.readouterr().out.startswith(f"{claims}: cannot be read: ")


def test_the_holder_of_an_id_token_is_told_its_rule(
    document: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = tmp_path / "claims.json"
    claims.write_text(json.dumps({"iss": "https://ci.example.org", "project": 74}))

    assert main(["explain", "--claims", str(claims), document]) == 0
    assert "a token for bob, by the rule ci" in capsys.readouterr().out
