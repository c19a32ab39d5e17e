"""What a request's head must look like before anything is done with it.

API Gateway documents the limit of 10,240 bytes and little else about raw requests. Whatever two HTTP
parsers may read in two ways is refused here with 400, so that a request means one thing to the authorizer,
the load balancer and slurmrestd. Each rule says what it guards against.
"""

from __future__ import annotations

import re

from local.gateway.errors import GatewayError

HEAD_LIMIT = 10_240
"""Bytes of request line and headers. Source: developer guide, limits, HTTP API quotas."""

END_OF_HEAD = b"\r\n\r\n"

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")
_DOT_SEGMENT = re.compile(rb"/(\.|%2e){1,2}(?=/|\Z)", re.IGNORECASE)


def check_unfinished(data: bytes) -> None:
    """Refuse a head that is not complete yet but already wrong, or too large.

    A bare line feed would never end the head: without this, its sender would wait for nothing.
    """
    if _BARE_LINE_FEED.search(data):
        raise GatewayError(400, "bare CR or LF")
    if len(data) > HEAD_LIMIT:
        raise GatewayError(431, f"request line and headers exceed {HEAD_LIMIT} bytes")


def check_head(head: bytes) -> None:
    """Refuse a complete head (without its empty line) that is malformed or ambiguous.

    Raises GatewayError 400 or 431.
    """
    check_unfinished(head)
    request_line, *lines = head.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        raise GatewayError(400, "malformed request line")
    _check_target(match[2])
    counts: dict[bytes, int] = {}
    for line in lines:
        # A folded line, a space before the colon, a NUL or another control character does not match.
        field = _FIELD.fullmatch(line)
        if field is None:
            raise GatewayError(400, "malformed header field")
        name = field[1].lower()
        counts[name] = counts.get(name, 0) + 1
        if name == b"transfer-encoding" and field[2].strip().lower() != b"chunked":
            raise GatewayError(400, "unknown transfer coding")
        if name == b"content-length" and not _LENGTH.fullmatch(field[2].strip()):
            raise GatewayError(400, "malformed message length")
    _check_framing(counts, http_1_0=match[3] == b"0")


def _check_target(target: bytes) -> None:
    """Allow the origin form only: the absolute form would name a second host (RFC 9112, 3.2)."""
    path = target.partition(b"?")[0]
    if not path.startswith(b"/") or b"#" in target or b"\\" in path:
        raise GatewayError(400, "the request target is no absolute path")
    if _BAD_ESCAPE.search(path):
        raise GatewayError(400, "malformed percent-encoding")
    if _DOT_SEGMENT.search(path):
        # Whether API Gateway removes dot segments is not documented; either way another route would be meant.
        raise GatewayError(400, "dot segment")


def _check_framing(counts: dict[bytes, int], *, http_1_0: bool) -> None:
    """Refuse what request smuggling is made of: two lengths, a length and chunks, two hosts or none."""
    if counts.get(b"host", 0) != 1:
        raise GatewayError(400, "one Host header is needed")
    if counts.get(b"content-length", 0) + counts.get(b"transfer-encoding", 0) > 1:
        raise GatewayError(400, "more than one message length")
    if http_1_0 and b"transfer-encoding" in counts:
        raise GatewayError(400, "HTTP/1.0 has no transfer coding")
