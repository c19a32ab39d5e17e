from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from local.address import CHECKOUT
from slurm_gateway.access import Access, InboxGrant, Rule
from slurm_gateway.access_document import AccessDocument
from slurm_gateway.access_reader import parse
from slurm_gateway.errors import AccessDocumentError, UnavailableError
from slurm_gateway.oidc import Oidc
from slurm_gateway.principals import IamRole, IamUser, IdentityCenter
from slurm_gateway.users import forbidden_names

if TYPE_CHECKING:
    from emulation import Aws


FORBIDDEN = forbidden_names(default_user_sudo=True)
GOOD = """\
version: 1
rules:
  - name: alice
    principal:
      iam_user: arn:aws:iam::123456789012:user/alice
    users: [alice]
  - name: team
    principal: {iam_role: "arn:aws:iam::123456789012:role/team/Researcher"}
    users:
      - bob
      - carol
    lifespan: {default: 60, longest: 7200}
"""
GOOD_ACCESS = Access(
    (
        Rule("alice", IamUser("arn:aws:iam::123456789012:user/alice"), ("alice",), 900, 3600),
        Rule("team", IamRole("arn:aws:iam::123456789012:role/Researcher"), ("bob", "carol"), 60, 7200),
    )
)


def with_rule(rule: str) -> str:
    return "version: 1\nrules:\n" + textwrap.indent(textwrap.dedent(rule).strip(), "  ")


def problems(text: Any) -> tuple[str, ...]:
    with pytest.raises(AccessDocumentError) as raised:
        parse(text, forbidden=FORBIDDEN)
    return raised.value.problems


def test_a_good_document_is_its_rules_in_their_order() -> None:
    assert parse(GOOD, forbidden=FORBIDDEN) == GOOD_ACCESS


def test_a_document_without_rules_maps_nobody() -> None:
    assert parse("version: 1\nrules: []\n", forbidden=FORBIDDEN) == Access(())


def test_what_is_granted_to_the_inbox_is_read() -> None:
    text = "version: 1\nrules: []\ninbox:\n  - {rule: nightly-*, users: [alice, bob]}\n  - {rule: once, users: [carol]}"

    access = parse(text, forbidden=FORBIDDEN)

    assert access == Access((), (InboxGrant("nightly-*", ("alice", "bob")), InboxGrant("once", ("carol",))))


def test_a_default_lifespan_is_never_beyond_the_longest() -> None:
    text = GOOD.replace("{default: 60, longest: 7200}", "{longest: 300}")

    assert parse(text, forbidden=FORBIDDEN).rules[1].default_lifespan == 300


USER = "iam_user: arn:aws:iam::123456789012:user/alice"
WRONG = {
    "nothing": ("", "the document is empty; it should have `version: 1` and `rules`"),
    "text": ("alice", "line 1: the document should be a mapping"),
    "no version": ("rules: []", "line 1: the document lacks version"),
    "no rules": ("version: 1", "line 1: the document lacks rules"),
    "another version": ("version: 2\nrules: []", "line 1: version should be 1"),
    "a version in quotes": ('version: "1"\nrules: []', "line 1: version should be 1"),
    "a field unknown": (
        "version: 1\nrules: []\nruels: []",
        "line 3: the document has no 'ruels'; it has version, rules, inbox",
    ),
    "a field twice": ("version: 1\nrules: []\nrules: []", "line 3: rules stands twice"),
    "rules as a mapping": ("version: 1\nrules: {}", "line 2: rules should be a list"),
    "broken YAML": ("version: 1\nrules: ]", "line 2: not YAML: "),
    "two documents": ("version: 1\n---\nrules: []", "line 2: not YAML: "),
    "an alias": ("version: 1\nrules: [&a {}, *a]", "line 2: anchors and aliases are not allowed"),
    "depth": ("rules: " + "[" * 50 + "]" * 50, "line 1: nested too deep"),
    "length": ("#" * 8193, "the document is longer than 8192 characters"),
    "a control character": ("version: 1\nrules: []\n# \x07", "not YAML"),
    "a rule without a user": (
        with_rule(f"- name: x\n  principal: {{{USER}}}\n  users: []"),
        "line 5: users should be a list of at least one Slurm user",
    ),
    "a rule without a principal": (
        with_rule("- name: x\n  users: [alice]"),
        "line 3: a rule lacks principal",
    ),
    "a rule without a name": (
        with_rule(f"- principal: {{{USER}}}\n  users: [alice]"),
        "line 3: a rule lacks name",
    ),
    "an odd name": (
        with_rule(f"- name: a b\n  principal: {{{USER}}}\n  users: [alice]"),
        "line 3: a rule's name is 1 to 64 letters, digits, `_`, `.` and `-`",
    ),
    "one name twice": (
        with_rule(
            f"- name: x\n  principal: {{{USER}}}\n  users: [a]\n- name: x\n  principal: {{{USER}}}\n  users: [b]"
        ),
        "line 6: there is another rule named x",
    ),
    "a principal of no kind": (
        with_rule("- name: x\n  principal: {}\n  users: [alice]"),
        "line 4: principal should have exactly one of iam_user, iam_role, identity_center, oidc",
    ),
    "a principal of an unknown kind": (
        with_rule("- name: x\n  principal: {iam_group: hpc}\n  users: [alice]"),
        "line 4: principal has no 'iam_group'; it has iam_user, iam_role, identity_center, oidc",
    ),
    "a pattern": (
        with_rule('- name: x\n  principal: {iam_user: "*"}\n  users: [alice]'),
        "line 4: iam_user should be an IAM user's ARN, such as arn:aws:iam::123456789012:user/alice",
    ),
    "a role as a user": (
        with_rule("- name: x\n  principal: {iam_user: arn:aws:iam::123456789012:role/R}\n  users: [alice]"),
        "line 4: iam_user should be an IAM user's ARN, such as arn:aws:iam::123456789012:user/alice",
    ),
    "a session as a role": (
        with_rule(
            "- name: x\n  principal: {iam_role: arn:aws:sts::123456789012:assumed-role/R/alice}\n  users: [alice]"
        ),
        "line 4: iam_role should be an IAM role's ARN, such as arn:aws:iam::123456789012:role/Researcher",
    ),
    "a user that YAML reads as false": (
        with_rule(f"- name: x\n  principal: {{{USER}}}\n  users: [no]"),
        "line 5: a user should be text; put it in quotes if it looks like something else",
    ),
    "a user that is a uid": (
        with_rule(f'- name: x\n  principal: {{{USER}}}\n  users: ["0"]'),
        "line 5: '0' is not the name of a Linux user",
    ),
    "a user as text": (
        with_rule(f"- name: x\n  principal: {{{USER}}}\n  users: alice"),
        "line 5: users should be a list",
    ),
    "a user twice": (
        with_rule(f"- name: x\n  principal: {{{USER}}}\n  users: [alice, alice]"),
        "line 5: alice stands twice",
    ),
    "root": (
        with_rule(f"- name: x\n  principal: {{{USER}}}\n  users:\n    - alice\n    - root"),
        "line 7: root never gets a token: it stands for the system, or has sudo",
    ),
    "an image's default user": (
        with_rule(f"- name: x\n  principal: {{{USER}}}\n  users: [ubuntu]"),
        "line 5: ubuntu never gets a token: it stands for the system, or has sudo",
    ),
}
WRONG |= {
    f"a lifespan of {value}": (
        with_rule(f"- name: x\n  principal: {{{USER}}}\n  users: [alice]\n  lifespan: {{longest: {value}}}"),
        "line 6: a lifespan is a whole number of seconds from 1 to 86400",
    )
    for value in ("0", "-1", "86401", "1.5", "true", "'900'", "0777", "15:00", "999999999999")
}
WRONG |= {
    "a grant without a user": ("version: 1\nrules: []\ninbox: [{rule: x}]", "line 3: an entry of inbox lacks users"),
    "a grant to root": (
        "version: 1\nrules: []\ninbox:\n  - {rule: x, users: [root]}",
        "line 4: root never gets a token",
    ),
    "a grant to no rule": ("version: 1\nrules: []\ninbox: [{rule: a/b, users: [alice]}]", "line 3: rule is 1 to 64"),
}
GITHUB = "https://token.actions.githubusercontent.com"
SSO = "arn:aws:iam::123456789012:role/AWSReservedSSO_Op_0123456789abcdef"


def with_principal(principal: str) -> str:
    return with_rule(f"- name: x\n  users: [alice]\n  principal: {{{principal}}}")


WRONG |= {
    "another word for true": (
        with_rule(f"- name: x\n  principal: {{{USER}}}\n  users: [alice]\n  sees_everyones_jobs: yes"),
        "line 6: sees_everyones_jobs should be true or false",
    ),
    "a role that is not Identity Center's": (
        with_principal("identity_center: {role: arn:aws:iam::123456789012:role/AWSReservedSSO_Op, session: a}"),
        "line 5: role should be the ARN of a role that IAM Identity Center made",
    ),
    "Identity Center without a session": (
        with_principal(f"identity_center: {{role: {SSO}}}"),
        "line 5: identity_center lacks session",
    ),
    "an empty session": (
        with_principal(f'identity_center: {{role: {SSO}, session: ""}}'),
        "line 5: session should be the name of a user in Identity Center",
    ),
    "OIDC without claims": (
        with_principal("oidc: {issuer: https://id.example.org, claims: {}}"),
        "line 5: claims should have at least one: without, everybody at the issuer is meant",
    ),
    "an issuer that is no URL": (
        with_principal("oidc: {issuer: github, claims: {sub: x}}"),
        "line 5: issuer should be a URL as the tokens have it",
    ),
    "a claim that YAML reads as a number": (
        with_principal("oidc: {issuer: https://id.example.org, claims: {repository_id: 123}}"),
        "line 5: the claim repository_id should be text; put it in quotes",
    ),
    "the issuer as a claim": (
        with_principal("oidc: {issuer: https://id.example.org, claims: {iss: x}}"),
        "line 5: 'iss' is no claim to go by",
    ),
    "a claim twice": (
        with_principal("oidc: {issuer: https://id.example.org, claims: {sub: x, sub: y}}"),
        "line 5: sub stands twice",
    ),
}
ANYBODY = "line 5: anybody may have a job at https://"
WRONG |= {
    f"anybody's job: {claims}": (with_principal(f"oidc: {{issuer: {issuer}, claims: {{{claims}}}}}"), ANYBODY)
    for issuer, claims in [
        (GITHUB, "environment: production"),
        (GITHUB, 'repository: "*"'),
        (GITHUB, 'repository: "my*"'),
        (GITHUB, 'repository_id: "12*"'),
        (GITHUB, 'sub: "*:environment:production"'),
        (f"{GITHUB}/", "ref: refs/heads/main"),
        ("https://gitlab.com", "ref_protected: 'true'"),
        ("https://gitlab.com", 'project_path: "group*"'),
    ]
}
WRONG["a default beyond the longest"] = (
    with_rule(f"- name: x\n  principal: {{{USER}}}\n  users: [alice]\n  lifespan: {{default: 61, longest: 60}}"),
    "line 6: the default lifespan, 61 s, is beyond the longest, 60 s",
)


@pytest.mark.parametrize(("text", "problem"), WRONG.values(), ids=WRONG)
def test_a_wrong_document_is_refused_with_the_line(text: Any, problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(text)), problems(text)


MEANT = {
    "a repository by its number": (
        f'oidc: {{issuer: {GITHUB}, claims: {{repository_id: "1", environment: p}}}}',
        Oidc(GITHUB, (("repository_id", "1"), ("environment", "p"))),
    ),
    "an organisation's repositories, pull requests too": (
        f'oidc: {{issuer: {GITHUB}, claims: {{repository: "org/*"}}, pull_requests: true}}',
        Oidc(GITHUB, (("repository", "org/*"),), pull_requests=True),
    ),
    "a group's projects": (
        'oidc: {issuer: https://gitlab.com, claims: {project_path: "group/*", ref_protected: "true"}}',
        Oidc("https://gitlab.com", (("project_path", "group/*"), ("ref_protected", "true"))),
    ),
    "an issuer of one's own": (
        "oidc: {issuer: https://id.example.org/realms/hpc, claims: {groups: '*hpc*'}}",
        Oidc("https://id.example.org/realms/hpc", (("groups", "*hpc*"),)),
    ),
    "a user of Identity Center": (
        f"identity_center: {{role: {SSO.replace('role/', 'role/aws-reserved/sso.amazonaws.com/')}, session: a@b.org}}",
        IdentityCenter(SSO, "a@b.org"),
    ),
}


@pytest.mark.parametrize(("principal", "meant"), MEANT.values(), ids=MEANT)
def test_a_principal_of_any_kind_is_read(principal: str, meant: Any) -> None:
    [rule] = parse(with_principal(principal), forbidden=FORBIDDEN).rules

    assert rule == Rule("x", meant, ("alice",))


# What a schema cannot say: which names are forbidden, what YAML's own shape is, one sum over two values.
BEYOND_THE_SCHEMA = re.compile(
    r"YAML|anchors|nested|longer than|stands twice|another rule named|never gets a token|beyond the longest"
    r"|anybody may have|a lifespan is|should be true or false|version should be|no claim to go by"
)


def schema() -> Any:
    return jsonschema.Draft202012Validator(json.loads((CHECKOUT / "schemas/access-document.json").read_text()))


@pytest.mark.parametrize("text", [GOOD, *(with_principal(principal) for principal, _ in MEANT.values())])
def test_the_schema_takes_what_is_valid(text: str) -> None:
    schema().validate(yaml.safe_load(text))


@pytest.mark.parametrize(("text", "problem"), WRONG.values(), ids=WRONG)
def test_the_schema_refuses_what_is_not(text: Any, problem: str) -> None:
    if not BEYOND_THE_SCHEMA.search(problem):
        assert not schema().is_valid(yaml.safe_load(text))


def test_everything_wrong_is_told_at_once() -> None:
    text = GOOD.replace("[alice]", "[root]").replace("bob", "munge")

    assert problems(text) == (
        "line 6: root never gets a token: it stands for the system, or has sudo",
        "line 10: munge never gets a token: it stands for the system, or has sudo",
    )


@given(st.text() | st.text(alphabet="ab:-[]{}&*!|>'\"\n #?,01"))
def test_no_text_is_more_than_refused(text: Any) -> None:
    with pytest.raises(AccessDocumentError):
        parse(text, forbidden=FORBIDDEN)


def test_a_document_that_was_never_valid_gives_no_rules_to_decide_by(emulated: Aws) -> None:
    document = AccessDocument(emulated.ssm, emulated.parameter("rules: all"), forbidden=FORBIDDEN)

    with pytest.raises(UnavailableError, match="the access document is not valid"):
        document.read()


def test_a_document_that_is_missing_is_named(emulated: Aws) -> None:
    with pytest.raises(UnavailableError, match="/test/absent"):
        AccessDocument(emulated.ssm, "/test/absent", forbidden=FORBIDDEN).read()
