"""A small API behind the real gateway: real sockets, a real upstream, functions that answer in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx

from local.gateway.config import Config, build_gateway
from local.gateway.messages import Request, Response
from local.gateway.server import Server

LISTENER = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/lb/1/2"
AUTHORIZER_ARN = "arn:aws:lambda:us-east-1:000000000000:function:authorizer"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:000000000000:function:api"
LOG_FORMAT = (
    '{"requestId":"$context.requestId","routeKey":"$context.routeKey","path":"$context.path",'
    '"status":"$context.status","user":"$context.authorizer.user","principal":"$context.identity.userArn",'
    '"error":"$context.error.message","integrationError":"$context.integration.error"}'
)


def invocation_uri(arn: str) -> str:
    return f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"


def function_integration(**more: Any) -> dict[str, Any]:
    return {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": invocation_uri(FUNCTION_ARN),
        "payloadFormatVersion": "2.0",
        **more,
    }


def private_integration(**more: Any) -> dict[str, Any]:
    return {
        "type": "http_proxy",
        "httpMethod": "ANY",
        "uri": LISTENER,
        "connectionType": "VPC_LINK",
        "connectionId": "link",
        "payloadFormatVersion": "1.0",
        "requestParameters": {"overwrite:header.X-SLURM-USER-NAME": "$context.authorizer.user"},
        **more,
    }


def function_authorizer(**more: Any) -> dict[str, Any]:
    return {
        "type": "request",
        "identitySource": "$request.header.X-SLURM-USER-NAME, $request.header.X-SLURM-USER-TOKEN, $context.routeKey",
        "authorizerUri": invocation_uri(AUTHORIZER_ARN),
        "authorizerPayloadFormatVersion": "2.0",
        "authorizerResultTtlInSeconds": 30,
        "enableSimpleResponses": True,
        **more,
    }


def operation(integration: dict[str, Any], *, security: str | None = None, scopes: tuple[str, ...] = ()) -> Any:
    declared: dict[str, Any] = {"x-amazon-apigateway-integration": integration}
    if security:
        declared["security"] = [{security: list(scopes)}]
    return declared


def openapi_body(**changes: Any) -> dict[str, Any]:
    """The body as SAM translates it: an IAM route, a public one, two behind the Lambda authorizer."""
    edge = {"type": "apiKey", "in": "header", "name": "X-SLURM-USER-TOKEN"}
    body: dict[str, Any] = {
        "openapi": "3.0.1",
        "info": {"title": "test", "version": "1"},
        "paths": {
            "/token": {"post": operation(function_integration(), security="AwsIam")},
            "/public": {"x-amazon-apigateway-any-method": operation(function_integration())},
            "/public/{name}": {"get": operation(function_integration())},
            "/slurm/{version}/jobs": {"get": operation(private_integration(), security="Edge")},
            "/slurm/{version}/{proxy+}": {
                "x-amazon-apigateway-any-method": operation(private_integration(), security="Edge")
            },
        },
        "components": {
            "securitySchemes": {
                "AwsIam": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                },
                "Edge": {**edge, "x-amazon-apigateway-authorizer": function_authorizer()},
            }
        },
        "tags": [{"name": "httpapi:createdBy", "x-amazon-apigateway-tag-value": "SAM"}],
    }
    return body | changes


def stage(**changes: Any) -> dict[str, Any]:
    return {
        "StageName": "$default",
        "AutoDeploy": True,
        "AccessLogSettings": {"DestinationArn": "arn:aws:logs:...", "Format": LOG_FORMAT},
        **changes,
    }


@dataclass(frozen=True)
class FakeIdentity:
    arn: str = "arn:aws:iam::000000000000:user/alice"
    user_id: str = "AIDAALICE"
    account: str = "000000000000"
    secret: str = "alice-secret"
    token: str | None = None


@dataclass
class FakeRegistry:
    """Stands for IAM: identities by access key, and whether their policies allow."""

    identities: dict[str, FakeIdentity] = field(default_factory=lambda: {"AKIAALICE": FakeIdentity()})
    allowed: bool = True
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def secret_for(self, access_key_id: str, session_token: str | None) -> FakeIdentity | None:
        identity = self.identities.get(access_key_id)
        return identity if identity is not None and identity.token == session_token else None

    def is_allowed(self, identity: FakeIdentity, action: str, resource_arn: str) -> bool:
        self.asked.append((identity.arn, action, resource_arn))
        return self.allowed


@dataclass
class Stack:
    """A running gateway and what its surroundings saw."""

    port: int
    registry: FakeRegistry
    seen: list[Request]
    events: list[tuple[str, dict[str, Any]]]
    log_file: Any
    client: httpx.AsyncClient

    def log(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    async def raw(self, data: bytes) -> bytes:
        """Send bytes and read until the gateway closes; add ``Connection: close`` to what it would keep open."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await writer.drain()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


Function = Callable[[dict[str, Any]], Any]
Handler = Callable[[Request], Response]


@contextlib.asynccontextmanager
async def running(
    tmp_path: Any,
    *,
    body: dict[str, Any] | None = None,
    stage_properties: dict[str, Any] | None = None,
    functions: dict[str, Function] | None = None,
    load_balancer: Handler | None = None,
    load_balancer_port: int | None = None,
) -> AsyncIterator[Stack]:
    """Run a gateway with its surroundings; whatever is not given answers well."""
    seen: list[Request] = []
    events: list[tuple[str, dict[str, Any]]] = []
    answers: dict[str, Function] = {
        AUTHORIZER_ARN: lambda event: {
            "isAuthorized": event["headers"]["x-slurm-user-token"] == "good",
            "context": {"user": "verified"},
        },
        FUNCTION_ARN: lambda _: {"statusCode": 200, "body": "hello"},
    } | (functions or {})

    async def upstream(request: Request) -> Response:
        seen.append(request)
        if load_balancer is not None:
            return load_balancer(request)
        return Response(200, [("Content-Type", "application/json"), ("X-Upstream", "yes")], b'{"jobs": []}')

    async def emulator(request: Request) -> Response:
        arn = unquote(request.raw_path.split("/")[3])
        event = json.loads(request.body)
        events.append((arn, event))
        answer = answers[arn](event)
        if isinstance(answer, Response):
            return answer
        if asyncio.iscoroutine(answer):
            answer = await answer
        return Response(200, [("X-Amzn-RequestId", "lambda-id")], json.dumps(answer).encode())

    servers = [Server(upstream, "127.0.0.1", 0), Server(emulator, "127.0.0.1", 0)]
    upstream_port, emulator_port = [await server.start() for server in servers]
    log_file = tmp_path / "access.log"
    registry = FakeRegistry()
    gateway = build_gateway(
        Config(
            body=openapi_body() if body is None else body,
            stage=stage() if stage_properties is None else stage_properties,
            listeners={LISTENER: f"http://127.0.0.1:{load_balancer_port or upstream_port}"},
            endpoint=f"http://127.0.0.1:{emulator_port}",
            access_key_id="admin",
            secret_access_key="admin-secret",
            api_id="api123",
            region="us-east-1",
            account="000000000000",
            host="127.0.0.1",
            port=0,
            access_log=str(log_file),
        ),
        registry,
    )
    front = Server(gateway.handle, "127.0.0.1", 0)
    port = await front.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
        yield Stack(port, registry, seen, events, log_file, client)
    await front.stop()
    await gateway.close()
    for server in servers:
        await server.stop()
