"""For any access document the user who is minted is one whom a rule names for the principal, or grants the inbox's."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import yaml
from event_samples import sample, token_event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_gateway.access_reader import parse
from slurm_gateway.eligible_users import EligibleUsers
from slurm_gateway.errors import AccessDocumentError, DeadLetterError
from slurm_gateway.inbox import Inbox, Taken
from slurm_gateway.inbox_message import Message
from slurm_gateway.inbox_rules import RuleBook
from slurm_gateway.keys import parse_key_list
from slurm_gateway.oidc import is_of_pull_request
from slurm_gateway.short_tokens import ShortTokens
from slurm_gateway.token_endpoint import TokenEndpoint
from slurm_gateway.tokens import Mint
from slurm_gateway.users import forbidden_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurm_gateway.caller import Caller

FORBIDDEN = forbidden_names(default_user_sudo=True)
KEY = "0a1b2c3d-0000-4000-8000-000000000000"
ISSUERS = ["https://token.actions.githubusercontent.com", "https://gitlab.com", "https://id.example.org"]
USERS = ["alice", "bob", "carol", "dave"]
ELIGIBLE = {"alice", "bob", "carol"}
SSO = "AWSReservedSSO_Op_0123456789abcdef"

users = st.sampled_from(USERS)
names = st.sampled_from(["alice", "Op", SSO])
values = st.sampled_from(["", "1", "12", "org/a", "org/b", "orgx/a", "main", "production", "refs/pull/1/merge", "push"])
claim_names = st.sampled_from(
    ["sub", "repository", "repository_id", "project_path", "environment", "ref", "event_name"]
)
patterns = values | st.sampled_from(["*", "org/*", "o*", "*a*", "1*"])
accounts = st.sampled_from(["123456789012"] * 4 + ["000000000000"])
roles = st.builds(lambda account, name: f"arn:aws:iam::{account}:role/{name}", accounts, names)
sso_roles = st.builds(lambda account: f"arn:aws:iam::{account}:role/{SSO}", accounts)
own_claims = st.dictionaries(claim_names, patterns, min_size=1, max_size=2)
owned_claims = st.dictionaries(claim_names, patterns, max_size=1).map(lambda claims: {**claims, "repository_id": "1"})
oidc = st.one_of(
    st.fixed_dictionaries(
        {"issuer": st.just(ISSUERS[2]), "claims": own_claims}, optional={"pull_requests": st.booleans()}
    ),
    st.fixed_dictionaries(
        {"issuer": st.just(ISSUERS[0]), "claims": owned_claims}, optional={"pull_requests": st.booleans()}
    ),
    # Often not valid: anybody may have a job there.
    st.fixed_dictionaries({"issuer": st.sampled_from(ISSUERS), "claims": st.dictionaries(claim_names, patterns)}),
)
meant = st.one_of(
    st.builds(lambda account, name: {"iam_user": f"arn:aws:iam::{account}:user/{name}"}, accounts, names),
    roles.map(lambda role: {"iam_role": role}),
    st.builds(lambda role, session: {"identity_center": {"role": role, "session": session}}, sso_roles, names),
    oidc.map(lambda principal: {"oidc": principal}),
)
lifespans = st.integers(60, 7200).map(lambda longest: {"longest": longest}) | st.dictionaries(
    st.sampled_from(["default", "longest"]), st.integers(0, 90_000)
)
rules = st.fixed_dictionaries(
    {
        "principal": meant,
        # Now and then somebody who may never be named.
        "users": st.lists(st.sampled_from([*USERS * 5, "root", "0"]), min_size=1, max_size=3, unique=True),
    },
    optional={"lifespan": lifespans, "sees_everyones_jobs": st.booleans()},
)
callers = st.one_of(
    st.builds(lambda account, name: f"arn:aws:iam::{account}:user/{name}", accounts, names),
    st.builds(
        lambda account, role, session: f"arn:aws:sts::{account}:assumed-role/{role}/{session}", accounts, names, names
    ),
    st.sampled_from(["arn:aws:iam::123456789012:root", "arn:aws:sts::123456789012:federated-user/alice", "", "*"]),
)
id_tokens = st.builds(
    lambda issuer, claims: {**claims, "iss": issuer},
    st.sampled_from([*ISSUERS, "https://evil.example"]),
    st.dictionaries(claim_names, values | st.text(max_size=10)),
)


class Signs:
    """KMS as far as the mint asks it; what is signed is not the matter here."""

    def sign(self, **_: Any) -> dict[str, bytes]:
        return {"Signature": b"x" * 256}


def event(who: Any, asked: dict[str, Any]) -> dict[str, Any]:
    if isinstance(who, str):
        return token_event(caller=who, body=json.dumps(asked))
    given = sample("token-oidc-own")
    given["requestContext"]["authorizer"]["jwt"]["claims"] = who
    return given | {"body": json.dumps(asked)}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    listed=st.lists(rules, max_size=4),
    who=callers | id_tokens,
    asked=st.fixed_dictionaries(
        {}, optional={"user": users | st.sampled_from(["root", "mallory"]), "lifespan": st.integers(1, 90_000)}
    ),
)
def test_the_minted_user_is_one_that_a_rule_names_for_that_principal(
    listed: list[dict[str, Any]], who: Any, asked: dict[str, Any]
) -> None:
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(listed)]
    text = yaml.safe_dump({"version": 1, "rules": named})
    try:
        access = parse(text, forbidden=FORBIDDEN)
    except AccessDocumentError:
        return
    endpoint = TokenEndpoint(
        access=lambda: access,
        eligible=lambda: EligibleUsers(frozenset(ELIGIBLE), time.time()),
        key_list=lambda: parse_key_list(KEY),
        mint=Mint(Signs()),
        forbidden=FORBIDDEN,
        access_parameter="/access",
    )

    response = endpoint(event(who, asked))

    fitting = [rule for rule in named if means(rule["principal"], who)]
    if response["statusCode"] != 200:
        assert response["statusCode"] in (401, 403, 422)
        return
    minted = json.loads(response["body"])
    claims = jwt.decode(minted["token"], options={"verify_signature": False})
    decisive = next(rule for rule in fitting if minted["user"] in rule["users"])
    assert claims["sun"] == minted["user"] == asked.get("user", fitting[0]["users"][0])
    assert minted["user"] in ELIGIBLE
    assert minted["expires_in"] <= decisive.get("lifespan", {}).get("longest", 3600)
    assert claims.get("sees_everyones_jobs", False) == decisive.get("sees_everyones_jobs", False)


def means(principal: dict[str, Any], who: Any) -> bool:
    """Tell whom a rule means, in other words than the code: by splitting and prefixes, never by its own functions."""
    [(kind, value)] = principal.items()
    if kind == "oidc":
        if isinstance(who, str) or who["iss"] != value["issuer"]:
            return False
        if is_of_pull_request(who) and not value.get("pull_requests", False):
            return False
        return all(name in who and glob(pattern, who[name]) for name, pattern in value["claims"].items())
    if not isinstance(who, str):
        return False
    if kind == "iam_user":
        return who == value
    parts = who.split(":")
    if len(parts) != 6 or parts[2] != "sts" or not parts[5].startswith("assumed-role/"):
        return False
    role, session = parts[5].split("/")[1:]
    of_role = f"arn:aws:iam::{parts[4]}:role/{role}"
    if kind == "iam_role":
        return bool(of_role == value)
    return bool(of_role == value["role"] and glob(value["session"], session))


def glob(pattern: str, text: str) -> bool:
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    if not text.startswith(first):
        return False
    place = len(first)
    for part in rest[:-1]:
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return text.endswith(rest[-1]) and len(text) - len(rest[-1]) >= place


# ---- the inbox ---------------------------------------------------------------------------------------------------

rule_names = st.sampled_from(["a", "a-b", "a-b-c", "a.b", "nightly", "nightly-x", "xnightly"])
rule_patterns = rule_names | st.sampled_from(["*", "a*", "a-*", "*-x", "a*c", "nightly-*", "*b*"])
named_users = st.lists(st.sampled_from([*USERS * 5, "root"]), min_size=1, max_size=3, unique=True)
grants = st.fixed_dictionaries({"rule": rule_patterns, "users": named_users})
inbox_rules = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "key": st.sampled_from(["inbox/*", "inbox/**", "inbox/a/*", "inbox/b/*"]),
        "user": st.sampled_from([*USERS * 3, "root", "ubuntu", "mallory"]),
        "script": st.just("#!/bin/sh\ntrue\n"),
    },
    # What is unknown makes a rule invalid; its objects are still its own.
    optional={"users": st.just(["alice"])},
)
objects = st.sampled_from(["inbox/x", "inbox/a/x", "inbox/b/x", "inbox/c/x"])


class SubmitsAs(Exception):  # noqa: N818 - it is no error, but where the way ends here
    """Slurm is about to be asked for a job of this caller's."""

    def __init__(self, caller: Caller) -> None:
        super().__init__()
        self.caller = caller


class Around:
    """What the inbox asks before it knows as whom a job runs: rules in S3, no earlier claim; and Slurm's versions."""

    def __init__(self, rules: dict[str, dict[str, Any]]) -> None:
        self._rules = {f"rules/{name}.yaml": yaml.safe_dump(rule).encode() for name, rule in rules.items()}

    def list_objects_v2(self, **_: Any) -> dict[str, Any]:
        return {"Contents": [{"Key": key, "ETag": key, "Size": len(text)} for key, text in self._rules.items()]}

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - as S3 has it
        return {"Body": io.BytesIO(self._rules[Key])}

    def find(self, _: object) -> None:
        """There is no claim."""

    def size(self, _: object) -> int:
        return 3

    def script(self, _: object) -> None:
        """No script is looked at before Slurm is asked."""

    def translate(self, *_: object) -> None:
        """Nor is it translated."""

    def using(self, caller: Caller, _: object) -> None:
        raise SubmitsAs(caller)


def runs_as(document: dict[str, Any], rules: dict[str, dict[str, Any]], key: str) -> Caller | None:
    """Give the caller as whom an object's job is submitted, None if it becomes none; AccessDocumentError."""
    access = parse(yaml.safe_dump(document), forbidden=FORBIDDEN)
    around: Any = Around(rules)
    book = RuleBook(around, "bucket", forbidden=FORBIDDEN)
    eligible = EligibleUsers(frozenset(ELIGIBLE), time.time())
    tokens = ShortTokens(Mint(Signs()), lambda: parse_key_list(KEY), lambda: eligible, clock=time.time)
    inbox = Inbox(
        bucket="bucket", rules=lambda _: book.read(), access=lambda _: access, objects=around, jobs=around,
        tokens=tokens, slurmrestd=around, versions=around, table=around, orders=around, cluster="c",
        input_directory="/home/{user}", clock=time.time, wait=time.sleep,
    )  # fmt: skip
    [record] = sample("inbox-batch")["Records"]
    told = json.loads(record["body"])
    told["detail"]["object"]["key"] = key
    try:
        taken = inbox.take(Message.read(record | {"body": json.dumps(told)}), ends_at=time.time() + 60)
    except SubmitsAs as reached:
        return reached.caller
    except DeadLetterError:
        return None
    assert taken is Taken.UNMATCHED
    return None


def as_promised(document: dict[str, Any], rules: dict[str, dict[str, Any]], key: str) -> str | None:
    """Give the user as whom the documents say that an object's job runs, in other words than the code's."""
    name = next((name for name in sorted(rules, key="{}.yaml".format) if is_of(rules[name]["key"], key)), None)
    if name is None or "users" in rules[name]:
        return None
    user: str = rules[name]["user"]
    granted = any(glob(grant["rule"], name) and user in grant["users"] for grant in document["inbox"])
    return user if granted and user in ELIGIBLE - FORBIDDEN else None


def is_of(pattern: str, key: str) -> bool:
    # Only two stars are any text: with one there are as many slashes on both sides.
    return glob(pattern, key) and ("**" in pattern or pattern.count("/") == key.count("/"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    granted=st.lists(grants, max_size=4),
    rules=st.dictionaries(rule_names, inbox_rules, min_size=1, max_size=3),
    key=objects,
)
def test_an_objects_job_runs_as_the_rules_user_whom_the_document_grants_that_rule_and_as_nobody_else(
    granted: list[dict[str, Any]], rules: dict[str, dict[str, Any]], key: str
) -> None:
    # What people may be minted as is nothing to the inbox.
    everyone = {"name": "r", "principal": {"iam_user": "arn:aws:iam::123456789012:user/a"}, "users": sorted(ELIGIBLE)}
    document = {"version": 1, "rules": [everyone], "inbox": granted}
    try:
        caller = runs_as(document, rules, key)
    except AccessDocumentError:
        assert any("root" in grant["users"] for grant in granted)
        return

    assert (caller and caller.user) == as_promised(document, rules, key)
    if caller is not None:
        claims = jwt.decode(caller.token, options={"verify_signature": False})
        assert claims["sun"] == caller.user
        assert caller.user in ELIGIBLE
        assert caller.user not in FORBIDDEN


def test_the_inboxs_property_is_not_empty() -> None:
    """Of the documents and rules above many make a job, and many make none."""
    counted = {"job": 0, "none": 0}

    @settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(
        granted=st.lists(grants, min_size=1, max_size=4),
        rules=st.dictionaries(rule_names, inbox_rules, min_size=1, max_size=3),
        key=objects,
    )
    def count(granted: list[dict[str, Any]], rules: dict[str, dict[str, Any]], key: str) -> None:
        document = {"version": 1, "rules": [], "inbox": granted}
        counted["job" if as_promised(document, rules, key) else "none"] += 1

    run: Callable[[], None] = count
    run()
    assert min(counted.values()) >= 20, counted


def test_the_property_is_not_empty() -> None:
    """Of the documents above many are valid and many mint."""
    counted = {"valid": 0, "minted": 0}

    # The same examples every time: a count of few that are random would now and then be too small.
    @settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(listed=st.lists(rules, min_size=1, max_size=3), who=callers)
    def count(listed: list[dict[str, Any]], who: str) -> None:
        named = [{"name": f"r{number}", **rule} for number, rule in enumerate(listed)]
        try:
            access = parse(yaml.safe_dump({"version": 1, "rules": named}), forbidden=FORBIDDEN)
        except AccessDocumentError:
            return
        counted["valid"] += 1
        counted["minted"] += any(means(rule["principal"], who) for rule in named)
        assert len(access.rules) == len(named)

    run: Callable[[], None] = count
    run()
    print(counted)
    assert counted["valid"] >= 30, counted
    assert counted["minted"] >= 5, counted
