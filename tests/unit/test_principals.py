from __future__ import annotations

from typing import Any

import pytest

from slurm_gateway import principals

ROLE = "arn:aws:iam::123456789012:role/Researcher"


@pytest.mark.parametrize(
    ("caller", "principal"),
    [
        ("arn:aws:iam::123456789012:user/alice", "arn:aws:iam::123456789012:user/alice"),
        ("arn:aws:iam::123456789012:user/team/hpc/alice", "arn:aws:iam::123456789012:user/team/hpc/alice"),
        ("arn:aws:sts::123456789012:assumed-role/Researcher/alice@example.com", ROLE),
        ("arn:aws:sts::123456789012:assumed-role/Researcher/root", ROLE),
        (
            "arn:aws-us-gov:sts::123456789012:assumed-role/Researcher/x",
            "arn:aws-us-gov:iam::123456789012:role/Researcher",
        ),
    ],
)
def test_a_user_is_its_arn_and_a_session_is_its_role(caller: str, principal: Any) -> None:
    assert principal == principals.of_caller(caller)


@pytest.mark.parametrize(
    "caller",
    [
        "arn:aws:iam::123456789012:root",
        "arn:aws:sts::123456789012:federated-user/alice",
        "arn:aws:iam::123456789012:role/Researcher",
        "arn:aws:sts::123456789012:assumed-role/Researcher",
        "arn:aws:sts::123456789012:assumed-role/Researcher/a/b",
        "arn:aws:sts::123456789012:assumed-role/Researcher/a\n",
        "arn:aws:iam::123456789012:user/",
        "arn:aws:iam::12345678901:user/alice",
        "",
    ],
)
def test_no_rule_can_mean_anything_else(caller: str) -> None:
    assert principals.of_caller(caller) is None


def test_a_roles_path_does_not_count() -> None:
    assert principals.of_role("arn:aws:iam::123456789012:role/team/hpc/Researcher") == ROLE
    assert principals.of_role("arn:aws:iam::123456789012:user/alice") is None


def test_a_users_path_does_count() -> None:
    arn = "arn:aws:iam::123456789012:user/team/alice"

    assert principals.of_user(arn) == arn
    assert principals.of_user(ROLE) is None


@pytest.mark.parametrize("pattern", ["arn:aws:iam::123456789012:user/*", "arn:aws:iam::*:role/Researcher", "*"])
def test_a_pattern_is_no_principal(pattern: str) -> None:
    assert (principals.of_user(pattern), principals.of_role(pattern)) == (None, None)
