"""Lambda authorizers with simple responses, and the cache of their answers.

Source: developer guide, http-api-lambda-authorizer. A missing identity source is 401 without an invocation;
a refusal 403; an authorizer that fails, takes more than 10 s or answers in another form 500. Whatever it
answered, allow or deny, is valid for all requests with the same identity source values until it expires.

How many requests of the same values ask while there is no answer yet, AWS does not say: there each has a machine of its
own. Here they share one, so one asks and the others wait for its answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from local.gateway.errors import GatewayError
from local.gateway.invocation import Functions, InvocationError
from local.gateway.payload import authorizer_event
from local.gateway.upstream import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.gateway.authorizers import FunctionAuthorizer
    from local.gateway.exchange import Exchange

TIMEOUT = 10.0
"""Seconds. Source: developer guide, limits, "Timeout for Lambda authorizer response"."""

CACHE_SIZE = 10_000
"""Answers that are kept; the oldest goes first. Not documented by AWS."""


Key = tuple[str, tuple[str, ...]]
"""An authorizer's name, and the values of its identity sources."""


@dataclass(frozen=True)
class Verdict:
    """What an authorizer answered."""

    is_authorized: bool
    context: Mapping[str, Any]


class FunctionCheck:
    """Checks requests to routes with a Lambda authorizer."""

    def __init__(self, functions: Functions, clock: Callable[[], float] = time.monotonic) -> None:
        self._functions = functions
        self._clock = clock
        self._cache: OrderedDict[Key, tuple[float, Verdict]] = OrderedDict()
        self._asking: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def authorize(self, authorizer: FunctionAuthorizer, exchange: Exchange) -> None:
        """Let a request pass, and note the authorizer's context; raises GatewayError 401, 403 or 500."""
        values = [source(exchange) for source in authorizer.identity_sources]
        present = tuple(value for value in values if value)
        if len(present) != len(values):
            raise GatewayError(401, "an identity source is missing")
        verdict = await self._verdict(authorizer, present, exchange)
        if not verdict.is_authorized:
            raise GatewayError(403, "the authorizer refused")
        exchange.authorizer = {"lambda": dict(verdict.context)}

    async def _verdict(self, authorizer: FunctionAuthorizer, values: tuple[str, ...], exchange: Exchange) -> Verdict:
        if not authorizer.ttl:
            return await self._ask(authorizer, values, exchange)
        key = (authorizer.name, values)
        if (verdict := self._cached(key)) is not None:
            return verdict
        async with self._asking.setdefault(key, asyncio.Lock()):
            if (verdict := self._cached(key)) is not None:
                return verdict
            verdict = await self._ask(authorizer, values, exchange)
            self._cache.pop(key, None)
            self._cache[key] = (self._clock() + authorizer.ttl, verdict)
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
            return verdict

    def _cached(self, key: Key) -> Verdict | None:
        until, verdict = self._cache.get(key, (0.0, None))
        return verdict if until > self._clock() else None

    async def _ask(self, authorizer: FunctionAuthorizer, values: tuple[str, ...], exchange: Exchange) -> Verdict:
        event = authorizer_event(exchange, list(values))
        try:
            answer = await self._functions.invoke(authorizer.function_arn, event, TIMEOUT)
            return _read(answer.payload)
        except (InvocationError, UpstreamError) as exc:
            exchange.authorizer_error = str(exc)
            raise GatewayError(500, str(exc)) from exc


def _read(payload: bytes) -> Verdict:
    try:
        answer = json.loads(payload)
    except ValueError as exc:
        raise InvocationError("the authorizer returned no JSON") from exc
    if not isinstance(answer, dict) or not isinstance(answer.get("isAuthorized"), bool):
        raise InvocationError("the authorizer returned no boolean isAuthorized")
    context = answer.get("context") or {}
    if not isinstance(context, dict):
        raise InvocationError("the authorizer returned a context that is no object")
    return Verdict(answer["isAuthorized"], context)
