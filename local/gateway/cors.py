"""CORS as API Gateway does it for HTTP APIs: configured in the body, or not at all.

Source: developer guide, http-api-cors and api-gateway-swagger-extensions-cors-configuration. A preflight
request is answered by API Gateway itself; to others the configured headers are added, and an integration's
own are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.gateway.errors import ConfigurationError
from local.gateway.messages import Headers, Request, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = {"allowOrigins", "allowCredentials", "exposeHeaders", "maxAge", "allowMethods", "allowHeaders"}
_PREFIX = "access-control-"


@dataclass(frozen=True)
class Cors:
    """The origins, methods and headers that browsers may use."""

    allow_origins: tuple[str, ...]
    allow_methods: tuple[str, ...]
    allow_headers: tuple[str, ...]
    expose_headers: tuple[str, ...]
    allow_credentials: bool
    max_age: int | None

    def preflight(self, request: Request) -> Response | None:
        """Give the answer to a preflight request, or None if the request is none."""
        if request.method != "OPTIONS" or request.header("access-control-request-method") is None:
            return None
        headers = self._origin_headers(request)
        if headers:
            for name, values in (
                ("allow-methods", self.allow_methods),
                ("allow-headers", self.allow_headers),
            ):
                if values:
                    headers.append((_PREFIX + name, ",".join(values)))
            if self.max_age is not None:
                headers.append((_PREFIX + "max-age", str(self.max_age)))
        return Response(204, headers)

    def add_to(self, request: Request, response: Response) -> None:
        """Replace the CORS headers of a response by the configured ones."""
        kept = [(name, value) for name, value in response.headers if not name.lower().startswith(_PREFIX)]
        headers = self._origin_headers(request)
        if headers and self.expose_headers:
            headers.append((_PREFIX + "expose-headers", ",".join(self.expose_headers)))
        response.headers = kept + headers

    def _origin_headers(self, request: Request) -> Headers:
        origin = request.header("origin")
        if origin is None or not self._allows(origin):
            return []
        headers = [(_PREFIX + "allow-origin", "*" if "*" in self.allow_origins else origin)]
        if self.allow_credentials:
            headers.append((_PREFIX + "allow-credentials", "true"))
        return headers

    def _allows(self, origin: str) -> bool:
        schemes = [allowed.removesuffix("*") for allowed in self.allow_origins if allowed.endswith("://*")]
        return "*" in self.allow_origins or origin in self.allow_origins or origin.startswith(tuple(schemes))


def compile_cors(declared: Mapping[str, Any], place: str) -> Cors:
    """Read a CORS object. Raises ConfigurationError for unknown keys."""
    for key in declared:
        if key not in _KEYS:
            raise ConfigurationError(f"{place}.{key}", "unknown key of a CORS configuration")
    return Cors(
        allow_origins=tuple(declared.get("allowOrigins", ())),
        allow_methods=tuple(declared.get("allowMethods", ())),
        allow_headers=tuple(declared.get("allowHeaders", ())),
        expose_headers=tuple(declared.get("exposeHeaders", ())),
        allow_credentials=bool(declared.get("allowCredentials", False)),
        max_age=declared.get("maxAge"),
    )
