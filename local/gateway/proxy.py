"""HTTP_PROXY through the VPC link: the request as the load balancer receives it, and its answer.

Sources: developer guide, http-api-develop-integrations-private; api-gateway-known-issues, "Important notes
for HTTP APIs" (X-Forwarded-* becomes Forwarded, with by, for, host and proto added).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.gateway.errors import GatewayError
from local.gateway.messages import Request, Response, combined, end_to_end, without
from local.gateway.server import BODY_LIMIT
from local.gateway.tracing import HEADER, trace_id
from local.gateway.upstream import Upstream, UpstreamError, UpstreamTimeoutError, UpstreamTooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.gateway.exchange import Exchange
    from local.gateway.integrations import PrivateIntegration

VIA = "HTTP/1.1 AmazonAPIGateway"

_REWRITTEN = frozenset(
    {
        "content-length",
        "expect",
        "forwarded",
        "host",
        "via",
        "x-amzn-trace-id",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
    }
)
_ANSWERED_ANEW = frozenset({"content-length", "date", "apigw-requestid"})


async def forward(
    exchange: Exchange, integration: PrivateIntegration, upstreams: Mapping[str, Upstream], address: str
) -> Response:
    """Send a request on to the listener and give its answer.

    Takes the pools by base URL and the gateway's own address, which goes into Forwarded. Path and query
    pass byte for byte unless they are mapped. Raises GatewayError 503 where the listener does not answer
    properly, 504 where it does not in time, 500 where it answers more than 10 MB.
    """
    request = exchange.request
    headers = without(end_to_end(request.headers), _REWRITTEN)
    mapped = integration.mapping.apply(exchange, headers, request.target)
    method = request.method if integration.method == "ANY" else integration.method
    # Host goes through as the client sent it: a listener's ARN names no host. (AWS does not document it.)
    outgoing = [("Host", combined(mapped.headers, "host") or request.header("host") or "")]
    outgoing += without(mapped.headers, frozenset({"host"}))
    outgoing += [
        ("Forwarded", forwarded(request, address)),
        ("Via", _via(request)),
        (HEADER, trace_id(request)),
    ]
    if request.body or method in ("POST", "PUT", "PATCH"):
        outgoing.append(("Content-Length", str(len(request.body))))
    try:
        answer = await upstreams[integration.base_url].send(
            method, mapped.target, outgoing, request.body, seconds=integration.timeout, limit=BODY_LIMIT
        )
    except UpstreamTimeoutError as exc:
        exchange.integration_error = str(exc)
        raise GatewayError(504, str(exc)) from exc
    except UpstreamTooLargeError as exc:
        exchange.integration_error = str(exc)
        raise GatewayError(500, str(exc)) from exc
    except UpstreamError as exc:
        exchange.integration_error = str(exc)
        raise GatewayError(503, str(exc)) from exc
    exchange.integration_status = answer.status
    return Response(answer.status, without(end_to_end(answer.headers), _ANSWERED_ANEW), answer.body)


def forwarded(request: Request, address: str) -> str:
    """Give the Forwarded header: what the client's headers said, then this hop (RFC 7239)."""
    elements = [request.header("forwarded") or ""]
    claimed = [part.strip() for part in (request.header("x-forwarded-for") or "").split(",")]
    elements += [f"for={_quoted(part)}" for part in claimed if part]
    host = request.header("host") or ""
    elements.append(f"by={address};for={request.client};host={_quoted(host)};proto=http")
    return ", ".join(filter(None, elements))


def _via(request: Request) -> str:
    return ", ".join(filter(None, [request.header("via"), VIA]))


def _quoted(value: str) -> str:
    if all(character.isalnum() or character in "!#$%&'*+-.^_`|~" for character in value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
