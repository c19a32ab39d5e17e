"""The OpenAPI body of an ``AWS::ApiGatewayV2::Api``, read strictly.

Parts that HTTP APIs ignore (parameters, request bodies, responses) are ignored here too, as the developer
guide, http-api-open-api, says. Everything else is known by name or refused with its place in the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.gateway.cors import Cors, compile_cors
from local.gateway.errors import ConfigurationError
from local.gateway.integrations import LONGEST_TIMEOUT, FunctionIntegration, Integration, PrivateIntegration
from local.gateway.mapping import compile_mapping
from local.gateway.routing import ANY, DEFAULT, METHODS, Route, RouteTable
from local.gateway.schemes import function_arn, read_scheme
from local.gateway.strict import Json, ignored, only, refuse_intrinsics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.gateway.authorizers import Authorizer

ANY_METHOD = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"
INTEGRATIONS = "x-amazon-apigateway-integrations"
CORS = "x-amazon-apigateway-cors"
IMPORT_VERSION = "x-amazon-apigateway-importexport-version"
SHORTEST_TIMEOUT = 0.05

# What OpenAPI has and HTTP APIs ignore, by where it may stand.
_DOCUMENT_NOTES = frozenset({"info", "tags", "servers", "externalDocs"})
_COMPONENT_NOTES = frozenset({"schemas", "parameters", "responses", "requestBodies", "headers", "examples"})
_PATH_NOTES = frozenset({"summary", "description", "parameters", "servers"})
_OPERATION_NOTES = frozenset(
    {
        "summary",
        "description",
        "operationId",
        "tags",
        "parameters",
        "requestBody",
        "responses",
        "deprecated",
        "externalDocs",
    }
)
_DOCUMENT_KEYS = _DOCUMENT_NOTES | {"openapi", "paths", "components", CORS, IMPORT_VERSION}
_COMPONENT_KEYS = _COMPONENT_NOTES | {"securitySchemes", INTEGRATIONS}
_OPERATION_KEYS = _OPERATION_NOTES | {"security", "isDefaultRoute", INTEGRATION}
_FUNCTION_KEYS = frozenset({"type", "httpMethod", "uri", "payloadFormatVersion", "timeoutInMillis"})
_PRIVATE_KEYS = _FUNCTION_KEYS | {"connectionType", "connectionId", "requestParameters", "tlsConfig"}
_BY_NAME = {method.lower(): method for method in METHODS}


@dataclass(frozen=True)
class Definition:
    """The routes and the CORS configuration of an API."""

    routes: RouteTable
    cors: Cors | None


def read_definition(body: Json, listeners: Mapping[str, str]) -> Definition:
    """Read a body whose intrinsics are resolved.

    Takes the body and the base URL of each load balancer listener by its ARN. Raises ConfigurationError
    with the place of the first thing that is unknown, unresolved or contradictory.
    """
    refuse_intrinsics(body, "body")
    only(body, _DOCUMENT_KEYS, "body")
    ignored(body, _DOCUMENT_NOTES, "body")
    if not str(body.get("openapi", "")).startswith("3.0"):
        raise ConfigurationError("body.openapi", "HTTP APIs take OpenAPI 3.0 only")
    components = body.get("components", {})
    only(components, _COMPONENT_KEYS, "components")
    ignored(components, _COMPONENT_NOTES, "components")
    reader = _Reader(components, listeners)
    reader.check_schemes()
    paths = body.get("paths", {})
    routes = [route for path, item in paths.items() for route in reader.routes(path, item)]
    if not routes:
        raise ConfigurationError("body.paths", "the API has no route")
    cors = compile_cors(body[CORS], CORS) if CORS in body else None
    return Definition(RouteTable(routes), cors)


class _Reader:
    def __init__(self, components: Json, listeners: Mapping[str, str]) -> None:
        self._schemes: Json = components.get("securitySchemes", {})
        self._shared: Json = components.get(INTEGRATIONS, {})
        self._listeners = listeners

    def check_schemes(self) -> None:
        for name in self._schemes:
            self._scheme(name, ())

    def routes(self, path: str, item: Json) -> Iterator[Route]:
        place = f"paths.{path}"
        only(item, {*_BY_NAME, ANY_METHOD, *_PATH_NOTES}, place)
        ignored(item, _PATH_NOTES, place)
        for key, operation in item.items():
            if key == ANY_METHOD or key in _BY_NAME:
                yield self._route(_BY_NAME.get(key, ANY), path, operation, f"{place}.{key}")

    def _route(self, method: str, path: str, operation: Json, place: str) -> Route:
        if path == f"/{DEFAULT}":
            path = DEFAULT
            if method != ANY:
                raise ConfigurationError(place, f"{DEFAULT} is declared by {ANY_METHOD}")
        only(operation, _OPERATION_KEYS, place)
        ignored(operation, _OPERATION_NOTES, place)
        if operation.get("isDefaultRoute", path == DEFAULT) != (path == DEFAULT):
            raise ConfigurationError(f"{place}.isDefaultRoute", f"it contradicts the path {path}")
        if INTEGRATION not in operation:
            raise ConfigurationError(place, f"no {INTEGRATION}: the route would lead nowhere")
        return Route(
            method=method,
            path=path,
            integration=self._integration(operation[INTEGRATION], f"{place}.{INTEGRATION}"),
            authorizer=self._security(operation.get("security", []), f"{place}.security"),
        )

    def _security(self, security: list[Json], place: str) -> Authorizer | None:
        if not security:
            return None
        if len(security) != 1 or len(security[0]) != 1:
            raise ConfigurationError(place, "an operation has one authorizer at most")
        name, scopes = next(iter(security[0].items()))
        if name not in self._schemes:
            raise ConfigurationError(place, f"no components.securitySchemes.{name}")
        return self._scheme(name, tuple(scopes))

    def _scheme(self, name: str, scopes: tuple[str, ...]) -> Authorizer:
        return read_scheme(name, self._schemes[name], scopes, f"components.securitySchemes.{name}")

    def _integration(self, declared: Json, place: str) -> Integration:
        if "$ref" in declared:
            only(declared, {"$ref"}, place)
            prefix = f"#/components/{INTEGRATIONS}/"
            name = str(declared["$ref"]).removeprefix(prefix)
            if not declared["$ref"].startswith(prefix) or name not in self._shared:
                raise ConfigurationError(f"{place}.$ref", f"{declared['$ref']} is not in components.{INTEGRATIONS}")
            declared = self._shared[name]
            place = f"components.{INTEGRATIONS}.{name}"
        kind = str(declared.get("type", "")).upper()
        if kind == "AWS_PROXY":
            return _function_integration(declared, place)
        if kind == "HTTP_PROXY":
            return self._private_integration(declared, place)
        raise ConfigurationError(
            f"{place}.type",
            f"unknown integration type {declared.get('type')!r}; known: AWS_PROXY, HTTP_PROXY",
        )

    def _private_integration(self, declared: Json, place: str) -> PrivateIntegration:
        only(
            declared,
            {
                "type",
                "httpMethod",
                "uri",
                "connectionType",
                "connectionId",
                "payloadFormatVersion",
                "timeoutInMillis",
                "requestParameters",
                "tlsConfig",
            },
            place,
        )
        _payload_format(declared, "1.0", place)
        if declared.get("connectionType") != "VPC_LINK" or not declared.get("connectionId"):
            raise ConfigurationError(place, "HTTP_PROXY needs connectionType VPC_LINK and a connectionId here")
        listener = str(declared.get("uri"))
        if listener not in self._listeners:
            known = ", ".join(self._listeners) or "none"
            raise ConfigurationError(f"{place}.uri", f"{listener!r} is no known listener (known: {known})")
        method = declared.get("httpMethod")
        if method != ANY and method not in METHODS:
            raise ConfigurationError(f"{place}.httpMethod", f"unknown method {method!r}")
        base_url = self._listeners[listener].rstrip("/")
        if not base_url.startswith("http://") or "tlsConfig" in declared:
            # The certificate of a load balancer on AWS has no counterpart on one machine.
            raise ConfigurationError(place, "the local gateway speaks plain HTTP to a listener, without tlsConfig")
        parameters = declared.get("requestParameters", {})
        return PrivateIntegration(
            listener_arn=listener,
            base_url=base_url,
            mapping=compile_mapping(parameters, f"{place}.requestParameters"),
            method=method,
            timeout=_timeout(declared, place),
        )


def _function_integration(declared: Json, place: str) -> FunctionIntegration:
    only(declared, _FUNCTION_KEYS, place)
    _payload_format(declared, "2.0", place)
    if declared.get("httpMethod", "POST") != "POST":
        raise ConfigurationError(f"{place}.httpMethod", "a Lambda function is invoked by POST")
    return FunctionIntegration(function_arn(declared.get("uri"), f"{place}.uri"), _timeout(declared, place))


def _timeout(declared: Json, place: str) -> float:
    seconds = float(declared.get("timeoutInMillis", LONGEST_TIMEOUT * 1000)) / 1000
    if not SHORTEST_TIMEOUT <= seconds <= LONGEST_TIMEOUT:
        raise ConfigurationError(f"{place}.timeoutInMillis", "it must be 50 to 30000")
    return seconds


def _payload_format(declared: Json, version: str, place: str) -> None:
    if str(declared.get("payloadFormatVersion")) != version:
        raise ConfigurationError(f"{place}.payloadFormatVersion", f"{version} is the only one known here")
