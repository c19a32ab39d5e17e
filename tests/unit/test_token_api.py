"""POST /token as it is deployed: KMS and SSM emulated, the whole response compared."""

from __future__ import annotations

import base64
import importlib
import json
import re
import time
from typing import TYPE_CHECKING, Any, Never

import jwt
import pytest
from botocore.stub import Stubber
from event_samples import ALICE, MALLORY, REQUEST_ID, TOKEN_EVENTS, sample, token_event

from slurm_gateway.access import Access, Rule
from slurm_gateway.eligible_users import EligibleUsers
from slurm_gateway.keys import PublicKeys, parse_key_list
from slurm_gateway.principals import IamUser
from slurm_gateway.token_endpoint import TokenEndpoint
from slurm_gateway.tokens import Mint
from slurm_gateway.verification import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulation import Aws, LogLines, PublishedUsers


DOCUMENT = f"""\
version: 1
rules:
  - name: alice
    principal: {{iam_user: "{ALICE}"}}
    users: [alice, alice-test]
    lifespan: {{default: 600, longest: 1200}}
  - name: team
    principal: {{iam_role: "arn:aws:iam::000000000000:role/Team"}}
    users: [bob]
  - name: researchers
    principal: {{iam_role: "arn:aws:iam::000000000000:role/researcher"}}
    users: [carol]
  - name: github
    principal:
      oidc: {{issuer: "https://token.actions.githubusercontent.com", claims: {{repository_id: "74"}}}}
    users: [alice]
  - name: gitlab
    principal: {{oidc: {{issuer: "https://gitlab.com", claims: {{project_path: "my-group/*"}}}}}}
    users: [bob]
  - name: own
    principal: {{oidc: {{issuer: "https://id.example.org/realms/hpc", claims: {{groups: "[hpc*"}}}}}}
    users: [carol]
"""
ELIGIBLE = EligibleUsers(frozenset({"alice", "root"}), time.time())
SESSION = "arn:aws:sts::000000000000:assumed-role/{role}/{session}"


@pytest.fixture(scope="module")
def parameters(emulated: Aws) -> dict[str, str]:
    return {
        "KEYS_PARAMETER": emulated.parameter(f"{emulated.key(0)},{emulated.key(1)}"),
        "ACCESS_PARAMETER": emulated.parameter(DOCUMENT),
    }


@pytest.fixture(scope="module")
def build(
    emulated: Aws, parameters: dict[str, str], published_users: PublishedUsers
) -> Iterator[Callable[..., TokenEndpoint]]:
    """Return a function that starts the deployed function under an environment, once for each."""
    started: dict[frozenset[tuple[str, str]], TokenEndpoint] = {}

    def start(**environ: str) -> TokenEndpoint:
        environment = {
            **parameters,
            "BUCKET": "bucket",
            "DEFAULT_USER_SUDO": "true",
            **environ,
        }
        wanted = frozenset(environment.items())
        if wanted not in started:
            for name, value in environment.items():
                patch.setenv(name, value)
            # Its import is the function's start.
            started[wanted] = importlib.import_module("slurm_gateway.token_api").build(environment)
        return started[wanted]

    with pytest.MonkeyPatch.context() as patch:
        # Starting sets the log up anew, which must not happen while a test listens.
        start()
        yield start


@pytest.fixture
def endpoint(emulated: Aws) -> TokenEndpoint:
    """Return the endpoint with the client that signs, so that a test can make it fail."""
    keys = parse_key_list(emulated.key())
    return TokenEndpoint(
        access=lambda: Access((Rule("alice", IamUser(ALICE), ("alice",)),)),
        eligible=lambda: ELIGIBLE,
        key_list=lambda: keys,
        mint=Mint(emulated.kms),
        forbidden=frozenset(),
        access_parameter="/access",
    )


def problem(kind: str, *, title: str, status: int, detail: str, **headers: str) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/problem+json", "cache-control": "no-store", **headers},
        "body": {
            "type": f"urn:slurm-gateway:problem:{kind}",
            "title": title,
            "status": status,
            "detail": detail,
            "instance": REQUEST_ID,
        },
    }


def read(response: dict[str, Any]) -> dict[str, Any]:
    return {**response, "body": json.loads(response["body"])}


def test_a_mapped_principal_gets_a_token_for_its_user(build: Callable[..., TokenEndpoint], emulated: Aws) -> None:
    before = int(time.time())
    response = build()(token_event())

    answer = json.loads(response["body"])
    claims = Verifier(lambda: PublicKeys(emulated.kms).of(parse_key_list(emulated.key()))).verify(answer["token"])
    assert {name: value for name, value in response.items() if name != "body"} == {
        "statusCode": 200,
        "headers": {"content-type": "application/json", "cache-control": "no-store"},
    }
    assert claims.user == "alice"
    assert before + 600 <= claims.expires_at <= time.time() + 600
    assert {
        "user": "alice",
        "token": answer["token"],
        "expires_in": 600,
        "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(claims.expires_at)),
    } == answer


@pytest.mark.parametrize(
    ("name", "user", "lifespan"),
    [
        ("token-iam-user", "alice", 600),
        ("token-iam-user-as-text", None, None),
        ("token-iam-user-with-body", "alice", 600),
        ("token-iam-role", "carol", 900),
        ("token-oidc-github", "alice", 900),
        ("token-oidc-gitlab", "bob", 900),
        ("token-oidc-own", "carol", 900),
    ],
)
def test_every_sample_event_gets_its_token(
    build: Callable[..., TokenEndpoint], name: str, user: str | None, lifespan: int | None
) -> None:
    response = build()(sample(name))

    assert response["statusCode"] == 200
    if user is None:
        assert response["body"].startswith("SLURM_JWT=")
    else:
        answer = json.loads(response["body"])
        assert (user, lifespan) == (answer["user"], answer["expires_in"])


def test_no_sample_event_is_left_out() -> None:
    assert TOKEN_EVENTS == [
        "token-iam-role",
        "token-iam-user",
        "token-iam-user-as-text",
        "token-iam-user-with-body",
        "token-oidc-github",
        "token-oidc-gitlab",
        "token-oidc-own",
    ]


def test_the_first_key_of_the_list_signs(build: Callable[..., TokenEndpoint], emulated: Aws) -> None:
    token = json.loads(build()(token_event())["body"])["token"]

    assert jwt.get_unverified_header(token)["kid"] == emulated.key(0)


def test_text_is_what_a_shell_takes(build: Callable[..., TokenEndpoint]) -> None:
    response = build()(token_event(accept="text/plain"))

    name, _, token = response["body"].partition("=")
    assert (
        response["statusCode"],
        response["headers"]["content-type"],
        name,
    ) == (200, "text/plain; charset=utf-8", "SLURM_JWT")
    assert token.endswith("\n")
    assert token.count(".") == 2


def test_a_user_and_a_lifespan_are_had_for_the_asking(build: Callable[..., TokenEndpoint]) -> None:
    body = json.dumps({"user": "alice-test", "lifespan": 1200})

    plain = json.loads(build()(token_event(body=body))["body"])
    encoded = base64.b64encode(body.encode()).decode()
    from_base64 = json.loads(build()(token_event(body=encoded, base64=True))["body"])

    assert (plain["user"], plain["expires_in"]) == ("alice-test", 1200)
    assert (from_base64["user"], from_base64["expires_in"]) == ("alice-test", 1200)


@pytest.mark.parametrize("session", ["anyone", "alice", "root"])
def test_a_roles_sessions_are_the_roles_user_whatever_they_call_themselves(
    build: Callable[..., TokenEndpoint], session: str
) -> None:
    response = build()(token_event(caller=SESSION.format(role="Team", session=session)))

    assert json.loads(response["body"])["user"] == "bob"


def test_a_session_that_calls_itself_as_another_role_or_user_is_mapped_to_nobody(
    build: Callable[..., TokenEndpoint],
) -> None:
    for caller in (
        SESSION.format(role="Other", session="Team"),
        SESSION.format(role="alice", session="alice"),
    ):
        assert build()(token_event(caller=caller))["statusCode"] == 403


def test_an_unmapped_principal_is_told_who_it_is_and_what_an_operator_adds(
    build: Callable[..., TokenEndpoint], parameters: dict[str, str]
) -> None:
    assert problem(
        "principal-not-mapped",
        title="Mapped to no Slurm user",
        status=403,
        detail=f"{MALLORY} is mapped to no Slurm user. An operator adds a rule to the access document (SSM "
        f"parameter {parameters['ACCESS_PARAMETER']}), with the Slurm users it may be:\n"
        "  - name: mallory\n"
        "    principal:\n"
        f"      iam_user: {MALLORY}\n"
        "    users: [SLURM_USER]\n",
    ) == read(build()(token_event(caller=MALLORY)))


@pytest.mark.parametrize(
    "caller",
    [
        SESSION.format(role="New", session="x"),
        SESSION.format(role="Team+New,2", session="x"),
        "arn:aws:iam::000000000000:user/staff/ada@example.org",
        "arn:aws:iam::000000000000:user/20261121",
        "arn:aws:iam::000000000000:user/_",
        SESSION.format(role="AWSReservedSSO_Researcher_0123456789abcdef", session="ada+test@example.org"),
        SESSION.format(role="AWSReservedSSO_Researcher_0123456789abcdef", session="@ada"),
        SESSION.format(role="AWSReservedSSO_Researcher_0123456789abcdef", session="007"),
    ],
)
def test_the_rule_an_operator_is_told_to_add_is_one(
    build: Callable[..., TokenEndpoint], emulated: Aws, caller: str
) -> None:
    detail = json.loads(build()(token_event(caller=caller))["body"])["detail"]
    rule = detail[detail.index("  - name:") :].replace("SLURM_USER", "carol")
    parameter = emulated.parameter(DOCUMENT + rule)

    response = build(ACCESS_PARAMETER=parameter)(token_event(caller=caller))

    assert json.loads(response["body"])["user"] == "carol"


@pytest.mark.parametrize("caller", ["arn:aws:iam::000000000000:root", "arn:aws:sts::000000000000:federated-user/alice"])
def test_a_principal_that_no_rule_can_mean_is_told_so(build: Callable[..., TokenEndpoint], caller: str) -> None:
    detail = json.loads(build()(token_event(caller=caller))["body"])["detail"]

    assert f"{caller} is mapped to no Slurm user. Only IAM users and roles can be: call as one of them." == detail


@pytest.mark.parametrize("user", ["bob", "root", "carol"])
def test_a_user_beyond_the_rules_is_refused_with_those_within(build: Callable[..., TokenEndpoint], user: str) -> None:
    assert problem(
        "user-not-allowed",
        title="Not this user",
        status=403,
        detail=f"{ALICE} may not be {user}. It may be: alice, alice-test.",
    ) == read(build()(token_event(body=json.dumps({"user": user}))))


def test_a_lifespan_beyond_the_rule_is_told_the_longest(build: Callable[..., TokenEndpoint]) -> None:
    assert problem(
        "lifespan-too-long",
        title="Lifespan too long",
        status=422,
        detail="lifespan is 1201 s; the rule alice allows at most 1200 s. Ask for that or less.",
    ) == read(build()(token_event(body='{"lifespan": 1201}')))


@pytest.mark.parametrize(
    ("body", "base64_encoded", "status"),
    [('{"user": ', False, 400), ("!!", True, 400), ('{"usr": 1}', False, 422), ("x" * 5000, False, 413)],
)
def test_a_wrong_body_is_a_problem(
    build: Callable[..., TokenEndpoint], body: Any, base64_encoded: bool, status: int
) -> None:
    response = build()(token_event(body=body, base64=base64_encoded))

    assert (status, "application/problem+json") == (
        response["statusCode"],
        response["headers"]["content-type"],
    )


def test_a_request_without_an_identity_gets_nothing(build: Callable[..., TokenEndpoint]) -> None:
    response = build()(token_event(caller=None))

    assert (
        response["statusCode"],
        json.loads(response["body"])["type"].rpartition(":")[2],
    ) == (401, "caller-unknown")


UNAVAILABLE = problem(
    "unavailable",
    title="Not available now",
    status=503,
    detail="No token can be made now. Try again in a few seconds; if it lasts, an operator finds the cause "
    "in this function's log.",
    **{"retry-after": "5"},
)


@pytest.mark.parametrize("code", ["ThrottlingException", "KMSInternalException", "AccessDeniedException"])
def test_when_kms_does_not_sign_the_client_is_to_try_again(
    endpoint: TokenEndpoint, emulated: Aws, code: str, log_lines: LogLines
) -> None:
    with Stubber(emulated.kms) as stub:
        stub.add_client_error("sign", code)
        response = endpoint(token_event())

    assert read(response) == UNAVAILABLE
    assert f"AWS answered {code}" in str(log_lines()[-1]["error"])


@pytest.mark.parametrize("missing", ["KEYS_PARAMETER", "ACCESS_PARAMETER"])
def test_without_keys_or_rules_nothing_is_minted(build: Callable[..., TokenEndpoint], missing: str) -> None:
    assert read(build(**{missing: "/test/absent"})(token_event())) == UNAVAILABLE


def test_a_document_that_was_never_valid_maps_nobody(build: Callable[..., TokenEndpoint], emulated: Aws) -> None:
    parameter = emulated.parameter(DOCUMENT.replace("version: 1", "version: one"))

    assert read(build(ACCESS_PARAMETER=parameter)(token_event())) == UNAVAILABLE


def test_a_list_whose_first_entry_is_no_key_signs_nothing(build: Callable[..., TokenEndpoint], emulated: Aws) -> None:
    parameter = emulated.parameter(f"alias/slurm,{emulated.key(0)}")

    assert read(build(KEYS_PARAMETER=parameter)(token_event())) == UNAVAILABLE


def test_what_nobody_foresaw_is_a_problem_too(emulated: Aws, log_lines: LogLines) -> None:
    def broken() -> Never:
        raise RuntimeError("a bug")

    endpoint = TokenEndpoint(
        access=broken,
        eligible=lambda: ELIGIBLE,
        key_list=lambda: parse_key_list(emulated.key()),
        mint=Mint(emulated.kms),
        forbidden=frozenset(),
        access_parameter="/access",
    )

    response = read(endpoint(token_event()))

    assert (
        response["statusCode"],
        response["body"]["type"],
        response["body"]["instance"],
    ) == (500, "urn:slurm-gateway:problem:unexpected", REQUEST_ID)
    assert "a bug" not in str(response)
    assert log_lines()[-1]["exc_info"]


def test_a_forbidden_user_is_not_minted_even_if_a_rule_names_it(emulated: Aws) -> None:
    endpoint = TokenEndpoint(
        access=lambda: Access((Rule("odd", IamUser(ALICE), ("root", "alice")),)),
        eligible=lambda: ELIGIBLE,
        key_list=lambda: parse_key_list(emulated.key()),
        mint=Mint(emulated.kms),
        forbidden=frozenset({"root"}),
        access_parameter="/access",
    )

    for body in (None, '{"user": "root"}'):
        response = read(endpoint(token_event(body=body)))
        assert (403, f"{ALICE} may not be root. It may be: alice.") == (
            response["statusCode"],
            response["body"]["detail"],
        )


NOT_KNOWN = problem(
    "users-unknown",
    title="Users not known now",
    status=503,
    detail="The head node has not said lately which users there are, and no token is made without. Try again in a "
    "minute; if it lasts, an operator looks at the head node: systemctl status slurm-gateway-users.",
    **{"retry-after": "60"},
)


@pytest.fixture
def listed(published_users: PublishedUsers) -> Iterator[PublishedUsers]:
    """The head node's list, for a test to change."""
    before = dict(vars(published_users))
    yield published_users
    vars(published_users).update(before)


def fresh(build: Callable[..., TokenEndpoint], emulated: Aws) -> TokenEndpoint:
    """Start the function anew, so that it has read nothing yet."""
    return build(ACCESS_PARAMETER=emulated.parameter(DOCUMENT))


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403},
        {"status": 404},
        {"status": 503},
        {"age": 16 * 60},
        {"body": b"{"},
        {"body": b"[]"},
        {"body": b'{"users": "alice"}'},
        {"users": ["alice", 7]},
        {"users": ["alice", "../x"]},
        {"body": b" " * (1024 * 1024 + 1)},
    ],
)
def test_without_a_list_of_users_that_is_young_and_whole_nothing_is_minted(
    build: Callable[..., TokenEndpoint], emulated: Aws, listed: PublishedUsers, fault: dict[str, Any]
) -> None:
    vars(listed).update(fault)

    assert read(fresh(build, emulated)(token_event())) == NOT_KNOWN


def test_a_list_that_grows_old_in_a_function_that_runs_counts_no_more(
    emulated: Aws,
) -> None:
    endpoint = TokenEndpoint(
        access=lambda: Access((Rule("alice", IamUser(ALICE), ("alice",)),)),
        eligible=lambda: EligibleUsers(frozenset({"alice"}), 1_000_000.0),
        key_list=lambda: parse_key_list(emulated.key()),
        mint=Mint(emulated.kms),
        forbidden=frozenset(),
        access_parameter="/access",
        now=lambda: 1_000_000.0 + 901,
    )

    assert read(endpoint(token_event())) == NOT_KNOWN


def test_a_user_whom_the_head_node_does_not_list_is_not_minted_though_a_rule_names_it(
    build: Callable[..., TokenEndpoint], emulated: Aws, listed: PublishedUsers
) -> None:
    listed.users = ["bob"]

    response = read(fresh(build, emulated)(token_event()))

    assert (response["statusCode"], response["body"]["type"]) == (403, "urn:slurm-gateway:problem:user-not-eligible")
    assert response["body"]["detail"].startswith("alice gets no token: the head node knows no such user")
    assert "by a group such as wheel or docker" in response["body"]["detail"]


def test_the_list_is_asked_for_with_a_signature_of_the_functions_own(
    build: Callable[..., TokenEndpoint], emulated: Aws, listed: PublishedUsers
) -> None:
    fresh(build, emulated)(token_event())

    path, authorization = listed.asked[-1]
    assert path == "/bucket/headnode-state/users.json"
    assert re.search(r"AWS4-HMAC-SHA256 Credential=\S+/us-east-1/s3/aws4_request, SignedHeaders=", authorization)


def test_a_token_of_a_rule_that_sees_everyones_jobs_says_so_and_no_other_does(
    build: Callable[..., TokenEndpoint], emulated: Aws
) -> None:
    seeing = DOCUMENT.replace("users: [bob]", "users: [bob]\n    sees_everyones_jobs: true")
    function = build(ACCESS_PARAMETER=emulated.parameter(seeing))
    verifier = Verifier(lambda: PublicKeys(emulated.kms).of(parse_key_list(emulated.key())))

    def sees(caller: str) -> bool:
        return verifier.verify(json.loads(function(token_event(caller=caller))["body"])["token"]).sees_everyones_jobs

    assert sees(SESSION.format(role="Team", session="x"))
    assert not sees(ALICE)


def test_a_token_is_one_log_line_that_does_not_have_it(
    build: Callable[..., TokenEndpoint], log_lines: LogLines
) -> None:
    function = build()
    token = json.loads(function(token_event(body='{"user": "alice", "lifespan": 60}'))["body"])["token"]

    [line] = log_lines()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert {
        "levelname": "INFO",
        "message": "token minted",
        "principal": ALICE,
        "asked_user": "alice",
        "user": "alice",
        "rule": "alice",
        "lifespan": 60,
        "jti": claims["jti"],
        "request_id": REQUEST_ID,
        "source_ip": "192.0.2.7",
    }.items() <= line.items()
    assert all(part not in str(line) for part in token.split("."))


def test_a_refusal_is_one_log_line_with_its_reason(build: Callable[..., TokenEndpoint], log_lines: LogLines) -> None:
    build()(token_event(caller=MALLORY, body='{"user": "alice"}'))

    [line] = log_lines()
    assert {
        "levelname": "WARNING",
        "message": "no token",
        "principal": MALLORY,
        "asked_user": "alice",
        "status": 403,
        "reason": "principal-not-mapped",
        "request_id": REQUEST_ID,
        "source_ip": "192.0.2.7",
    }.items() <= line.items()
