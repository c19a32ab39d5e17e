"""The security schemes of an OpenAPI body: who may use a route.

Source: developer guide, api-gateway-swagger-extensions-authorizer and
api-gateway-swagger-extensions-authtype.
"""

from __future__ import annotations

import re

from local.gateway.authorizers import Authorizer, FunctionAuthorizer, IamAuthorizer, JwtAuthorizer
from local.gateway.errors import ConfigurationError
from local.gateway.expressions import Expression, compile_selection
from local.gateway.strict import Json, only

AUTHORIZER = "x-amazon-apigateway-authorizer"
AUTHTYPE = "x-amazon-apigateway-authtype"
LONGEST_TTL = 3600.0

_SCHEME_KEYS = frozenset({"type", "name", "in", "description", "openIdConnectUrl", "flows", AUTHTYPE, AUTHORIZER})
_FUNCTION_KEYS = frozenset(
    {
        "type",
        "authorizerUri",
        "authorizerPayloadFormatVersion",
        "authorizerResultTtlInSeconds",
        "enableSimpleResponses",
        "identitySource",
    }
)
_FUNCTION_URI = re.compile(
    r"arn:[\w-]+:apigateway:[\w-]+:lambda:path/2015-03-31/functions/(arn:[\w-]+:lambda:[\w:$-]+)/invocations"
)


def read_scheme(name: str, scheme: Json, scopes: tuple[str, ...], place: str) -> Authorizer:
    """Read one of components.securitySchemes as a route uses it, with the scopes that the route demands."""
    only(scheme, _SCHEME_KEYS, place)
    if AUTHORIZER not in scheme:
        if scheme.get(AUTHTYPE) != "awsSigv4":
            raise ConfigurationError(place, f"neither {AUTHTYPE}: awsSigv4 nor {AUTHORIZER}")
        _no_scopes(scopes, place)
        return IamAuthorizer()
    declared: Json = scheme[AUTHORIZER]
    place = f"{place}.{AUTHORIZER}"
    kind = declared.get("type")
    if kind == "request":
        _no_scopes(scopes, place)
        return _function_authorizer(name, declared, place)
    if kind == "jwt":
        return _jwt_authorizer(name, declared, scheme, scopes, place)
    raise ConfigurationError(f"{place}.type", f"unknown authorizer type {kind!r}; known: request, jwt")


def function_arn(uri: object, place: str) -> str:
    """Give the function's ARN out of a Lambda invocation URI."""
    match = _FUNCTION_URI.fullmatch(str(uri))
    if match is None:
        raise ConfigurationError(place, f"{uri!r} is no Lambda invocation URI")
    return match[1]


def _function_authorizer(name: str, declared: Json, place: str) -> FunctionAuthorizer:
    only(
        declared,
        {
            "type",
            "authorizerUri",
            "authorizerPayloadFormatVersion",
            "authorizerResultTtlInSeconds",
            "enableSimpleResponses",
            "identitySource",
        },
        place,
    )
    if str(declared.get("authorizerPayloadFormatVersion")) != "2.0":
        raise ConfigurationError(f"{place}.authorizerPayloadFormatVersion", "2.0 is the only one known here")
    if declared.get("enableSimpleResponses") is not True:
        raise ConfigurationError(f"{place}.enableSimpleResponses", "simple responses are the only ones known here")
    sources = [text.strip() for text in str(declared.get("identitySource", "")).split(",") if text.strip()]
    # 0 unless said otherwise; at most an hour (API reference, AuthorizerResultTtlInSeconds).
    ttl = float(declared.get("authorizerResultTtlInSeconds", 0))
    if not 0 <= ttl <= LONGEST_TTL:
        raise ConfigurationError(f"{place}.authorizerResultTtlInSeconds", "it must be 0 to 3600")
    if ttl and not sources:
        raise ConfigurationError(
            place, "caching needs an identity source (developer guide, http-api-lambda-authorizer)"
        )
    return FunctionAuthorizer(
        name=name,
        function_arn=function_arn(declared.get("authorizerUri"), f"{place}.authorizerUri"),
        identity_sources=tuple(_identity_source(text, f"{place}.identitySource") for text in sources),
        ttl=ttl,
    )


def _identity_source(text: str, place: str) -> Expression:
    if text.startswith("$request.path"):
        raise ConfigurationError(place, f"{text}: a path is no identity source; use $context.routeKey")
    return compile_selection(text, place)


def _jwt_authorizer(name: str, declared: Json, scheme: Json, scopes: tuple[str, ...], place: str) -> JwtAuthorizer:
    only(declared, {"type", "jwtConfiguration", "identitySource"}, place)
    configuration: Json = declared.get("jwtConfiguration", {})
    only(configuration, {"issuer", "audience"}, f"{place}.jwtConfiguration")
    discovery = str(scheme.get("openIdConnectUrl", "")).removesuffix("/.well-known/openid-configuration")
    issuer = configuration.get("issuer") or discovery
    if not issuer:
        raise ConfigurationError(f"{place}.jwtConfiguration.issuer", "missing")
    audience = configuration.get("audience", [])
    audiences = tuple([audience] if isinstance(audience, str) else audience)
    if not audiences:
        raise ConfigurationError(f"{place}.jwtConfiguration.audience", "missing")
    source = str(declared.get("identitySource", ""))
    return JwtAuthorizer(name, issuer, audiences, compile_selection(source, f"{place}.identitySource"), scopes)


def _no_scopes(scopes: tuple[str, ...], place: str) -> None:
    if scopes:
        raise ConfigurationError(place, "scopes belong to JWT authorizers only")
