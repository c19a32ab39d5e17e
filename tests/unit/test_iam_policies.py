"""The list of IAM policies in docs/ is what the templates say, and says why of each statement."""

from __future__ import annotations

from local import iam_policies
from local.address import CHECKOUT


def test_the_page_is_current() -> None:
    page = (CHECKOUT / "docs/iam-policies.md").read_text()

    assert page == iam_policies.page(), "run: .venv/bin/python -m local.iam_policies > docs/iam-policies.md"


def test_every_role_and_the_head_node_and_the_key_are_listed_with_every_statement_named() -> None:
    listed = {policy.name: policy.statements for policy in iam_policies.policies()}

    assert {"HeadNodePolicy", "EdgeAuthorizerRole", "TokenRole", "JobsRole", "JwksRole"} <= set(listed)
    # What stands beside a role and not in it.
    assert {"InboxOperatorPolicy", "RecordsOperatorPolicy", "InboxWriterPolicy"} <= set(listed)
    assert any(name.startswith("SigningKey") for name in listed)
    assert all(statement["Sid"] for statements in listed.values() for statement in statements)


def test_what_several_roles_may_is_told_of_each_with_its_own_reason() -> None:
    sections = {part.partition("\n")[0]: part for part in iam_policies.page().split("\n## ")}

    assert "Keep records of jobs. It writes what it is told, and reads nothing." in sections["RecorderRole"]
    assert "Keep records of jobs. |" in sections["JobsRole"]


def test_no_function_may_pass_a_role_or_do_everything() -> None:
    for policy in iam_policies.policies():
        for statement in policy.statements:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if policy.kind == "identity" and statement["Effect"] == "Allow":
                assert not any(action.startswith("iam:") or action.endswith("*") for action in actions), statement
                assert statement["Resource"] != "*", statement
