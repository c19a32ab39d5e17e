"""The gateway's own errors.

ConfigurationError    the template uses what this gateway does not know; raised at start only
GatewayError          a request ends here with one of API Gateway's own answers
"""

from __future__ import annotations

import json

from local.gateway.messages import Response

MESSAGES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Endpoint request timed out",
}


class ConfigurationError(Exception):
    """A part of the configuration is unknown, missing or contradictory; the message names its place."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")


class GatewayError(Exception):
    """A request that API Gateway answers itself.

    Takes the status, what the access log's ``$context.error.message`` tells beyond the client's message,
    and further response headers.
    """

    def __init__(self, status: int, detail: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail or MESSAGES[status])
        self.status = status
        self.headers = headers

    @property
    def message(self) -> str:
        """The message that the client reads."""
        return MESSAGES[self.status]

    def response(self) -> Response:
        """Give the answer in API Gateway's own form, ``{"message":"Not Found"}``.

        Source: developer guide, http-api-develop-routes and http-api-troubleshooting-jwt.
        """
        body = json.dumps({"message": self.message}, separators=(",", ":")).encode()
        return Response(self.status, [("Content-Type", "application/json"), *self.headers], body)
