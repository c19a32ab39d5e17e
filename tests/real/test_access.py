"""Who gets a token as the document, ID tokens and the list of users change, and what is logged of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local import aws_emulator, cluster, principals
from local.address import address
from tests.real.access import (
    access_document_kept,
    audit_lines,
    log_after,
    log_end,
    put_access_document,
    start_cold,
)
from tests.real.conftest import Stack, slurm, up, wait_for
from tests.real.oidc_issuer import GITHUB_PUSH, GITLAB_PUSH, Issuer, serving

pytestmark = pytest.mark.any_release

USER = "arn:aws:iam::000000000000:user"
# Whom the head node knows, without those that a test adds.
USERS = {"alice", "bob", "slurm-canary"}
ISSUER_RULES = """\
  - name: ci
    principal: {{oidc: {{issuer: "{github}", claims: {{repository_id: "74", environment: production}}}}}}
    users: [alice]
    lifespan: {{default: 60, longest: 120}}
  - name: merge-requests
    principal:
      oidc: {{issuer: "{gitlab}", claims: {{project_path: "my-group/*"}}, pull_requests: true}}
    users: [bob]
  - name: own
    principal: {{oidc: {{issuer: "{own}", claims: {{groups: "*hpc*"}}}}}}
    users: [bob]
    sees_everyones_jobs: true
"""


@pytest.fixture(scope="module")
def issuers() -> Iterator[dict[str, Issuer]]:
    with serving(address()) as github, serving(address()) as gitlab, serving(address()) as own:
        yield {"github": github, "gitlab": gitlab, "own": own}


@pytest.fixture(scope="module")
def opened(stack: Stack, issuers: dict[str, Issuer]) -> Iterator[Stack]:
    """The stack with a route for each issuer, and rules for their tokens."""
    urls = {name: issuer.url for name, issuer in issuers.items()}
    up(
        "--parameter", f"GithubIssuer={urls['github']}", "--parameter", f"GitlabIssuer={urls['gitlab']}",
        "--parameter", f"OidcIssuer={urls['own']}",
    )  # fmt: skip
    with access_document_kept(stack):
        put_access_document(principals.ACCESS_DOCUMENT + ISSUER_RULES.format(**urls))
        start_cold("TokenFunction")
        wait_for(
            lambda: post(stack, "github", issuers["github"].token(GITHUB_PUSH)).status_code == 200,
            "the rules to be in force",
        )
        yield stack
    up()


def post(stack: Stack, name: str, token: str, body: dict[str, Any] | None = None) -> httpx.Response:
    return stack.http.post(
        f"{stack.api}/token/oidc/{name}",
        headers={"Authorization": f"Bearer {token}"},
        content=json.dumps(body or {}),
    )


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


def headers(answer: httpx.Response) -> dict[str, str]:
    given = answer.json()
    return {"X-SLURM-USER-NAME": given["user"], "X-SLURM-USER-TOKEN": given["token"]}


# ---- ID tokens -----------------------------------------------------------------------------------------------------


def test_without_an_issuer_there_is_no_such_route(stack: Stack) -> None:
    assert post(stack, "github", "x").status_code == 404


def test_an_id_token_becomes_a_slurm_token_that_opens_the_way_to_slurm(
    opened: Stack, issuers: dict[str, Issuer]
) -> None:
    answer = post(opened, "github", issuers["github"].token(GITHUB_PUSH), {"lifespan": 100})

    assert (answer.status_code, answer.json()["user"], answer.json()["expires_in"]) == (200, "alice", 100)
    nodes = opened.http.get(f"{opened.api}/slurm/v0.0.42/nodes/", headers=headers(answer))
    assert nodes.status_code == 200
    submitted = opened.http.post(f"{opened.api}/jobs", headers=headers(answer), content="#!/bin/sh\ntrue\n")
    assert submitted.status_code == 201, submitted.text


PULL_REQUEST = GITHUB_PUSH | {"event_name": "pull_request", "ref": "refs/pull/1/merge", "head_ref": "evil"}
NOT_MAPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "another repository": ("github", GITHUB_PUSH | {"repository_id": "741"}),
    "another environment": ("github", GITHUB_PUSH | {"environment": "staging"}),
    "no environment": ("github", GITHUB_PUSH | {"environment": None}),
    "environments as a list": ("github", GITHUB_PUSH | {"environment": ["production"]}),
    "a pull request": ("github", PULL_REQUEST),
    "a pull request by its subject": ("github", GITHUB_PUSH | {"sub": "repo:octo-org/octo-repo:pull_request"}),
    "another group": ("gitlab", GITLAB_PUSH | {"project_path": "my-group2/my-project"}),
    "GitHub's claims at another issuer": ("own", GITHUB_PUSH),
}


@pytest.mark.parametrize(("name", "claims"), NOT_MAPPED.values(), ids=NOT_MAPPED)
def test_claims_that_no_rule_fits_get_nothing(
    opened: Stack, issuers: dict[str, Issuer], name: str, claims: dict[str, Any]
) -> None:
    answer = post(opened, name, issuers[name].token(claims))

    assert (answer.status_code, kind(answer)) == (403, "principal-not-mapped"), answer.text


def test_a_pull_request_gets_a_token_where_the_rule_says_so(opened: Stack, issuers: dict[str, Issuer]) -> None:
    claims = GITLAB_PUSH | {"pipeline_source": "merge_request_event", "ref_path": "refs/merge-requests/1/head"}

    assert post(opened, "gitlab", issuers["gitlab"].token(claims)).json()["user"] == "bob"


def test_the_gateway_itself_refuses_id_tokens_that_are_not_good(opened: Stack, issuers: dict[str, Issuer]) -> None:
    github, now = issuers["github"], int(time.time())
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = github.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header, payload, _ = github.token(GITHUB_PUSH).split(".")
    bad = {
        "expired": github.token(GITHUB_PUSH, exp=now - 120),
        "not yet": github.token(GITHUB_PUSH, nbf=now + 300),
        "for another audience": github.token(GITHUB_PUSH, aud="sts.amazonaws.com"),
        "without an audience": github.token(GITHUB_PUSH, aud=None),
        "of another issuer": issuers["gitlab"].token(GITHUB_PUSH),
        "that says another issuer": github.token(GITHUB_PUSH, iss=issuers["gitlab"].url),
        "signed by another key": github.token(GITHUB_PUSH, key=foreign),
        "with the public key as a secret": hs256(public, github, now),
        "unsigned": f"{b64({'alg': 'none', 'typ': 'JWT', 'kid': github.kid})}.{payload}.",
        "without a signature": f"{header}.{payload}.",
        "a Slurm token": opened.token("alice"),
        "no token at all": "x",
    }
    since = log_end()

    refused = {why: post(opened, "github", token).status_code for why, token in bad.items()}

    assert refused == dict.fromkeys(bad, 401)
    # The function never saw them.
    assert audit_lines(since) == []


def hs256(secret: bytes, issuer: Issuer, now: int) -> str:
    """Sign by hand: PyJWT itself refuses a public key as a secret."""
    claims = {"iss": issuer.url, "aud": "slurm-gateway", "exp": now + 300, **GITHUB_PUSH}
    signed = f"{b64({'alg': 'HS256', 'typ': 'JWT', 'kid': issuer.kid})}.{b64(claims)}"
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def b64(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def test_a_lifespan_and_a_user_beyond_the_rule_are_refused(opened: Stack, issuers: dict[str, Issuer]) -> None:
    token = issuers["github"].token(GITHUB_PUSH)

    assert kind(post(opened, "github", token, {"lifespan": 121})) == "lifespan-too-long"
    assert kind(post(opened, "github", token, {"user": "bob"})) == "user-not-allowed"


def test_every_mint_and_every_refusal_is_a_line_without_the_token(opened: Stack, issuers: dict[str, Issuer]) -> None:
    since = log_end()
    id_token = issuers["github"].token(GITHUB_PUSH)
    answers = [post(opened, "github", token) for token in (id_token, issuers["github"].token(PULL_REQUEST))]
    minted, refused = answers[0].json()["token"], answers[1]

    def told() -> list[dict[str, Any]] | None:
        lines = [[line for line in audit_lines(since) if line.get("request_id") == answer.headers["apigw-requestid"]]
                 for answer in answers]  # fmt: skip
        if all(lines):
            return [line for of_one in lines for line in of_one]
        # The emulator keeps a line that came late until the function's next call.
        opened.signed("mallory", "POST", "/token")
        return None

    good, bad = wait_for(told, "two lines")
    claims = jwt.decode(minted, options={"verify_signature": False})
    expected = {
        "message": "token minted", "principal": f"{issuers['github'].url} {GITHUB_PUSH['sub']}", "user": "alice",
        "rule": "ci", "lifespan": 60, "jti": claims["jti"], "source_ip": address(), "TokensMinted": 1,
    }  # fmt: skip
    assert expected.items() <= good.items()
    assert good["claims"]["repository_id"] == "74"
    assert bad["message"] == "no token"
    assert (bad["reason"], bad["status"], bad["TokensRefused"]) == ("principal-not-mapped", 403, 1)
    assert refused.json()["instance"] == bad["request_id"]
    for line in (good, bad):
        assert not any(part in json.dumps(line) for token in (id_token, minted) for part in token.split("."))


def test_an_operator_sees_everyones_jobs_and_nobody_else_does(opened: Stack, issuers: dict[str, Issuer]) -> None:
    script = "#!/bin/sh\nsleep 300\n"
    mine = opened.http.post(f"{opened.api}/jobs", headers=opened.headers("alice"), content=script).json()
    operator = headers(post(opened, "own", issuers["own"].token({"sub": "x", "groups": ["hpc", "staff"]})))
    as_bob = opened.headers("bob")

    def get(path: str, given: dict[str, str]) -> httpx.Response:
        return opened.http.get(f"{opened.api}{path}", headers=given)

    seen = get(f"/jobs/{mine['id']}", operator)
    listed = get("/jobs?user=alice&limit=500", operator)
    assert (seen.status_code, seen.json()["user"], seen.json()["script"]) == (200, "alice", None)
    assert mine["id"] in [job["id"] for job in listed.json()["jobs"]]
    assert {job["script"] for job in listed.json()["jobs"]} == {None}
    assert get(mine["links"]["script"], operator).status_code == 404
    assert get(f"/jobs/{mine['id']}", as_bob).status_code == 404
    assert kind(get("/jobs?user=alice", as_bob)) == "jobs-of-another"
    # To see is not to change: Slurm itself refuses.
    assert opened.http.delete(f"{opened.api}/jobs/{mine['id']}", headers=operator).status_code in (403, 404)


def test_an_issuer_that_is_down_lets_nobody_in(opened: Stack) -> None:
    # The gateway knows no key of this one yet.
    with serving(address()) as down:
        token = down.token(GITHUB_PUSH)
    up("--parameter", f"OidcIssuer={down.url}")

    answer = post(opened, "own", token)

    assert answer.status_code == 401
    assert "discovery" in answer.headers["www-authenticate"]
    # Who does not need it does not notice.
    assert opened.signed("alice", "POST", "/token").status_code == 200


# ---- the document and the list of users ----------------------------------------------------------------------------


@pytest.fixture
def kept(stack: Stack) -> Iterator[Stack]:
    with access_document_kept(stack):
        yield stack


def test_a_principal_that_is_dropped_gets_no_token_within_60_s_and_a_broken_document_does_not_bring_it_back(
    kept: Stack,
) -> None:
    assert kept.signed("bob", "POST", "/token").status_code == 200
    document = principals.ACCESS_DOCUMENT
    without_bob = document[: document.index("  - name: bob")]
    begin = time.monotonic()
    put_access_document(without_bob)
    wait_for(lambda: kept.signed("bob", "POST", "/token").status_code == 403, "bob to be refused", 60)
    print(f"a principal dropped from the document was refused after {time.monotonic() - begin:.1f} s")

    put_access_document(document + "  - {name: broken, users: [root]}\n")
    since = log_end()
    start_cold("TokenFunction")
    alice = wait_for(lambda: a if (a := kept.signed("alice", "POST", "/token")).status_code < 500 else None, "a start")
    assert alice.status_code == 200, alice.text
    assert kind(kept.signed("bob", "POST", "/token")) == "principal-not-mapped"
    told = log_after(since)
    assert '"AccessDocumentNotValid":1' in told
    assert "root never gets a token" in told


def test_without_the_head_nodes_list_of_users_nothing_is_minted_until_it_is_there_again(stack: Stack) -> None:
    bucket = stack.env["BUCKET"]
    s3 = aws_emulator.client("s3", principals.administrator())
    s3.delete_object(Bucket=bucket, Key="headnode-state/users.json")
    try:
        start_cold("TokenFunction")
        answer = wait_for(
            lambda: a if (a := stack.signed("alice", "POST", "/token")).status_code != 500 else None,
            "the function to start",
        )
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, "60"), answer.text
        assert kind(answer) == "users-unknown"
    finally:
        cluster.run(["systemctl", "start", "slurm-gateway-users.service"])
    wait_for(lambda: stack.signed("alice", "POST", "/token").status_code == 200, "tokens to be minted again")


def test_a_user_with_sudo_or_none_at_all_is_not_published(stack: Stack) -> None:
    """Every way of being no ordinary user, on the head node itself."""
    make = """
        useradd --create-home ordinary
        useradd --create-home in-sudoers && echo 'in-sudoers ALL=(ALL) /bin/ls' >/etc/sudoers.d/test
        useradd --create-home --groups sudo in-group
        useradd --create-home --groups disk in-disk
        useradd --system --create-home a-service
        chmod 0440 /etc/sudoers.d/test
    """
    try:
        slurm("bash", "-ec", make)
        # Long before the timer would, every five minutes.
        wait_for(lambda: published(stack) == {*USERS, "ordinary"}, "the new user", 60)
        slurm("bash", "-ec", "echo 'ordinary ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ordinary")
        wait_for(lambda: published(stack) == USERS, "the user with sudo to go", 60)
    finally:
        users = "ordinary in-sudoers in-group in-disk a-service"
        slurm(
            "bash", "-c", f"rm -f /etc/sudoers.d/test /etc/sudoers.d/ordinary; for u in {users}; do userdel -r $u; done"
        )


def published(stack: Stack) -> set[str]:
    s3 = aws_emulator.client("s3", principals.administrator())
    body = s3.get_object(Bucket=stack.env["BUCKET"], Key="headnode-state/users.json")["Body"].read()
    return set(json.loads(body)["users"])
