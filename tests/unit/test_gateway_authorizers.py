from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import rsa
from gateway_stack import (
    AUTHORIZER_ARN,
    FakeIdentity,
    Stack,
    function_authorizer,
    function_integration,
    openapi_body,
    operation,
    running,
)

from local.gateway.messages import Request, Response
from local.gateway.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

WHO = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": "good"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# ---- Lambda authorizer ---------------------------------------------------------------------------------------------


def edge_body(**changes: Any) -> dict[str, Any]:
    body = openapi_body()
    scheme = body["components"]["securitySchemes"]["Edge"]
    scheme["x-amazon-apigateway-authorizer"] = function_authorizer(**changes)
    return body


async def test_the_authorizers_event(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        await stack.client.post("/slurm/v0.0.42/job/a%20b?x=1", headers=WHO, content=b"secret")

    arn, event = stack.events[0]
    assert arn == AUTHORIZER_ARN
    assert event["version"] == "2.0"
    assert event["type"] == "REQUEST"
    assert event["routeArn"] == "arn:aws:execute-api:us-east-1:000000000000:api123/$default/POST/slurm/v0.0.42/job/a b"
    assert event["identitySource"] == ["alice", "good", "ANY /slurm/{version}/{proxy+}"]
    assert event["routeKey"] == "ANY /slurm/{version}/{proxy+}"
    assert event["rawPath"] == "/slurm/v0.0.42/job/a b"
    assert event["rawQueryString"] == "x=1"
    assert event["headers"]["x-slurm-user-token"] == "good"
    assert event["pathParameters"] == {"version": "v0.0.42", "proxy": "job/a b"}
    assert event["requestContext"]["http"]["method"] == "POST"
    assert "body" not in event


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-SLURM-USER-NAME": "alice"}, {"X-SLURM-USER-TOKEN": "good"}, {**WHO, "X-SLURM-USER-TOKEN": ""}],
)
async def test_a_missing_identity_source_is_401_without_an_invocation(tmp_path: Path, headers: dict[str, str]) -> None:
    async with running(tmp_path) as stack:
        answer = await stack.client.get("/slurm/v0.0.42/jobs", headers=headers)

    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert (stack.events, stack.seen) == ([], [])


async def test_a_refusal_is_403_and_is_cached_too(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        headers = {**WHO, "X-SLURM-USER-TOKEN": "bad"}
        answers = [await stack.client.get("/slurm/v0.0.42/jobs", headers=headers) for _ in range(2)]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(403, {"message": "Forbidden"})] * 2
    assert (len(stack.events), stack.seen) == (1, [])


async def test_an_allow_answers_for_the_same_sources_only(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        for path, headers in [
            ("/slurm/v0.0.42/jobs", WHO),
            ("/slurm/v0.0.40/jobs", WHO),
            ("/slurm/v0.0.42/job/1", WHO),
            ("/slurm/v0.0.42/jobs", {**WHO, "X-SLURM-USER-NAME": "bob"}),
            ("/slurm/v0.0.42/jobs", {**WHO, "X-SLURM-USER-TOKEN": "bad"}),
        ]:
            await stack.client.get(path, headers=headers)

    assert len(stack.events) == 4


async def test_duplicate_headers_are_one_value_with_a_comma(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        headers = [*WHO.items(), ("x-slurm-user-token", "bad")]
        answer = await stack.client.get("/slurm/v0.0.42/jobs", headers=headers)

    assert answer.status_code == 403
    assert stack.events[0][1]["headers"]["x-slurm-user-token"] == "good,bad"


async def test_without_a_ttl_every_request_is_asked_about(tmp_path: Path) -> None:
    async with running(tmp_path, body=edge_body(authorizerResultTtlInSeconds=0)) as stack:
        for _ in range(3):
            await stack.client.get("/slurm/v0.0.42/jobs", headers=WHO)

    assert len(stack.events) == 3


async def test_a_cached_answer_expires(tmp_path: Path) -> None:
    async with running(tmp_path, body=edge_body(authorizerResultTtlInSeconds=0.2)) as stack:
        await stack.client.get("/slurm/v0.0.42/jobs", headers=WHO)
        await asyncio.sleep(0.25)
        await stack.client.get("/slurm/v0.0.42/jobs", headers=WHO)

    assert len(stack.events) == 2


@pytest.mark.parametrize(
    "answer",
    [
        "no object",
        {},
        {"isAuthorized": "true"},
        {"isAuthorized": True, "context": [1]},
        Response(200, [("X-Amz-Function-Error", "Unhandled")], b'{"isAuthorized": true}'),
        Response(404, [], b"{}"),
        Response(200, [], b"no JSON"),
    ],
    ids=str,
)
async def test_a_faulty_authorizer_is_500_and_not_cached(tmp_path: Path, answer: Any) -> None:
    async with running(tmp_path, functions={AUTHORIZER_ARN: lambda _: answer}) as stack:
        answers = [await stack.client.get("/slurm/v0.0.42/jobs", headers=WHO) for _ in range(2)]

    assert [(a.status_code, a.json()) for a in answers] == [(500, {"message": "Internal Server Error"})] * 2
    assert (len(stack.events), stack.seen) == (2, [])


async def test_64_requests_ask_the_authorizer_side_by_side(tmp_path: Path) -> None:
    # None of them answers before all of them are asked.
    all_asked = asyncio.Barrier(64)

    async def patient(_: dict[str, Any]) -> dict[str, Any]:
        await all_asked.wait()
        return {"isAuthorized": True}

    async with running(tmp_path, functions={AUTHORIZER_ARN: patient}) as stack:
        headers = [{**WHO, "X-SLURM-USER-NAME": f"user{number}"} for number in range(64)]
        answers = await asyncio.gather(*(stack.client.get("/slurm/v0.0.42/jobs", headers=h) for h in headers))

    assert [answer.status_code for answer in answers] == [200] * 64


async def test_requests_with_the_same_sources_wait_for_the_one_that_asks(tmp_path: Path) -> None:
    is_asked, answer_now = asyncio.Event(), asyncio.Event()

    async def patient(_: dict[str, Any]) -> dict[str, Any]:
        is_asked.set()
        await answer_now.wait()
        return {"isAuthorized": True}

    async with running(tmp_path, functions={AUTHORIZER_ARN: patient}) as stack:
        requests = [asyncio.ensure_future(stack.client.get("/slurm/v0.0.42/jobs", headers=WHO)) for _ in range(8)]
        await is_asked.wait()
        answer_now.set()
        answers = await asyncio.gather(*requests)

    assert [answer.status_code for answer in answers] == [200] * 8
    assert len(stack.events) == 1


# ---- IAM -----------------------------------------------------------------------------------------------------------


def signed(
    stack: Stack,
    *,
    key: str = "AKIAALICE",
    secret: str = "alice-secret",  # noqa: S107
    token: str | None = None,
    service: str = "execute-api",
    region: str = "us-east-1",
    body: bytes = b'{"lifespan": 60}',
    path: str = "/token",
) -> dict[str, str]:
    host = f"127.0.0.1:{stack.port}"
    request = AWSRequest("POST", f"http://{host}{path}", data=body, headers={"Host": host})
    SigV4Auth(Credentials(key, secret, token), service, region).add_auth(request)
    return dict(request.headers)


async def test_a_signed_request_passes_with_its_signer(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        answer = await stack.client.post(
            "/token?a=b%20c&A=1", content=b"x", headers=signed(stack, path="/token?a=b%20c&A=1", body=b"x")
        )

    assert (answer.status_code, answer.text) == (200, "hello")
    resource = "arn:aws:execute-api:us-east-1:000000000000:api123/$default/POST/token"
    assert stack.registry.asked == [("arn:aws:iam::000000000000:user/alice", "execute-api:Invoke", resource)]
    assert stack.events[0][1]["requestContext"]["authorizer"] == {
        "iam": {
            "accessKey": "AKIAALICE",
            "accountId": "000000000000",
            "callerId": "AIDAALICE",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": "arn:aws:iam::000000000000:user/alice",
            "userId": "AIDAALICE",
        }
    }


async def test_a_session_passes_with_its_token_only(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        stack.registry.identities["ASIASESSION"] = FakeIdentity(secret="s", token="session-token")
        right = signed(stack, key="ASIASESSION", secret="s", token="session-token", body=b"")
        wrong = signed(stack, key="ASIASESSION", secret="s", token="other", body=b"")
        none = signed(stack, key="ASIASESSION", secret="s", body=b"")
        statuses = [
            (await stack.client.post("/token", headers=headers)).status_code for headers in (right, wrong, none)
        ]

    assert statuses == [200, 403, 403]


@pytest.mark.parametrize(
    "tamper",
    [
        lambda h: {k: v for k, v in h.items() if k.lower() != "authorization"},
        lambda h: h | {"Authorization": h["Authorization"][:-1] + ("0" if h["Authorization"][-1] != "0" else "1")},
        lambda h: h | {"Authorization": h["Authorization"].replace("AKIAALICE", "AKIAOTHER")},
        lambda h: h | {"Authorization": h["Authorization"].replace("SignedHeaders=host;", "SignedHeaders=")},
        lambda h: h | {"Authorization": "Bearer token"},
        lambda h: h | {"Authorization": h["Authorization"].replace("HMAC-SHA256", "HMAC-SHA1")},
        lambda h: h | {"X-Amz-Date": "20000101T000000Z"},
        lambda h: h | {"X-Amz-Date": "rubbish"},
        lambda h: h | {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"},
        lambda h: h | {"Host": "other"},
    ],
)
async def test_a_tampered_signature_is_403(tmp_path: Path, tamper: Any) -> None:
    async with running(tmp_path) as stack:
        answer = await stack.client.post("/token", content=b"x", headers=tamper(signed(stack, body=b"x")))

    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})
    assert stack.events == []


@pytest.mark.parametrize(
    "how",
    [{"secret": "wrong"}, {"service": "lambda"}, {"region": "eu-west-1"}, {"body": b"other"}, {"path": "/token?a"}],
)
async def test_a_signature_for_something_else_is_403(tmp_path: Path, how: dict[str, Any]) -> None:
    async with running(tmp_path) as stack:
        answer = await stack.client.post("/token", content=b'{"lifespan": 60}', headers=signed(stack, **how))

    assert answer.status_code == 403


@pytest.mark.parametrize(("minutes", "status"), [(-6, 403), (-4, 200), (4, 200), (6, 403)])
async def test_a_signature_is_good_for_five_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int, status: int
) -> None:
    moment = datetime.now(UTC) + timedelta(minutes=minutes)
    async with running(tmp_path) as stack:
        with monkeypatch.context() as patch:
            patch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: moment.replace(tzinfo=None))
            headers = signed(stack)
        answer = await stack.client.post("/token", content=b'{"lifespan": 60}', headers=headers)

    assert answer.status_code == status


async def test_a_signer_without_permission_is_403(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        stack.registry.allowed = False
        answer = await stack.client.post("/token", content=b'{"lifespan": 60}', headers=signed(stack))

    assert (answer.status_code, stack.events) == (403, [])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_signs_so_that_it_passes(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        curl = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--noproxy", "*", "--user", "AKIAALICE:alice-secret",
            "--aws-sigv4", "aws:amz:us-east-1:execute-api",
            "-H", "Content-Type: application/json", "-d", '{"user": "alice"}',
            f"http://127.0.0.1:{stack.port}/token",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await curl.communicate()

    assert output == b"hello"


# ---- JWT -----------------------------------------------------------------------------------------------------------

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """An OIDC issuer on a loopback port."""

    def __init__(self) -> None:
        self.url = ""
        self.fetched: list[str] = []
        self.kids = ["k1"]

    async def answer(self, request: Request) -> Response:
        self.fetched.append(request.target)
        if request.target == "/.well-known/openid-configuration":
            return Response(200, [], json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode())
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        return Response(200, [], json.dumps({"keys": [{**public, "kid": kid} for kid in self.kids]}).encode())

    def token(self, *, kid: str = "k1", alg: str = "RS256", key: Any = KEY, **claims: Any) -> str:
        standard = {"iss": self.url, "aud": "us", "exp": datetime.now(UTC) + timedelta(minutes=1), "sub": "repo"}
        return jwt.encode(standard | claims, key, algorithm=alg, headers={"kid": kid})


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    server = Server(issuer.answer, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{await server.start()}"
    yield issuer
    await server.stop()


def jwt_body(issuer: Issuer, *scopes: str) -> dict[str, Any]:
    body = openapi_body()
    body["paths"] = {"/oidc": {"post": operation(function_integration(), security="Oidc", scopes=scopes)}}
    body["components"]["securitySchemes"]["Oidc"] = {
        "type": "oauth2",
        "x-amazon-apigateway-authorizer": {
            "type": "jwt",
            "identitySource": "$request.header.Authorization",
            "jwtConfiguration": {"issuer": issuer.url, "audience": ["us", "them"]},
        },
    }
    return body


async def test_a_jwt_passes_with_its_claims_as_text(tmp_path: Path, issuer: Issuer) -> None:
    async with running(tmp_path, body=jwt_body(issuer)) as stack:
        token = issuer.token(aud=["us", "x"], admin=True, number=3, exp=4102444800)
        answer = await stack.client.post("/oidc", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200
    assert stack.events[0][1]["requestContext"]["authorizer"]["jwt"] == {
        "claims": {
            "iss": issuer.url,
            "aud": "[us x]",
            "exp": "4102444800",
            "sub": "repo",
            "admin": "true",
            "number": "3",
        },
        "scopes": None,
    }


async def test_the_issuers_keys_are_fetched_once(tmp_path: Path, issuer: Issuer) -> None:
    async with running(tmp_path, body=jwt_body(issuer)) as stack:
        for kid in ("k1", "k1", "unknown", "unknown"):
            await stack.client.post("/oidc", headers={"Authorization": issuer.token(kid=kid)})

    assert issuer.fetched == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "others"},
        {"iss": "https://elsewhere"},
        {"exp": 1},
        {"nbf": 4102444800},
        {"iat": 4102444800},
        {"kid": "unknown"},
        {"alg": "HS256", "key": "shared-secret-that-is-long-enough"},
        {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
    ],
    ids=lambda claims: next(iter(claims)),
)
async def test_a_bad_jwt_is_401_and_says_why(tmp_path: Path, issuer: Issuer, claims: dict[str, Any]) -> None:
    async with running(tmp_path, body=jwt_body(issuer)) as stack:
        answer = await stack.client.post("/oidc", headers={"Authorization": f"Bearer {issuer.token(**claims)}"})

    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert answer.headers["www-authenticate"].startswith('Bearer scope="" error="invalid_token" error_description="')
    assert stack.events == []


async def test_no_jwt_is_401(tmp_path: Path, issuer: Issuer) -> None:
    async with running(tmp_path, body=jwt_body(issuer)) as stack:
        answers = [await stack.client.post("/oidc"), await stack.client.post("/oidc", headers={"Authorization": "x"})]

    assert [answer.status_code for answer in answers] == [401, 401]


async def test_a_scope_of_the_route_is_needed(tmp_path: Path, issuer: Issuer) -> None:
    async with running(tmp_path, body=jwt_body(issuer, "jobs", "all")) as stack:
        statuses = [
            (await stack.client.post("/oidc", headers={"Authorization": issuer.token(**claims)})).status_code
            for claims in ({}, {"scope": "other"}, {"scope": "other jobs"}, {"scp": ["all"]})
        ]

    assert statuses == [403, 403, 200, 200]


async def test_an_issuer_that_is_away_means_401(tmp_path: Path, issuer: Issuer) -> None:
    body = jwt_body(issuer)
    scheme = body["components"]["securitySchemes"]["Oidc"]["x-amazon-apigateway-authorizer"]
    scheme["jwtConfiguration"]["issuer"] = "http://127.0.0.1:9"
    async with running(tmp_path, body=body) as stack:
        answer = await stack.client.post("/oidc", headers={"Authorization": issuer.token(iss="http://127.0.0.1:9")})

    assert answer.status_code == 401
