from __future__ import annotations

import pytest

from slurm_gateway import principals
from slurm_gateway.principals import IamPrincipal, IamRole, IamUser, IdentityCenter

ALICE = "arn:aws:iam::123456789012:user/alice"
ROLE = "arn:aws:iam::123456789012:role/Researcher"
SSO = "arn:aws:iam::123456789012:role/AWSReservedSSO_Op_0123456789abcdef"


def session(role: str, name: str) -> IamPrincipal:
    return IamPrincipal(f"arn:aws:sts::123456789012:assumed-role/{role}/{name}")


@pytest.mark.parametrize("arn", [ALICE, "arn:aws:iam::123456789012:user/team/hpc/alice"])
def test_a_user_is_its_arn_with_its_path(arn: str) -> None:
    assert IamPrincipal(arn).user == principals.of_user(arn) == arn
    assert IamPrincipal(arn).role == ""
    assert IamUser(arn).mismatch(IamPrincipal(arn)) == ""
    assert IamUser(arn).mismatch(IamPrincipal(arn + "x")) == f"it is for the user {arn}"


@pytest.mark.parametrize("name", ["alice@example.com", "root", "Admin"])
def test_a_session_is_its_role_whatever_it_calls_itself(name: str) -> None:
    who = session("Researcher", name)

    assert (who.role, who.session, who.user) == (ROLE, name, "")
    assert IamRole(ROLE).mismatch(who) == ""
    assert IamUser(ALICE).mismatch(who) == f"it is for the user {ALICE}"
    assert IamRole(ROLE).mismatch(session("Other", "Researcher")) == f"it is for the role {ROLE}"


def test_a_role_of_another_partition_or_account_is_another() -> None:
    other = IamPrincipal("arn:aws-us-gov:sts::123456789012:assumed-role/Researcher/x")

    assert other.role == "arn:aws-us-gov:iam::123456789012:role/Researcher"
    assert IamRole(ROLE).mismatch(other)
    assert IamRole(ROLE).mismatch(IamPrincipal("arn:aws:sts::000000000000:assumed-role/Researcher/x"))


def test_identity_centers_session_name_decides() -> None:
    rule = IdentityCenter(SSO, "alice@example.org")

    assert rule.mismatch(session("AWSReservedSSO_Op_0123456789abcdef", "alice@example.org")) == ""
    assert "the session is" in rule.mismatch(session("AWSReservedSSO_Op_0123456789abcdef", "bob@example.org"))
    assert rule.mismatch(session("Op", "alice@example.org")) == f"it is for the role {SSO}"
    assert rule.mismatch(IamPrincipal(ALICE)) == f"it is for the role {SSO}"


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::123456789012:root",
        "arn:aws:sts::123456789012:federated-user/alice",
        ROLE,
        "arn:aws:sts::123456789012:assumed-role/Researcher",
        "arn:aws:sts::123456789012:assumed-role/Researcher/a/b",
        "arn:aws:sts::123456789012:assumed-role/Researcher/a\n",
        "arn:aws:iam::123456789012:user/",
        "arn:aws:iam::12345678901:user/alice",
        "",
        "*",
    ],
)
def test_what_no_rule_can_mean_is_nobody(arn: str) -> None:
    assert (IamPrincipal(arn).user, IamPrincipal(arn).role) == ("", "")


def test_a_roles_path_goes_and_a_user_is_no_role() -> None:
    assert principals.of_role("arn:aws:iam::123456789012:role/team/hpc/Researcher") == ROLE
    assert principals.of_role(ALICE) is None
    assert principals.of_user(ROLE) is None


@pytest.mark.parametrize(
    ("role", "is_one"),
    [
        (SSO, True),
        (SSO.replace("role/", "role/aws-reserved/sso.amazonaws.com/eu-west-1/"), True),
        ("arn:aws:iam::123456789012:role/AWSReservedSSO_Op", False),
        ("arn:aws:iam::123456789012:role/AWSReservedSSO_Op_0123456789abcdefg", False),
        (ROLE, False),
    ],
)
def test_a_role_of_identity_center_is_known_by_its_name(role: str, is_one: bool) -> None:
    assert (principals.of_identity_center(role) == SSO) == is_one


@pytest.mark.parametrize("pattern", ["*", "arn:aws:iam::*:user/alice", "arn:aws:iam::123456789012:user/*"])
def test_an_arn_is_no_pattern(pattern: str) -> None:
    assert (principals.of_user(pattern), principals.of_role(pattern)) == (None, None)
