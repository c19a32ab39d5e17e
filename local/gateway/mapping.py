"""Parameter mapping: what an integration's ``requestParameters`` do to a request.

Source: developer guide, http-api-parameter-mapping.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus

from local.gateway.errors import ConfigurationError
from local.gateway.expressions import Expression, compile_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.gateway.exchange import Exchange
    from local.gateway.messages import Headers

_KEY = re.compile(r"(append|overwrite|remove):(header|querystring)\.(.+)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH_SAFE = "/!$&'()*+,;=:@-._~"

RESERVED_HEADERS = frozenset(
    {
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-location",
        "forwarded",
        "keep-alive",
        "origin",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "via",
    }
)
RESERVED_PREFIXES = ("access-control-", "apigw-", "x-amz-", "x-amzn-")
"""Headers that cannot be mapped. Source: the same page, "Reserved headers"."""


@dataclass(frozen=True)
class Mapped:
    """The header fields and the request target that the integration receives."""

    headers: Headers
    target: str


@dataclass(frozen=True)
class _Step:
    action: str
    location: str
    name: str
    value: Expression


@dataclass(frozen=True)
class ParameterMapping:
    """The steps of one integration, in the order of the body."""

    steps: tuple[_Step, ...] = ()

    def apply(self, exchange: Exchange, headers: Headers, target: str) -> Mapped:
        """Give the headers and the target as the integration is to receive them.

        A variable without a value makes ``overwrite`` remove what the client sent, so that nothing
        unverified can stand in the place of a missing value. (AWS does not document this case.)
        """
        path, question, query = target.partition("?")
        for step in self.steps:
            value = None if step.action == "remove" else step.value(exchange)
            if step.location == "header":
                headers = _map_header(headers, step, value)
            elif step.location == "querystring":
                query = _map_query(query, step, value)
                question = "?" if query else ""
            elif value is not None:
                path = quote("/" + value.removeprefix("/"), safe=_PATH_SAFE)
        return Mapped(headers, path + question + query)


def compile_mapping(parameters: Mapping[str, object], place: str) -> ParameterMapping:
    """Read a ``requestParameters`` object; raises ConfigurationError for reserved headers, unknown keys."""
    steps = [_compile_step(key, value, f"{place}.{key}") for key, value in parameters.items()]
    return ParameterMapping(tuple(steps))


def _compile_step(key: str, value: object, place: str) -> _Step:
    if not isinstance(value, str):
        raise ConfigurationError(place, "the value must be a string")
    if key == "overwrite:path":
        return _Step("overwrite", "path", "", compile_value(value, place))
    match = _KEY.fullmatch(key)
    if match is None:
        raise ConfigurationError(
            place,
            "known keys: overwrite:path; append:, overwrite: or remove: with header.NAME or querystring.NAME",
        )
    action, location, name = match.groups()
    if location == "header":
        _check_header_name(name, place)
    if action == "remove":
        if value not in ("", "''"):
            raise ConfigurationError(place, "remove takes no value; write ''")
        return _Step(action, location, name, lambda _: None)
    return _Step(action, location, name, compile_value(value, place))


def _check_header_name(name: str, place: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ConfigurationError(place, f"{name!r} is no header name")
    if name.lower() in RESERVED_HEADERS or name.lower().startswith(RESERVED_PREFIXES):
        raise ConfigurationError(place, f"the header {name} is reserved by API Gateway and cannot be mapped")


def _map_header(headers: Headers, step: _Step, value: str | None) -> Headers:
    kept = headers
    if step.action != "append":
        kept = [(key, old) for key, old in headers if key.lower() != step.name.lower()]
    return kept if value is None else [*kept, (step.name, value)]


def _map_query(query: str, step: _Step, value: str | None) -> str:
    pairs = query.split("&") if query else []
    if step.action != "append":
        # Query string names are case-sensitive; pairs that are not meant keep their bytes.
        pairs = [pair for pair in pairs if unquote_plus(pair.partition("=")[0]) != step.name]
    if value is not None:
        pairs.append(f"{quote(step.name, safe='')}={quote(value, safe='')}")
    return "&".join(pairs)
