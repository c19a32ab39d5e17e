"""Which route a request means.

Source: developer guide, http-api-develop-routes, "Routing API requests": a full match of path and method
first, then a greedy path variable, then ``$default``. A method comes before ANY on the same path, and ANY
takes the methods that the path does not define.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from local.gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.gateway.authorizers import Authorizer
    from local.gateway.integrations import Integration

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
"""Source: developer guide, http-api-logging-variables, $context.httpMethod."""

ANY = "ANY"
DEFAULT = "$default"

_VARIABLE = re.compile(r"\{([A-Za-z0-9._:-]+)(\+?)\}")


@dataclass(frozen=True)
class Route:
    """A method and a path template, who may, and where it leads."""

    method: str
    path: str
    integration: Integration
    authorizer: Authorizer | None = None

    @property
    def key(self) -> str:
        """The route key, such as ``GET /pets/{id}`` or ``$default``."""
        return DEFAULT if self.path == DEFAULT else f"{self.method} {self.path}"


@dataclass(frozen=True)
class Match:
    """A route and the decoded values of its path variables."""

    route: Route
    path_parameters: dict[str, str]


@dataclass(frozen=True)
class _Template:
    names: tuple[str | None, ...]
    literals: tuple[str, ...]
    greedy: bool

    @property
    def specificity(self) -> tuple[int, ...]:
        last = len(self.names) - 1
        kinds = [0 if name is None else 2 if self.greedy and i == last else 1 for i, name in enumerate(self.names)]
        return (int(self.greedy), *kinds)

    def match(self, segments: list[str], raw: list[str]) -> dict[str, str] | None:
        fixed = len(self.names) - self.greedy
        if len(segments) < fixed or (len(segments) != fixed) != self.greedy:
            return None
        values: dict[str, str] = {}
        for name, literal, segment in zip(self.names[:fixed], self.literals, segments, strict=False):
            if name is None and literal != segment:
                return None
            if name is not None:
                if not segment:
                    return None
                values[name] = segment
        if self.greedy:
            rest = unquote("/".join(raw[fixed:]), errors="replace")
            if not rest and not fixed:
                return None
            values[self.names[-1] or ""] = rest
        return values


class RouteTable:
    """The routes of an API in the order in which they are tried. Raises ConfigurationError for a bad path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._default: Route | None = None
        by_path: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            if route.path == DEFAULT:
                self._default = route
            else:
                by_path.setdefault(route.path, {})[route.method] = route
        templates = [(_template(path), methods) for path, methods in by_path.items()]
        self._templates = sorted(templates, key=lambda pair: pair[0].specificity)

    def match(self, method: str, raw_path: str) -> Match | None:
        """Give the route of a method and an undecoded path, or None.

        The path is split at its slashes before it is decoded: an encoded slash never makes another route. A
        trailing slash is part of the path, and a greedy variable takes the nothing behind it (but for ``/``); another
        takes at least one character. (AWS documents none of this; ``/metrics/`` was seen to reach
        ``/metrics/{proxy+}``.)
        """
        if method not in METHODS:
            return None
        raw = raw_path.split("/")[1:]
        segments = [unquote(segment, errors="replace") for segment in raw] if "%" in raw_path else raw
        for template, methods in self._templates:
            route = methods.get(method) or methods.get(ANY)
            if route is not None:
                values = template.match(segments, raw)
                if values is not None:
                    return Match(route, values)
        return Match(self._default, {}) if self._default else None


def _template(path: str) -> _Template:
    if not path.startswith("/"):
        raise ConfigurationError(f"paths.{path}", "a path begins with a slash")
    if path != "/" and path.endswith("/"):
        # CreateRoute refuses such a key, and an import of the document drops it without a word.
        raise ConfigurationError(f"paths.{path}", "an HTTP API has no route that ends in a slash")
    names: list[str | None] = []
    literals: list[str] = []
    greedy = False
    segments = path[1:].split("/")
    for index, segment in enumerate(segments):
        variable = _VARIABLE.fullmatch(segment)
        if variable is None and ("{" in segment or "}" in segment):
            raise ConfigurationError(f"paths.{path}", "a path variable must be a whole segment")
        if variable is not None and variable[2]:
            greedy = True
            if index != len(segments) - 1:
                raise ConfigurationError(f"paths.{path}", "a greedy path variable must be the last segment")
        names.append(variable[1] if variable else None)
        literals.append("" if variable else segment)
    return _Template(tuple(names), tuple(literals), greedy)
