"""The gateway: what happens to a request, in order."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.gateway.answer import MalformedAnswerError, interpret
from local.gateway.authorizers import Authorizer, FunctionAuthorizer, IamAuthorizer
from local.gateway.errors import GatewayError
from local.gateway.exchange import Api, Exchange
from local.gateway.integrations import FunctionIntegration, Integration, PrivateIntegration
from local.gateway.invocation import EventTooLargeError, Functions, InvocationError, ThrottledError
from local.gateway.payload import function_event
from local.gateway.proxy import forward
from local.gateway.upstream import Upstream, UpstreamError, UpstreamTimeoutError, UpstreamTooLargeError

if TYPE_CHECKING:
    from local.gateway.access_log import AccessLog
    from local.gateway.cors import Cors
    from local.gateway.function_authorizer import FunctionCheck
    from local.gateway.iam import IamCheck
    from local.gateway.jwt_authorizer import JwtCheck
    from local.gateway.messages import Request, Response
    from local.gateway.routing import RouteTable
    from local.gateway.throttle import Throttle


@dataclass(frozen=True)
class Checks:
    """What answers for each kind of authorizer."""

    iam: IamCheck
    function: FunctionCheck
    jwt: JwtCheck


class Gateway:
    """An HTTP API. ``handle`` answers a request, whatever happens, and writes its line in the access log."""

    def __init__(
        self,
        api: Api,
        routes: RouteTable,
        cors: Cors | None,
        throttle: Throttle,
        checks: Checks,
        functions: Functions,
        access_log: AccessLog | None,
        address: str,
    ) -> None:
        self._api = api
        self._routes = routes
        self._cors = cors
        self._throttle = throttle
        self._checks = checks
        self._functions = functions
        self._access_log = access_log
        self._address = address
        integrations = [route.integration for route in routes.routes]
        base_urls = {one.base_url for one in integrations if isinstance(one, PrivateIntegration)}
        self._upstreams = {base_url: Upstream(base_url) for base_url in base_urls}

    async def handle(self, request: Request) -> Response:
        """Answer a request."""
        exchange = Exchange(self._api, request)
        response = await self._with_cors(exchange)
        response.headers.append(("apigw-requestid", exchange.request_id))
        exchange.status = response.status
        exchange.response_length = len(response.body)
        exchange.response_latency = _milliseconds_since(exchange.started_monotonic)
        if self._access_log is not None:
            self._access_log.write(exchange)
        return response

    async def close(self) -> None:
        """Close all connections and the access log."""
        for upstream in self._upstreams.values():
            await upstream.close()
        await self._functions.close()
        await self._checks.jwt.close()
        if self._access_log is not None:
            self._access_log.close()

    async def _with_cors(self, exchange: Exchange) -> Response:
        if self._cors is None:
            return await self._answer_or_error(exchange)
        preflight = self._cors.preflight(exchange.request)
        if preflight is not None:
            return preflight
        response = await self._answer_or_error(exchange)
        self._cors.add_to(exchange.request, response)
        return response

    async def _answer_or_error(self, exchange: Exchange) -> Response:
        try:
            return await self._answer(exchange)
        except GatewayError as error:
            exchange.error = error.message
            return error.response()

    async def _answer(self, exchange: Exchange) -> Response:
        request = exchange.request
        match = self._routes.match(request.method, request.raw_path)
        if match is None:
            raise GatewayError(404)
        exchange.route = match.route
        exchange.path_parameters = match.path_parameters
        # Before the authorizer, so that refused callers are limited too. (AWS does not document the order.)
        if not self._throttle.admits(match.route.key):
            raise GatewayError(429)
        if match.route.authorizer is not None:
            await self._authorize(match.route.authorizer, exchange)
        return await self._integrate(match.route.integration, exchange)

    async def _authorize(self, authorizer: Authorizer, exchange: Exchange) -> None:
        if isinstance(authorizer, IamAuthorizer):
            await self._checks.iam.authorize(exchange)
        elif isinstance(authorizer, FunctionAuthorizer):
            await self._checks.function.authorize(authorizer, exchange)
        else:
            await self._checks.jwt.authorize(authorizer, exchange)

    async def _integrate(self, integration: Integration, exchange: Exchange) -> Response:
        begin = time.monotonic()
        try:
            if isinstance(integration, FunctionIntegration):
                return await self._invoke(integration, exchange)
            return await forward(exchange, integration, self._upstreams, self._address)
        finally:
            exchange.integration_latency = _milliseconds_since(begin)

    async def _invoke(self, integration: FunctionIntegration, exchange: Exchange) -> Response:
        """Invoke a function; its failure or malformed answer is 500 (http-api-troubleshooting-lambda)."""
        try:
            event = function_event(exchange)
            invoked = await self._functions.invoke(integration.function_arn, event, integration.timeout)
            exchange.integration_status = invoked.status
            exchange.integration_request_id = invoked.request_id
            response = interpret(invoked.payload)
        except _KNOWN_FAILURES as failure:
            exchange.integration_error = str(failure)
            raise GatewayError(_status_of(failure), str(failure)) from failure
        exchange.function_status = response.status
        return response


_KNOWN_FAILURES = (InvocationError, UpstreamError, MalformedAnswerError)


def _status_of(failure: Exception) -> int:
    statuses: tuple[tuple[type[Exception], int], ...] = (
        (EventTooLargeError, 413),
        (ThrottledError, 503),
        (UpstreamTimeoutError, 504),
        (UpstreamTooLargeError, 500),
        (UpstreamError, 503),
    )
    return next((status for kind, status in statuses if isinstance(failure, kind)), 500)


def _milliseconds_since(begin: float) -> int:
    return round((time.monotonic() - begin) * 1000)
