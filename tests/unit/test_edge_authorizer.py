"""The authorizer as it is deployed: KMS and SSM emulated, the whole answer compared."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from event_samples import AUTHORIZER_EVENTS, REQUEST_ID, authorizer_event

from slurm_gateway.cached import FRESH_FOR, Cached
from slurm_gateway.edge import EdgeAuthorizer
from slurm_gateway.errors import UnavailableError
from slurm_gateway.keys import PublicKeys, parse_key_list, read_key_list
from slurm_gateway.tokens import Mint
from slurm_gateway.users import forbidden_names
from slurm_gateway.verification import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulation import Aws, Clock, LogLines


REFUSED = {"isAuthorized": False}
SLURM_EVENTS = [name for name in AUTHORIZER_EVENTS if name.startswith("authorizer-slurm")]
OTHER_ROUTES = [
    "GET /openapi",
    "GET /openapi/{proxy+}",
    "GET /jobs",
    "POST /jobs",
    "GET /slurmx/{proxy+}",
    "GET /x/slurm/{proxy+}",
    "ANY /{proxy+}",
    "$default",
]


@pytest.fixture(scope="module")
def keys_parameter(emulated: Aws) -> str:
    return emulated.parameter(emulated.key())


@pytest.fixture(scope="module")
def build(emulated: Aws, keys_parameter: str) -> Iterator[Callable[..., EdgeAuthorizer]]:
    """Return a function that starts the deployed function under an environment, once for each."""
    started: dict[frozenset[tuple[str, str]], EdgeAuthorizer] = {}

    def start(**environ: str) -> EdgeAuthorizer:
        environment = {
            "KEYS_PARAMETER": keys_parameter,
            "ALLOW_HEAD_NODE_TOKENS": "false",
            "DEFAULT_USER_SUDO": "true",
            **environ,
        }
        wanted = frozenset(environment.items())
        if wanted not in started:
            for name, value in environment.items():
                patch.setenv(name, value)
            # Its import is the function's start.
            started[wanted] = importlib.import_module("slurm_gateway.edge_authorizer").build(environment)
        return started[wanted]

    with pytest.MonkeyPatch.context() as patch:
        # Starting sets the log up anew, which must not happen while a test listens.
        start()
        yield start


@pytest.fixture
def token(emulated: Aws) -> Callable[..., str]:
    def mint(user: str = "alice", *, lifespan: int = 900, index: int = 0) -> str:
        key = parse_key_list(emulated.key(index)).signer
        return Mint(emulated.kms).mint(user, lifespan=lifespan, key=key).text

    return mint


def head_node_token(user: str = "alice", *, lifespan: int = 900) -> str:
    return jwt.encode({"exp": int(time.time()) + lifespan, "sun": user}, "k" * 32, algorithm="HS256")


def allowed(token: str) -> dict[str, Any]:
    claims = jwt.decode(token, options={"verify_signature": False})
    context = {"user": "alice", "expires_at": claims["exp"], "jti": claims.get("jti", ""), "sees_everyones_jobs": False}
    return {"isAuthorized": True, "context": context}


def test_what_a_token_says_of_seeing_everyones_jobs_is_told_on(
    build: Callable[..., EdgeAuthorizer], emulated: Aws
) -> None:
    key = parse_key_list(emulated.key(0)).signer
    assert key is not None
    token = Mint(emulated.kms).mint("alice", lifespan=60, key=key, sees_everyones_jobs=True).text

    assert build()(authorizer_event(token=token))["context"]["sees_everyones_jobs"] is True


def test_a_head_nodes_token_says_neither_its_id_nor_what_it_sees(build: Callable[..., EdgeAuthorizer]) -> None:
    claims = {"exp": int(time.time()) + 900, "sun": "alice", "jti": "another", "sees_everyones_jobs": True}
    token = jwt.encode(claims, "k" * 32, algorithm="HS256")

    context = build(ALLOW_HEAD_NODE_TOKENS="true")(authorizer_event(token=token))["context"]

    assert (context["jti"], context["sees_everyones_jobs"]) == ("", False)


@pytest.mark.parametrize("name", AUTHORIZER_EVENTS)
def test_a_good_token_passes_every_route_as_its_user(
    build: Callable[..., EdgeAuthorizer], token: Callable[..., str], name: str
) -> None:
    good = token()

    answer = build()(authorizer_event(token=good, name=name))

    assert answer == allowed(good)


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_header_names_are_read_in_any_case(
    build: Callable[..., EdgeAuthorizer], token: Callable[..., str], case: Any
) -> None:
    event = authorizer_event(token=token())
    event["headers"] = {case(name): value for name, value in event["headers"].items()}

    assert build()(event)["isAuthorized"]


@pytest.mark.parametrize(
    "user", ["bob", "alice,alice", "alice,bob", "Alice", "alice ", " alice", "alice\0", "alice,", "root"]
)
def test_a_claimed_name_other_than_the_tokens_is_refused(
    build: Callable[..., EdgeAuthorizer], token: Callable[..., str], user: str
) -> None:
    assert build()(authorizer_event(token=token(), user=user)) == REFUSED


@pytest.mark.parametrize("event", [{}, {"headers": None}, {"headers": {}}, authorizer_event(token=None)])
def test_an_event_without_the_headers_is_refused(build: Callable[..., EdgeAuthorizer], event: dict[str, Any]) -> None:
    assert build()(event) == REFUSED


def test_a_token_without_a_name_is_refused(build: Callable[..., EdgeAuthorizer], token: Callable[..., str]) -> None:
    assert build()(authorizer_event(token=token(), user=None)) == REFUSED


def test_a_token_sent_twice_is_refused(build: Callable[..., EdgeAuthorizer], token: Callable[..., str]) -> None:
    once = token()

    assert build()(authorizer_event(token=f"{once},{once}")) == REFUSED
    assert build()(authorizer_event(token=once, **{"X-SLURM-USER-TOKEN": once})) == REFUSED


def test_an_expired_token_is_refused(build: Callable[..., EdgeAuthorizer], token: Callable[..., str]) -> None:
    assert build()(authorizer_event(token=token(lifespan=0))) == REFUSED


def test_a_token_of_a_key_that_is_not_listed_is_refused(
    build: Callable[..., EdgeAuthorizer], token: Callable[..., str]
) -> None:
    assert build()(authorizer_event(token=token(index=1))) == REFUSED


@pytest.mark.parametrize("user", sorted(forbidden_names(default_user_sudo=True)))
def test_a_forbidden_user_is_refused_though_the_token_is_rightly_signed(
    build: Callable[..., EdgeAuthorizer], token: Callable[..., str], user: str
) -> None:
    assert build()(authorizer_event(token=token(user), user=user)) == REFUSED


def test_an_images_default_user_passes_once_it_has_no_sudo(
    build: Callable[..., EdgeAuthorizer], token: Callable[..., str]
) -> None:
    start = build(DEFAULT_USER_SUDO="false")

    assert start(authorizer_event(token=token("ec2-user"), user="ec2-user"))["isAuthorized"]
    assert start(authorizer_event(token=token("slurm"), user="slurm")) == REFUSED


@pytest.mark.parametrize("name", SLURM_EVENTS)
def test_head_node_tokens_are_refused_unless_allowed(build: Callable[..., EdgeAuthorizer], name: str) -> None:
    good = head_node_token()
    event = authorizer_event(token=good, name=name)

    assert build()(event) == REFUSED
    assert build(ALLOW_HEAD_NODE_TOKENS="true")(event) == allowed(good)


@pytest.mark.parametrize("route", OTHER_ROUTES)
def test_head_node_tokens_pass_only_where_slurm_verifies_them(build: Callable[..., EdgeAuthorizer], route: str) -> None:
    event = authorizer_event(token=head_node_token(), route=route)

    assert build(ALLOW_HEAD_NODE_TOKENS="true")(event) == REFUSED


@pytest.mark.parametrize(
    "event",
    [
        authorizer_event(token=head_node_token("root"), user="root"),
        authorizer_event(token=head_node_token("ubuntu"), user="ubuntu"),
        authorizer_event(token=head_node_token("alice"), user="bob"),
        authorizer_event(token=head_node_token(lifespan=-1)),
        authorizer_event(token=jwt.encode({"exp": 2**40, "sun": "alice"}, "k" * 64, algorithm="HS512")),
        authorizer_event(token=jwt.encode({"exp": 2**40, "sun": "alice"}, None, algorithm="none")),
    ],
)
def test_an_allowed_head_node_token_is_checked_in_all_but_its_signature(
    build: Callable[..., EdgeAuthorizer], event: dict[str, Any]
) -> None:
    assert build(ALLOW_HEAD_NODE_TOKENS="true")(event) == REFUSED


def test_a_key_dropped_from_the_list_is_refused_after_the_next_reading(
    emulated: Aws, token: Callable[..., str], clock: Clock
) -> None:
    parameter = emulated.parameter(f"{emulated.key(0)},{emulated.key(1)}")
    public_keys = PublicKeys(emulated.kms)
    keys = Cached(lambda: public_keys.of(read_key_list(emulated.ssm, parameter)), clock=clock)
    authorizer = EdgeAuthorizer(Verifier(keys.get), forbidden=frozenset(), allow_head_node_tokens=False)
    event = authorizer_event(token=token(index=1))
    assert authorizer(event)["isAuthorized"]

    emulated.parameter(emulated.key(0), name=parameter)
    clock.seconds += FRESH_FOR

    assert authorizer(event) == REFUSED


def test_without_keys_it_raises_so_that_nothing_passes_and_no_refusal_is_cached(
    build: Callable[..., EdgeAuthorizer], token: Callable[..., str]
) -> None:
    authorizer = build(KEYS_PARAMETER="/test/absent")

    with pytest.raises(UnavailableError, match="/test/absent"):
        authorizer(authorizer_event(token=token()))


def test_a_refusal_is_one_log_line_with_its_reason_and_without_the_token(
    build: Callable[..., EdgeAuthorizer], token: Callable[..., str], log_lines: LogLines
) -> None:
    forged = token()[:-6] + "AAAAAA"
    authorizer = build()
    authorizer(authorizer_event(token=forged))

    [line] = log_lines()
    logged = {
        name: line[name]
        for name in ("levelname", "message", "reason", "claimed_user", "route", "request_id", "source_ip")
    }
    assert logged == {
        "levelname": "WARNING",
        "message": "refused at the edge",
        "reason": "signature-wrong",
        "claimed_user": "alice",
        "route": "ANY /slurm/{version}/{proxy+}",
        "request_id": REQUEST_ID,
        "source_ip": "192.0.2.7",
    }
    assert all(part not in str(line) for part in forged.split("."))
