"""Who gets through the edge: header, path and token variants, each with the status it must get.

Every variant runs against the whole stack and most of them twice, so that the authorizer's cache gives the second
answer. What the edge refuses must leave no line in the load balancer's log.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.real.conftest import NATIVE_VERSION, Stack, load_balancer_log, slurm, wait_for
from tests.real.signing import sign_with_kms, signing_key_id

Headers = list[tuple[str, str]]
JOBS_STATE = f"/slurm/{NATIVE_VERSION}/jobs/state"
NAME, TOKEN = "X-SLURM-USER-NAME", "X-SLURM-USER-TOKEN"


@dataclass
class Tokens:
    """The tokens that the variants present, made once."""

    alice: str
    bob: str
    expired: str
    head_node: str
    kid: str
    claims: dict[str, Any]
    stranger: rsa.RSAPrivateKey
    public_pem: bytes

    def forged(self, *, algorithm: str = "RS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token like alice's, signed by a key that the gateway does not know."""
        return jwt.encode(
            self.claims | claims, self.stranger, algorithm=algorithm, headers={"kid": self.kid} | (headers or {})
        )

    def genuine(self, **claims: Any) -> str:
        """A token signed by the gateway's own key, with claims that it would never mint."""
        return sign_with_kms({"alg": "RS256", "typ": "JWT", "kid": self.kid}, self.claims | claims)

    def by_hand(self, header: dict[str, Any], signature: bytes = b"") -> str:
        parts = [json.dumps(header).encode(), json.dumps(self.claims).encode(), signature]
        return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)

    def confused(self) -> str:
        """HS256 over the public key's PEM: the classic confusion of a verifier that trusts `alg`."""
        import hashlib
        import hmac

        signed = self.by_hand({"alg": "HS256", "typ": "JWT", "kid": self.kid}).rsplit(".", 1)[0]
        mac = hmac.new(self.public_pem, signed.encode(), hashlib.sha256).digest()
        return signed + "." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()

    def as_user(self, user: str) -> str:
        """alice's token with another user in its payload and the old signature."""
        header, _, signature = self.alice.split(".")
        payload = json.dumps(self.claims | {"sun": user}).encode()
        return f"{header}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.{signature}"


@pytest.fixture(scope="module")
def tokens(stack: Stack) -> Tokens:
    # These are kept for the whole module.
    stack._tokens.clear()
    alice = stack.token("alice")
    short = stack.signed("alice", "POST", "/token", '{"lifespan": 1}').json()
    public = jwt.PyJWK(stack.http.get(stack.api + "/.well-known/jwks.json").json()["keys"][0]).key
    wait_for(
        lambda: time.time() > jwt.decode(short["token"], options={"verify_signature": False})["exp"],
        "the end of a token",
    )
    return Tokens(
        alice=alice,
        bob=stack.token("bob"),
        expired=short["token"],
        head_node=slurm("scontrol", "token", "username=alice", "lifespan=600").strip().removeprefix("SLURM_JWT="),
        kid=signing_key_id(),
        claims=jwt.decode(alice, options={"verify_signature": False}),
        stranger=rsa.generate_private_key(65537, 2048),
        public_pem=public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


def ask(stack: Stack, method: str, path: str, headers: Headers, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request exactly as given: nothing is normalised, duplicated headers stay two."""
    address = urlsplit(stack.api)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=35)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def seen_by_the_load_balancer(stack: Stack, before: str) -> list[str]:
    """Give what the load balancer logged since, without the request that shows that its log has caught up."""
    marker = f"/slurm/{NATIVE_VERSION}/node/{uuid.uuid4().hex}"
    stack.http.get(stack.api + marker, headers=stack.headers("alice"))
    lines = wait_for(
        lambda: lines if marker in (lines := load_balancer_log().removeprefix(before)) else "",
        "the load balancer's log",
    )
    return [line for line in lines.splitlines() if marker not in line]


def pair(name: str, token: str) -> Headers:
    return [(NAME, name), (TOKEN, token)]


# What the edge lets through, as whom Slurm must then see the caller.
ADMITTED: dict[str, Callable[[Tokens], Headers]] = {
    "the right pair": lambda t: pair("alice", t.alice),
    "the other user's right pair": lambda t: pair("bob", t.bob),
    "lower-case header names": lambda t: [(NAME.lower(), "alice"), (TOKEN.lower(), t.alice)],
    "mixed-case header names": lambda t: [("x-Slurm-USER-name", "alice"), ("X-sLURM-User-Token", t.alice)],
    "headers in the other order": lambda t: list(reversed(pair("alice", t.alice))),
    "an underscored name header of bob besides": lambda t: [*pair("alice", t.alice), ("X_SLURM_USER_NAME", "bob")],
    "an underscored token header of bob besides": lambda t: [*pair("alice", t.alice), ("X_SLURM_USER_TOKEN", t.bob)],
    "a forwarded user besides": lambda t: [*pair("alice", t.alice), ("X-Forwarded-User", "bob")],
    "a cookie besides": lambda t: [*pair("alice", t.alice), ("Cookie", f"X-SLURM-USER-TOKEN={t.bob}")],
    "blanks around the name": lambda t: [(NAME, "  alice  "), (TOKEN, t.alice)],
}

# What the edge refuses, with the status it gives.
REFUSED: dict[str, tuple[int, Callable[[Tokens], Headers]]] = {
    "no headers": (401, lambda _: []),
    "a name alone": (401, lambda _: [(NAME, "alice")]),
    "a token alone": (401, lambda t: [(TOKEN, t.alice)]),
    "an empty name": (401, lambda t: pair("", t.alice)),
    "an empty token": (401, lambda _: pair("alice", "")),
    "a bearer token alone": (401, lambda t: [("Authorization", f"Bearer {t.alice}")]),
    "underscored headers alone": (401, lambda t: [("X_SLURM_USER_NAME", "alice"), ("X_SLURM_USER_TOKEN", t.alice)]),
    "rubbish for a token": (403, lambda _: pair("alice", "rubbish")),
    "three dots for a token": (403, lambda _: pair("alice", "...")),
    "another's name": (403, lambda t: pair("bob", t.alice)),
    "root's name": (403, lambda t: pair("root", t.alice)),
    "the name in capitals": (403, lambda t: pair("ALICE", t.alice)),
    "the uid for a name": (403, lambda t: pair("1001", t.alice)),
    "the name twice": (403, lambda t: [(NAME, "alice"), *pair("alice", t.alice)]),
    "alice's and bob's name": (403, lambda t: [(NAME, "alice"), *pair("bob", t.alice)]),
    "bob's and alice's name": (403, lambda t: [(NAME, "bob"), *pair("alice", t.alice)]),
    "the token twice": (403, lambda t: [*pair("alice", t.alice), (TOKEN, t.alice)]),
    "alice's and bob's token": (403, lambda t: [*pair("alice", t.alice), (TOKEN, t.bob)]),
    "both users whole": (403, lambda t: [*pair("alice", t.alice), *pair("bob", t.bob)]),
    "an expired token": (403, lambda t: pair("alice", t.expired)),
    "a stranger's key under our kid": (403, lambda t: pair("alice", t.forged())),
    "an unknown kid": (403, lambda t: pair("alice", t.forged(headers={"kid": "unknown"}))),
    "a kid that is a path": (403, lambda t: pair("alice", t.forged(headers={"kid": "../../dev/null"}))),
    "a key of its own in the header": (
        403,
        lambda t: pair(
            "alice",
            t.forged(headers={"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(t.stranger.public_key()))}),
        ),
    ),
    "RS512": (403, lambda t: pair("alice", t.forged(algorithm="RS512"))),
    "PS256": (403, lambda t: pair("alice", t.forged(algorithm="PS256"))),
    "algorithm none": (403, lambda t: pair("alice", t.by_hand({"alg": "none", "kid": t.kid}))),
    "algorithm nOnE with a signature": (
        403,
        lambda t: pair("alice", t.by_hand({"alg": "nOnE", "kid": t.kid}, b"x" * 256)),
    ),
    "HS256 over our public key": (403, lambda t: pair("alice", t.confused())),
    "a token of the head node": (403, lambda t: pair("alice", t.head_node)),
    "bob written over alice": (403, lambda t: pair("bob", t.as_user("bob"))),
    "a signature cut short": (403, lambda t: pair("alice", t.alice[:-8])),
    "no signature": (403, lambda t: pair("alice", t.alice.rsplit(".", 1)[0] + ".")),
    "our key for root": (403, lambda t: pair("root", t.genuine(sun="root"))),
    "our key for slurm": (403, lambda t: pair("slurm", t.genuine(sun="slurm"))),
    "our key for slurmrestd": (403, lambda t: pair("slurmrestd", t.genuine(sun="slurmrestd"))),
    "our key for munge": (403, lambda t: pair("munge", t.genuine(sun="munge"))),
    "our key for pcluster-admin": (403, lambda t: pair("pcluster-admin", t.genuine(sun="pcluster-admin"))),
    "our key for ec2-user, who has sudo": (403, lambda t: pair("ec2-user", t.genuine(sun="ec2-user"))),
    "our key without exp": (403, lambda t: pair("alice", t.genuine(exp=None))),
    "our key with exp as a string": (403, lambda t: pair("alice", t.genuine(exp=str(2**40)))),
    "our key with a list of users": (403, lambda t: pair("alice", t.genuine(sun=["alice"]))),
    "our key, not yet valid": (403, lambda t: pair("alice", t.genuine(nbf=2**40))),
}

# Paths that lead nowhere, with the right pair: API Gateway knows no such route.
NOWHERE = {
    "the root": "/",
    "slurmrestd's root": "/slurm",
    "metrics": "/metrics/jobs",
    "another prefix": "/slurmrestd/v0.0.42/ping",
    "the prefix in capitals": "/SLURM/v0.0.42/ping",
    "no route of this name": "/token/alice",
}


@pytest.mark.parametrize("name", ADMITTED)
def test_admitted_pair_acts_as_its_own_user(stack: Stack, tokens: Tokens, name: str) -> None:
    headers = ADMITTED[name](tokens)
    expected = "bob" if name.startswith("the other user") else "alice"
    body = json.dumps(
        {
            "job": {
                "name": "who",
                "hold": True,
                "current_working_directory": "/tmp",
                "environment": ["A=b"],
                "script": "#!/bin/sh\ntrue\n",
            }
        }
    ).encode()
    for _ in range(2):
        status, answer = ask(
            stack, "POST", f"/slurm/{NATIVE_VERSION}/job/submit", [*headers, ("Content-Type", "application/json")], body
        )
        assert status == 200, answer
        job_id = json.loads(answer)["job_id"]
        assert slurm("squeue", "--noheader", f"--jobs={job_id}", "--format=%u").strip() == expected


@pytest.mark.any_release
@pytest.mark.parametrize("name", REFUSED)
def test_refused_pair_never_reaches_the_load_balancer(stack: Stack, tokens: Tokens, name: str) -> None:
    status, make = REFUSED[name]
    headers = make(tokens)
    before = load_balancer_log()
    for path in (JOBS_STATE, JOBS_STATE, f"/slurmdb/{NATIVE_VERSION}/users", "/openapi/v3"):
        assert (ask(stack, "GET", path, headers)[0], path) == (status, path)
    assert seen_by_the_load_balancer(stack, before) == []


@pytest.mark.any_release
@pytest.mark.parametrize("name", NOWHERE)
def test_unknown_path_is_not_found_and_goes_no_further(stack: Stack, tokens: Tokens, name: str) -> None:
    before = load_balancer_log()
    for _ in range(2):
        status, _ = ask(stack, "GET", NOWHERE[name], pair("alice", tokens.alice))
        assert status == 404
    assert seen_by_the_load_balancer(stack, before) == []


def test_double_slash_is_no_way_round_the_job_lists_throttle(stack: Stack, tokens: Tokens) -> None:
    """slurmrestd itself would take //jobs for /jobs."""
    for path in (
        f"/slurm/{NATIVE_VERSION}//jobs",
        f"/slurm/{NATIVE_VERSION}/jobs//",
        f"/slurmdb/{NATIVE_VERSION}//jobs",
    ):
        status, answer = ask(stack, "GET", path, pair("alice", tokens.alice))
        assert (status, answer) == (400, b"Two slashes stand side by side in the path. Write one.")


def test_bearer_token_beside_the_pair_is_never_someone_else(stack: Stack, tokens: Tokens) -> None:
    headers = [*pair("alice", tokens.alice), ("Authorization", f"Bearer {tokens.bob}")]
    for _ in range(2):
        status, answer = ask(stack, "GET", JOBS_STATE, headers)
        assert status == 401, answer


def test_one_users_job_is_out_of_the_others_reach_whatever_is_sent(stack: Stack, tokens: Tokens) -> None:
    bobs = stack.submit("bob", hold=True)
    attempts: list[tuple[str, str, Any]] = [
        ("GET", f"job/{bobs}", None),
        ("DELETE", f"job/{bobs}", None),
        ("DELETE", f"job/{bobs}?signal=KILL", None),
        ("POST", f"job/{bobs}", {"hold": False}),
        ("POST", f"job/{bobs}", {"time_limit": {"set": True, "number": 1}}),
        ("DELETE", "jobs/", {"jobs": [str(bobs)], "signal": "KILL"}),
        ("DELETE", "jobs/", {"user_name": "bob"}),
    ]
    disguises: list[Headers] = [
        [],
        [("X_SLURM_USER_NAME", "bob")],
        [("X-Forwarded-User", "bob")],
        [("Cookie", f"{TOKEN}={tokens.bob}")],
    ]
    before = slurm("scontrol", "show", "job", str(bobs))
    for method, path, body in attempts:
        for disguise in disguises:
            payload = json.dumps(body).encode() if body is not None else b""
            headers = [*pair("alice", tokens.alice), *disguise]
            if payload:
                headers.append(("Content-Type", "application/json"))
            status, answer = ask(stack, method, f"/slurm/{NATIVE_VERSION}/{path}", headers, payload)
            # The load balancer refuses to have a list cancelled, in words; slurmrestd answers in JSON.
            shown = {} if status == 403 else json.loads(answer)
            assert status >= 400 or shown.get("errors") or not shown.get("jobs"), (method, path, status, answer)
            assert b"/home/bob" not in answer
    assert slurm("scontrol", "show", "job", str(bobs)) == before
    assert str(bobs) not in [str(job["job_id"]) for job in stack.slurm("alice", "GET", "jobs/").json()["jobs"]]


def test_variants_are_forty_at_least() -> None:
    assert len(ADMITTED) + len(REFUSED) + len(NOWHERE) >= 40
