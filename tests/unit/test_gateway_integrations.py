from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from gateway_stack import (
    AUTHORIZER_ARN,
    FUNCTION_ARN,
    free_port,
    function_integration,
    openapi_body,
    operation,
    private_integration,
    running,
    stage,
)

from local.gateway.answer import MalformedAnswerError, interpret
from local.gateway.messages import Response
from local.gateway.throttle import Limits, TokenBucket

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

WHO = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": "good"}
JOBS = "/slurm/v0.0.42/jobs"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# ---- HTTP_PROXY ----------------------------------------------------------------------------------------------------


async def test_the_load_balancer_receives_the_verified_user_and_the_rest_as_it_was(tmp_path: Path) -> None:
    sent = [
        ("x-slurm-user-name", "alice"),
        ("X-SLURM-USER-TOKEN", "good"),
        ("X-Slurm-User-Name", ""),
        ("X_SLURM_USER_NAME", "root"),
        ("X-Double", "1"),
        ("X-Double", "2"),
        ("Connection", "X-Hop, X-SLURM-USER-NAME, keep-alive"),
        ("X-Hop", "1"),
        ("Te", "trailers"),
        ("Upgrade", "h2c"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Host", "evil"),
        ("Forwarded", "for=7.7.7.7"),
        ("Via", "1.1 proxy"),
    ]
    functions = {AUTHORIZER_ARN: lambda _: {"isAuthorized": True, "context": {"user": "verified"}}}
    async with running(tmp_path, functions=functions) as stack:
        await stack.client.delete("/slurm/v0.0.42/job/1", headers=sent)

    request = stack.seen[0]
    host = f"127.0.0.1:{stack.port}"
    names = [name.lower() for name, _ in request.headers]
    assert request.method == "DELETE"
    assert request.header("x-slurm-user-name") == "verified"
    assert request.header("x_slurm_user_name") == "root"
    assert request.header("host") == host
    assert (
        request.header("forwarded") == f'for=7.7.7.7, for=6.6.6.6, by=127.0.0.1;for=127.0.0.1;host="{host}";proto=http'
    )
    assert request.header("via") == "1.1 proxy, HTTP/1.1 AmazonAPIGateway"
    assert (request.header("x-amzn-trace-id") or "").startswith("Root=1-")
    assert [value for name, value in request.headers if name == "X-Double"] == ["1", "2"]
    assert not {"connection", "x-hop", "te", "upgrade", "x-forwarded-for", "x-forwarded-host"} & set(names)


async def test_the_load_balancers_answer_passes_whatever_its_status(tmp_path: Path) -> None:
    answer = Response(
        502, [("Server", "awselb/2.0"), ("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Keep-Alive", "1")], b"<html>"
    )
    async with running(tmp_path, load_balancer=lambda _: answer) as stack:
        got = await stack.client.get(JOBS, headers=WHO)

    assert (got.status_code, got.content) == (502, b"<html>")
    assert got.headers.get_list("set-cookie") == ["a", "b"]
    assert got.headers["server"] == "awselb/2.0"
    assert "keep-alive" not in got.headers
    assert len(got.headers["apigw-requestid"]) == 16


async def test_connections_to_the_load_balancer_are_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        for _ in range(5):
            await stack.client.get(JOBS, headers=WHO)

    assert len(stack.seen) == 5


async def test_no_load_balancer_is_503(tmp_path: Path) -> None:
    async with running(tmp_path, load_balancer_port=free_port()) as stack:
        answer = await stack.client.get(JOBS, headers=WHO)

    assert (answer.status_code, answer.json()) == (503, {"message": "Service Unavailable"})
    assert stack.log()[0]["integrationError"] == "ConnectionRefusedError"


async def test_a_late_answer_is_504(tmp_path: Path) -> None:
    body = openapi_body(paths={"/late": {"get": operation(private_integration(timeoutInMillis=100))}})
    import time

    def late(_: Any) -> Response:
        time.sleep(0.3)
        return Response(200)

    async with running(tmp_path, body=body, load_balancer=late) as stack:
        answer = await stack.client.get("/late")

    assert (answer.status_code, answer.json()) == (504, {"message": "Endpoint request timed out"})


async def test_more_than_10_mib_of_answer_is_500(tmp_path: Path) -> None:
    sizes = iter([10 * 1024 * 1024, 10 * 1024 * 1024 + 1])
    async with running(tmp_path, load_balancer=lambda _: Response(200, [], b"x" * next(sizes))) as stack:
        statuses = [(await stack.client.get(JOBS, headers=WHO)).status_code for _ in range(2)]

    assert statuses == [200, 500]


# ---- AWS_PROXY -----------------------------------------------------------------------------------------------------


async def test_the_functions_event(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        headers = [
            ("Cookie", "a=1; b=2"),
            ("X-Many", "1"),
            ("x-many", "2"),
            ("Content-Type", "application/json; charset=utf-8"),
        ]
        await stack.client.post("/public?q=%C3%A4+x&q=2&empty", headers=headers, content='{"ä": 1}'.encode())

    event = stack.events[0][1]
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]
    assert event["headers"]["x-many"] == "1,2"
    assert event["headers"]["content-length"] == "9"
    assert event["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert event["rawQueryString"] == "q=%C3%A4+x&q=2&empty"
    assert event["queryStringParameters"] == {"q": "ä x,2", "empty": ""}
    assert (event["body"], event["isBase64Encoded"]) == ('{"ä": 1}', False)
    assert event["requestContext"]["domainName"] == "127.0.0.1"
    assert event["requestContext"]["stage"] == "$default"
    assert "authorizer" not in event["requestContext"]
    assert not {"pathParameters", "stageVariables"} & set(event)


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_is_no_text_is_base64(tmp_path: Path, content_type: str) -> None:
    async with running(tmp_path) as stack:
        await stack.client.post("/public", headers={"Content-Type": content_type}, content=b"\xff\x00")

    event = stack.events[0][1]
    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (b"\xff\x00", True)


@pytest.mark.parametrize(("path", "raw_path"), [("/public/a%20b", "/public/a b"), ("/public/a%3Fb", "/public/a")])
async def test_raw_path_is_decoded_and_ends_at_a_question_mark(tmp_path: Path, path: str, raw_path: str) -> None:
    async with running(tmp_path) as stack:
        await stack.client.get(path)

    assert stack.events[0][1]["rawPath"] == raw_path


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Hello", (200, "application/json", b"Hello")),
        ({"message": "hi"}, (200, "application/json", b'{"message": "hi"}')),
        ([1], (200, "application/json", b"[1]")),
        ({"statusCode": 201}, (201, "text/plain; charset=utf-8", b"")),
        ({"statusCode": "404", "headers": {"content-type": "a/b"}, "body": "ä"}, (404, "a/b", "ä".encode())),
        ({"statusCode": 200, "body": "/wA=", "isBase64Encoded": True}, (200, "text/plain; charset=utf-8", b"\xff\x00")),
    ],
)
def test_what_a_function_returns_as_a_response(answer: Any, expected: tuple[int, str, bytes]) -> None:
    response = interpret(json.dumps(answer).encode())

    types = [value for name, value in response.headers if name.lower() == "content-type"]
    assert (response.status, *types, response.body) == expected


def test_cookies_are_set_and_framing_headers_are_not_the_functions_to_choose() -> None:
    headers = {"Content-Length": "99", "Transfer-Encoding": "chunked", "X-A": 1, "X-B": True}

    response = interpret(json.dumps({"statusCode": 200, "headers": headers, "cookies": ["a=1", "b=2"]}).encode())

    assert response.headers == [
        ("X-A", "1"),
        ("X-B", "true"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": 99},
        {"statusCode": "OK"},
        {"statusCode": None},
        {"statusCode": True},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": "###", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a b": "c"}},
        {"statusCode": 200, "headers": {"a": "b\r\nSet-Cookie: c"}},
        {"statusCode": 200, "headers": {"a": {"b": "c"}}},
        {"statusCode": 200, "cookies": ["a\nb"]},
    ],
)
def test_what_is_no_response(answer: Any) -> None:
    with pytest.raises(MalformedAnswerError):
        interpret(json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ({"statusCode": "x"}, 500, "Internal Server Error"),
        (
            Response(200, [("X-Amz-Function-Error", "Unhandled")], b'{"errorMessage": "x"}'),
            500,
            "Internal Server Error",
        ),
        (Response(404, [], b"{}"), 500, "Internal Server Error"),
        (Response(429, [], b"{}"), 503, "Service Unavailable"),
        (Response(200, [], b'"' + b"x" * (6 * 1024 * 1024) + b'"'), 500, "Internal Server Error"),
    ],
)
async def test_a_function_that_fails(tmp_path: Path, answer: Any, status: int, message: str) -> None:
    async with running(tmp_path, functions={FUNCTION_ARN: lambda _: answer}) as stack:
        got = await stack.client.get("/public")

    assert (got.status_code, got.json()) == (status, {"message": message})


async def test_an_event_beyond_lambdas_6_mb_is_413(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        got = await stack.client.post("/public", content=b"x" * 5_000_000)

    assert (got.status_code, stack.events) == (413, [])


# ---- throttling, CORS, the access log ------------------------------------------------------------------------------


async def test_a_route_beyond_its_limit_is_429_and_others_are_not(tmp_path: Path) -> None:
    settings = {"GET /slurm/{version}/jobs": {"ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": 2}}
    async with running(tmp_path, stage_properties=stage(RouteSettings=settings)) as stack:
        answers = [await stack.client.get(JOBS, headers=WHO) for _ in range(3)]
        other = await stack.client.get("/slurm/v0.0.42/job/1", headers=WHO)

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json() == {"message": "Too Many Requests"}
    assert other.status_code == 200


async def test_the_stages_default_limit_counts_for_each_route(tmp_path: Path) -> None:
    limits = {"ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": 1}
    async with running(tmp_path, stage_properties=stage(DefaultRouteSettings=limits)) as stack:
        statuses = [(await stack.client.get(path)).status_code for path in ("/public", "/public", "/public/x")]

    assert statuses == [200, 429, 200]


def test_a_bucket_fills_at_its_rate_up_to_its_burst() -> None:
    now = [0.0]
    bucket = TokenBucket(Limits(rate=2, burst=3), clock=lambda: now[0])

    taken = []
    for now[0] in (0, 0, 0, 0, 0.4, 0.5, 100, 100, 100, 100):
        taken.append(bucket.take())

    assert taken == [True, True, True, False, False, True, True, True, True, False]


CORS = {
    "allowOrigins": ["https://console.example"],
    "allowMethods": ["GET"],
    "allowHeaders": ["x-slurm-user-token"],
    "exposeHeaders": ["apigw-requestid"],
    "maxAge": 60,
}


async def test_cors_answers_preflights_and_replaces_the_integrations_headers(tmp_path: Path) -> None:
    upstream = Response(200, [("Access-Control-Allow-Origin", "*")], b"")
    body = openapi_body(**{"x-amazon-apigateway-cors": CORS})
    origin = {"Origin": "https://console.example"}
    async with running(tmp_path, body=body, load_balancer=lambda _: upstream) as stack:
        preflight = await stack.client.options(JOBS, headers=origin | {"Access-Control-Request-Method": "GET"})
        ours = await stack.client.get(JOBS, headers=WHO | origin)
        foreign = await stack.client.get(JOBS, headers=WHO | {"Origin": "https://evil.example"})

    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "x-slurm-user-token"
    assert preflight.headers["access-control-max-age"] == "60"
    assert ours.headers.get_list("access-control-allow-origin") == ["https://console.example"]
    assert ours.headers["access-control-expose-headers"] == "apigw-requestid"
    assert "access-control-allow-origin" not in foreign.headers


async def test_without_cors_an_options_request_is_one_like_any_other(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        answer = await stack.client.options("/token", headers={"Origin": "x", "Access-Control-Request-Method": "POST"})

    assert answer.status_code == 404


async def test_the_access_log_tells_who_and_what_and_no_token(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        answers = [
            await stack.client.get(JOBS + "?token=secret-query", headers=WHO),
            await stack.client.get(JOBS, headers={**WHO, "X-SLURM-USER-TOKEN": "secret-header"}),
            await stack.client.get("/no%22way%0A", headers={"Authorization": "secret-authorization"}),
        ]
        log = stack.log()

    assert [line["status"] for line in log] == ["200", "403", "404"]
    assert [line["user"] for line in log] == ["verified", "-", "-"]
    assert [line["routeKey"] for line in log] == ["GET /slurm/{version}/jobs"] * 2 + ["-"]
    assert [line["requestId"] for line in log] == [answer.headers["apigw-requestid"] for answer in answers]
    assert log[2]["path"] == '/no"way\n'
    assert "secret" not in stack.log_file.read_text()


async def test_a_private_route_may_be_public(tmp_path: Path) -> None:
    body = openapi_body(
        paths={
            "/open": {"get": operation(private_integration())},
            "/f": {"get": operation(function_integration(timeoutInMillis=1000))},
        }
    )
    async with running(tmp_path, body=body) as stack:
        answer = await stack.client.get("/open", headers={"X-SLURM-USER-NAME": "root"})

    assert answer.status_code == 200
    assert stack.seen[0].header("x-slurm-user-name") is None
