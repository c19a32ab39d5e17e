"""Payload format 2.0: what Lambda functions and Lambda authorizers receive.

Source: developer guide, http-api-develop-integrations-lambda and http-api-lambda-authorizer.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from local.gateway.tracing import trace_id

if TYPE_CHECKING:
    from local.gateway.exchange import Exchange
    from local.gateway.messages import Request

_TEXT_TYPES = frozenset({"application/json", "application/javascript", "application/xml"})


def function_event(exchange: Exchange) -> dict[str, Any]:
    """Give the event of a Lambda proxy integration; members without a value are left out."""
    request = exchange.request
    event = {"version": "2.0", "routeKey": _route_key(exchange), **_common(exchange)}
    if exchange.authorizer:
        event["requestContext"]["authorizer"] = dict(exchange.authorizer)
    text = _text(request)
    if request.body:
        event["body"] = base64.b64encode(request.body).decode() if text is None else text
    event["isBase64Encoded"] = bool(request.body) and text is None
    return event


def authorizer_event(exchange: Exchange, identity_source: list[str]) -> dict[str, Any]:
    """Give the event of a Lambda authorizer; it never holds the body."""
    request = exchange.request
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": exchange.api.execution_arn(request.method, request.path),
        "identitySource": identity_source,
        "routeKey": _route_key(exchange),
        **_common(exchange),
    }


def _common(exchange: Exchange) -> dict[str, Any]:
    request = exchange.request
    common: dict[str, Any] = {
        "rawPath": _event_path(request),
        "rawQueryString": request.raw_query,
        "headers": _event_headers(exchange),
        "requestContext": _request_context(exchange),
    }
    optional: dict[str, Any] = {
        "cookies": _cookies(request),
        "queryStringParameters": request.query_parameters(),
        "pathParameters": dict(exchange.path_parameters),
        "stageVariables": dict(exchange.api.stage_variables),
    }
    return common | {name: value for name, value in optional.items() if value}


def _request_context(exchange: Exchange) -> dict[str, Any]:
    request = exchange.request
    return {
        "accountId": exchange.api.account,
        "apiId": exchange.api.api_id,
        "domainName": exchange.host,
        "domainPrefix": exchange.host.partition(".")[0],
        "http": {
            "method": request.method,
            "path": _event_path(request),
            "protocol": "HTTP/1.1",
            "sourceIp": request.client,
            "userAgent": request.header("user-agent") or "",
        },
        "requestId": exchange.request_id,
        "routeKey": _route_key(exchange),
        "stage": exchange.api.stage,
        "time": exchange.time_text,
        "timeEpoch": exchange.milliseconds,
    }


def _route_key(exchange: Exchange) -> str:
    return exchange.route.key if exchange.route else ""


def _event_path(request: Request) -> str:
    """Give rawPath, which is decoded in spite of its name and ends at a decoded question mark.

    Source: captures of live APIs, github.com/hotsock/voker/pull/8, quoted in
    middleapi/standard-server/pull/93.
    """
    return request.path.partition("?")[0]


def _event_headers(exchange: Exchange) -> dict[str, str]:
    """Give the headers: lower-case names, values joined by commas, cookies in a member of their own."""
    request = exchange.request
    values: dict[str, list[str]] = {}
    for name, value in request.headers:
        values.setdefault(name.lower(), []).append(value)
    for name in ("cookie", "connection", "transfer-encoding"):
        values.pop(name, None)
    headers = {name: ",".join(several) for name, several in values.items()}
    if request.body:
        headers["content-length"] = str(len(request.body))
    headers["x-amzn-trace-id"] = trace_id(request)
    headers["x-forwarded-for"] = ", ".join([*values.get("x-forwarded-for", []), request.client])
    headers["x-forwarded-port"] = (request.header("host") or "").rpartition(":")[2] or "80"
    headers["x-forwarded-proto"] = "http"
    return headers


def _cookies(request: Request) -> list[str]:
    cookies = [value for name, value in request.headers if name.lower() == "cookie"]
    return [cookie.strip() for header in cookies for cookie in header.split(";") if cookie.strip()]


def _text(request: Request) -> str | None:
    """Give the body as text, or None where it travels in base64.

    Text are the types text/*, JSON, JavaScript and XML; a form is base64. (Observed on live APIs, not
    documented.)
    """
    media_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if media_type not in _TEXT_TYPES and not media_type.startswith("text/"):
        return None
    try:
        return request.body.decode()
    except UnicodeDecodeError:
        return None
