"""No bad token passes the edge, and none of them is heard of behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import jwt
import pytest

from local import aws_emulator, principals
from tests.real import bad_claims, bad_tokens
from tests.real.bad_tokens import Case, Material
from tests.real.conftest import NATIVE_VERSION, Stack, slurm
from tests.real.raw_http import exchange, in_parallel, pair, request
from tests.real.signing import signer, signing_key_id
from tests.real.way_logs import WayLogs

pytestmark = pytest.mark.any_release

AT_LEAST = 500
ROUTES = (
    f"GET /slurm/{NATIVE_VERSION}/jobs/state",
    f"GET /slurmdb/{NATIVE_VERSION}/users",
    "GET /openapi/v3",
    "GET /jobs",
    "GET /jobs/1",
    f"GET /scripts/{'0' * 64}",
    f"DELETE /slurm/{NATIVE_VERSION}/job/1",
    "POST /jobs",
)
# 400: a character that no header holds; 401: an empty header; 431: more than 10,240 bytes of headers.
REFUSED_AS = {403: set[str](), 401: {"names"}, 400: {"mangled", "names", "users"}, 431: {"huge"}}
CLASSES: dict[str, Callable[[Material], Iterator[Case]]] = {
    made.__name__: made
    for made in (
        bad_tokens.algorithms, bad_tokens.confusions, bad_tokens.kids, bad_tokens.headers, bad_tokens.keys,
        bad_tokens.rewritten, bad_tokens.mangled, bad_tokens.huge, bad_claims.times, bad_claims.issuers,
        bad_claims.written_otherwise, bad_claims.users, bad_claims.system_users, bad_claims.names,
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def material(stack: Stack) -> Iterator[Material]:
    # These are kept for the whole module.
    stack._tokens.clear()
    alice = stack.token("alice")
    administrator = principals.administrator()
    kms = aws_emulator.client("kms", administrator)
    elsewhere = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    jwks = stack.http.get(stack.api + "/.well-known/jwks.json").json()["keys"]
    yield Material(
        alice=alice,
        bob=stack.token("bob"),
        kid=signing_key_id(),
        claims=jwt.decode(alice, options={"verify_signature": False}),
        public=jwt.PyJWK(jwks[0]).key,
        sign=signer(),
        sign_elsewhere=signer(kms, elsewhere),
        elsewhere_kid=elsewhere,
        of_the_head_node={
            user: slurm("scontrol", "token", f"username={user}", "lifespan=900").strip().removeprefix("SLURM_JWT=")
            for user in ("alice", "bob", "root", "slurm")
        },
    )
    kms.schedule_key_deletion(KeyId=elsewhere, PendingWindowInDays=7)


@pytest.fixture(autouse=True)
def no_jobs_left() -> None:
    """Nothing here makes a job, so none is looked for after each test."""


@pytest.fixture(scope="module")
def refused() -> dict[str, int]:
    """How many were refused, by class."""
    return {}


@pytest.mark.parametrize("name", CLASSES)
def test_a_bad_token_is_refused_and_nobody_behind_the_edge_hears_of_it(
    stack: Stack, material: Material, refused: dict[str, int], name: str
) -> None:
    cases = list(CLASSES[name](material))
    assert len({case.name for case in cases}) == len(cases)
    logs = WayLogs(stack)

    def statuses(numbered: tuple[int, Case]) -> tuple[int, int]:
        number, case = numbered
        method, _, path = ROUTES[number % len(ROUTES)].partition(" ")
        asked = request(method, path, pair(case.user, case.token))
        # The second time the verdict comes from the authorizer's cache.
        return exchange(stack, asked).status, exchange(stack, asked).status

    answered = list(zip(cases, in_parallel(statuses, enumerate(cases)), strict=True))
    allowed = {status for status, classes in REFUSED_AS.items() if not classes or name in classes}
    assert [(case.name, got) for case, got in answered if not set(got) <= allowed] == []
    passed = logs.passed()
    assert (passed.balanced, passed.routed) == ([], [])
    refused[name] = len(cases)


def test_the_same_requests_pass_with_a_good_token(stack: Stack, material: Material) -> None:
    """Were the edge broken, it would refuse all the same."""
    found = {}
    for route in ROUTES:
        method, _, path = route.partition(" ")
        found[route] = exchange(stack, request(method, path, pair("alice", material.alice))).status
    signed = material.sign(json.dumps(material.header).encode(), material.payload)
    assert exchange(stack, request("GET", "/jobs", pair("alice", signed))).status == 200
    assert not {401, 403} & set(found.values()), found


def test_bad_tokens_are_counted(refused: dict[str, int], report: Callable[[str], None]) -> None:
    report(f"bad tokens: {sum(refused.values())} refused at the edge, 0 passed ({_listed(refused)})")
    assert set(refused) == set(CLASSES)
    assert sum(refused.values()) >= AT_LEAST


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
