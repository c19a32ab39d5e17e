"""Requests and responses as plain data: names and values as they came, in the order in which they came."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus

Headers = list[tuple[str, str]]

# RFC 9110, 7.6.1, and what it names as belonging to one connection only.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True)
class Request:
    """A request. Header values hold bytes 128 to 255 as latin-1 characters; the target is kept undecoded."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    client: str = "127.0.0.1"

    @property
    def raw_path(self) -> str:
        """The path as it was sent, with its percent-encoding."""
        return self.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        """The query as it was sent, without the question mark."""
        return self.target.partition("?")[2]

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return unquote(self.raw_path, errors="replace")

    def header(self, name: str) -> str | None:
        """Give a header's value, several joined by commas, or None. Names are case-insensitive.

        Source: developer guide, http-api-parameter-mapping, "Header value".
        """
        return combined(self.headers, name)

    def query_parameters(self) -> dict[str, str]:
        """Give the decoded query parameters, several values of one name joined by commas.

        Source: developer guide, http-api-develop-integrations-lambda, payload format 2.0.
        """
        values: dict[str, list[str]] = {}
        for pair in filter(None, self.raw_query.split("&")):
            name, _, value = pair.partition("=")
            values.setdefault(unquote_plus(name), []).append(unquote_plus(value))
        return {name: ",".join(several) for name, several in values.items()}


@dataclass
class Response:
    """A response; the server adds Content-Length, Date and Connection."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""


def combined(headers: Headers, name: str) -> str | None:
    """Give the values of one header joined by commas, or None where there is none."""
    lowered = name.lower()
    values = [value for key, value in headers if key.lower() == lowered]
    return ",".join(values) if values else None


def without(headers: Headers, names: frozenset[str]) -> Headers:
    """Give the headers whose lower-case name is not among ``names``."""
    return [(key, value) for key, value in headers if key.lower() not in names]


def end_to_end(headers: Headers) -> Headers:
    """Give the headers that a proxy passes on: no hop-by-hop ones, nor those that Connection names.

    Source: RFC 9110, 7.6.1. It must happen before parameters are mapped, so that a client cannot remove a
    mapped header by naming it in Connection.
    """
    connection = combined(headers, "connection") or ""
    return without(headers, HOP_BY_HOP | {option.strip().lower() for option in connection.split(",")})
