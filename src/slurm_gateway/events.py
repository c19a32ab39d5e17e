"""What API Gateway's events (payload format 2.0) say, as plain values."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping


def headers(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers by lower-case name; one sent twice has its values joined by a comma."""
    result: dict[str, str] = {}
    for name, value in (event.get("headers") or {}).items():
        key = name.lower()
        # API Gateway gives lower-case names; elsewhere "A" and "a" may both come.
        result[key] = f"{result[key]},{value}" if key in result else value
    return result


def body(event: Mapping[str, Any]) -> bytes:
    """Return the body's bytes; ValueError if it claims to be base64 and is not."""
    text = event.get("body") or ""
    return b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()


def route_path(event: Mapping[str, Any]) -> str:
    """Return the path of the event's route, as the API declares it, or "" if it has none."""
    _, _, path = str(event.get("routeKey", "")).partition(" ")
    return path


def path_parameter(event: Mapping[str, Any], name: str) -> str:
    """Return what stands in the path for a variable of the route, decoded, or "" if the route has none of that name."""
    return str((event.get("pathParameters") or {}).get(name, ""))


def query(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the query's names and values in the order they were sent, one sent twice twice."""
    return parse_qsl(str(event.get("rawQueryString") or ""), keep_blank_values=True, max_num_fields=200)


def request_id(event: Mapping[str, Any]) -> str:
    """Return API Gateway's id of the request, or "" if the event has none."""
    return str(event.get("requestContext", {}).get("requestId", ""))


def origin(event: Mapping[str, Any]) -> dict[str, str]:
    """Return what a log line says of where a request came from: its id and source IP address."""
    http = event.get("requestContext", {}).get("http", {})
    return {"request_id": request_id(event), "source_ip": str(http.get("sourceIp", ""))}


def oidc_claims(event: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the claims of the ID token that API Gateway's JWT authorizer verified, or None."""
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    claims = (authorizer.get("jwt") or {}).get("claims")
    return {str(name): str(value) for name, value in claims.items()} if isinstance(claims, dict) else None


def iam_caller(event: Mapping[str, Any]) -> str | None:
    """Return the ARN of the caller whose SigV4 signature API Gateway verified, or None."""
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    arn = (authorizer.get("iam") or {}).get("userArn")
    return arn if isinstance(arn, str) else None
