from __future__ import annotations

import copy
from typing import Any

import pytest
from gateway_stack import LISTENER, function_authorizer, openapi_body, private_integration, stage

from local.gateway.authorizers import FunctionAuthorizer, IamAuthorizer
from local.gateway.definition import read_definition
from local.gateway.errors import ConfigurationError
from local.gateway.integrations import PrivateIntegration
from local.gateway.stage import read_stage
from local.gateway.throttle import Limits

LISTENERS = {LISTENER: "http://127.0.0.1:1"}
INTEGRATION = "x-amazon-apigateway-integration"
AUTHORIZER = "x-amazon-apigateway-authorizer"


def changed(path: str, value: Any) -> dict[str, Any]:
    """Give the body with one member set; the path's steps are separated by blanks."""
    body = copy.deepcopy(openapi_body())
    *steps, last = path.split(" ")
    part = body
    for step in steps:
        part = part.setdefault(step, {})
    part[last] = value
    return body


def test_the_routes_of_a_body() -> None:
    routes = {route.key: route for route in read_definition(openapi_body(), LISTENERS).routes.routes}

    assert sorted(routes) == [
        "ANY /public",
        "ANY /slurm/{version}/{proxy+}",
        "GET /public/{name}",
        "GET /slurm/{version}/jobs",
        "POST /token",
    ]
    assert isinstance(routes["POST /token"].authorizer, IamAuthorizer)
    edge = routes["GET /slurm/{version}/jobs"].authorizer
    assert isinstance(edge, FunctionAuthorizer)
    assert (edge.ttl, len(edge.identity_sources)) == (30, 3)


def test_integrations_may_be_shared_components() -> None:
    body = changed(
        f"paths /public/{{name}} get {INTEGRATION}", {"$ref": "#/components/x-amazon-apigateway-integrations/R"}
    )
    body["components"]["x-amazon-apigateway-integrations"] = {"R": private_integration(timeoutInMillis=500)}

    match = read_definition(body, LISTENERS).routes.match("GET", "/public/x")

    assert match is not None
    assert isinstance(match.route.integration, PrivateIntegration)
    assert match.route.integration.timeout == 0.5


SLURM = f"paths /slurm/{{version}}/jobs get {INTEGRATION}"
TOKEN = f"paths /token post {INTEGRATION}"
EDGE = f"components securitySchemes Edge {AUTHORIZER}"


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("x-amazon-apigateway-policy", {}, r"body.x-amazon-apigateway-policy: .*unknown"),
        ("security", [], r"body.security: .*unknown"),
        ("openapi", "3.1.0", r"body.openapi: .*3.0 only"),
        ("paths /a post", {"responses": {}}, r"paths./a.post: no x-amazon-apigateway-integration"),
        ("paths /a trace", {}, r"paths./a.trace: .*unknown"),
        ("paths /token post x-amazon-apigateway-request-validator", "all", r"paths./token.post.x-amazon.*unknown"),
        ("paths /token post responses", {"200": {"x-amazon-apigateway-thing": 1}}, r"paths./token.post.responses.200"),
        ("paths /token post security", [{"Nobody": []}], r"paths./token.post.security: no components"),
        ("paths /token post security", [{"AwsIam": []}, {"Edge": []}], r"paths./token.post.security: .*one authorizer"),
        ("paths /token post security", [{"AwsIam": ["scope"]}], r"AwsIam: scopes belong"),
        (f"{TOKEN} credentials", "arn", r"paths./token.post.x-amazon-apigateway-integration.credentials: .*unknown"),
        (f"{TOKEN} payloadFormatVersion", "1.0", r"payloadFormatVersion: 2.0 is the only one"),
        (f"{TOKEN} uri", {"Fn::Sub": "arn:${A}"}, r"paths./token.post.*uri: unresolved intrinsic Fn::Sub"),
        (f"{TOKEN} uri", "arn:aws:lambda:x", r"uri: .*no Lambda invocation URI"),
        (f"{TOKEN} type", "MOCK", r"type: unknown integration type 'MOCK'"),
        (f"{TOKEN} timeoutInMillis", 31000, r"timeoutInMillis: it must be 50 to 30000"),
        (SLURM, {"$ref": "#/components/other"}, r"\$ref: #/components/other is not in"),
        (f"{SLURM} connectionType", "INTERNET", r"VPC_LINK"),
        (f"{SLURM} uri", "arn:aws:elasticloadbalancing:other", r"uri: .*no known listener \(known: arn:aws:elastic"),
        (f"{SLURM} tlsConfig", {"serverNameToVerify": "x"}, r"integration: .*plain HTTP"),
        (f"{SLURM} responseParameters", {}, r"responseParameters: .*unknown"),
        (f"{SLURM} requestParameters", {"overwrite:header.Host2": "$context.x"}, r"overwrite:header.Host2: .*variable"),
        (f"{EDGE} type", "token", r"type: unknown authorizer type 'token'"),
        (f"{EDGE} identityValidationExpression", ".*", r"identityValidationExpression: .*unknown"),
        (f"{EDGE} enableSimpleResponses", False, r"enableSimpleResponses: simple responses"),
        (f"{EDGE} authorizerPayloadFormatVersion", "1.0", r"authorizerPayloadFormatVersion: 2.0"),
        (f"{EDGE} authorizerResultTtlInSeconds", 3601, r"authorizerResultTtlInSeconds: it must be 0 to 3600"),
        (f"{EDGE} identitySource", "", r"caching needs an identity source"),
        (f"{EDGE} identitySource", "method.request.header.A", r"identitySource: .*no selection expression"),
        ("components securitySchemes AwsIam x-amazon-apigateway-authtype", "custom", r"AwsIam: neither"),
        ("components securitySchemes Unused", {"type": "apiKey"}, r"securitySchemes.Unused: neither"),
        ("x-amazon-apigateway-cors", {"allowEverything": True}, r"cors.allowEverything: unknown"),
    ],
)
def test_what_the_gateway_does_not_know_stops_it_and_is_named(path: str, value: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read_definition(changed(path, value), LISTENERS)


def test_a_ttl_without_a_value_means_no_cache() -> None:
    declared = function_authorizer()
    del declared["authorizerResultTtlInSeconds"]

    route = read_definition(changed(EDGE, declared), LISTENERS).routes.match("GET", "/slurm/v/jobs")

    assert route is not None
    assert isinstance(route.route.authorizer, FunctionAuthorizer)
    assert route.route.authorizer.ttl == 0


def test_the_limits_of_a_stage() -> None:
    properties = stage(
        DefaultRouteSettings={"ThrottlingRateLimit": 50, "ThrottlingBurstLimit": 100, "DetailedMetricsEnabled": True},
        RouteSettings={"GET /a": {"ThrottlingRateLimit": 0.5}},
    )

    read = read_stage(properties, {"GET /a"})

    assert (read.default_limits, read.route_limits) == (Limits(50, 100), {"GET /a": Limits(0.5, 5000)})


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"StageName": "v1"}, r"stage.StageName: 'v1'"),
        ({"ClientCertificateId": "x"}, r"stage.ClientCertificateId: .*unknown"),
        ({"DefaultRouteSettings": {"LoggingLevel": "INFO"}}, r"stage.DefaultRouteSettings.LoggingLevel: .*unknown"),
        ({"RouteSettings": {"GET /nope": {}}}, r"stage.RouteSettings.GET /nope: the API has no such route"),
        ({"AccessLogSettings": {"Format": "$context.requestId $context.token"}}, r"Format: .*\$context.token"),
        ({"AccessLogSettings": {"Format": "$context.requestId $input"}}, r"Format: a \$ that begins no"),
        ({"AccessLogSettings": {"Format": "$context.path"}}, r"Format: API Gateway demands"),
    ],
)
def test_what_a_stage_cannot_have(properties: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read_stage(stage(**properties), {"GET /a"})
