"""What a client asks of POST /token: the body, and which kind of answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from . import json_body
from .problem import Problem
from .users import is_name

_FIELDS = ("user", "lifespan")
_ADVICE = 'The body is empty, or JSON such as {"user": "alice", "lifespan": 900}.'


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The user and the lifespan in seconds that are asked for; None leaves it to the rule."""

    user: str | None = None
    lifespan: int | None = None


def parse(body: bytes) -> TokenRequest:
    """Take a request's body; return what it asks for. An empty body asks for nothing.

    Raises Problem: 413 if it is too long, 400 if it is not JSON, 422 if it asks for what does not exist.
    """
    if not body.strip():
        return TokenRequest()
    asked = json_body.read(body, advice=_ADVICE)
    if not isinstance(asked, dict):
        raise _invalid('the body should be a JSON object such as {"user": "alice", "lifespan": 900}')
    for field in asked:
        if field not in _FIELDS:
            raise _invalid(f"there is no field {field!r}; there are {' and '.join(_FIELDS)}", body, field)
    user, lifespan = asked.get("user"), asked.get("lifespan")
    if "user" in asked and not is_name(user):
        raise _invalid("user should be the name of a Linux user", body, "user")
    if "lifespan" in asked and not (type(lifespan) is int and lifespan >= 1):
        raise _invalid("lifespan should be a whole number of seconds, 1 or more", body, "lifespan")
    return TokenRequest(user=user, lifespan=lifespan)


def not_json(what: str) -> Problem:
    """Return the 400 for a body that cannot be read."""
    return json_body.not_json(what, _ADVICE)


def wants_text(accept: str) -> bool:
    """Tell whether an Accept header would rather have text/plain than JSON."""
    quality = {"text/plain": _quality(accept, "text/plain"), "json": _quality(accept, "application/json")}
    return quality["text/plain"] > quality["json"]


def _quality(accept: str, media_type: str) -> float:
    """Return the weight (RFC 9110, 12.5.1) that the most specific matching range gives a media type."""
    ranges = (media_type, media_type.partition("/")[0] + "/*", "*/*")
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if match := re.fullmatch(r"q=([01](?:\.[0-9]{0,3})?)", parameter):
                weight = float(match[1])
        weights[name] = weight
    return next((weights[name] for name in ranges if name in weights), 0.0)


def _invalid(what: str, body: bytes = b"", field: str = "") -> Problem:
    at = body.find(json.dumps(field).encode()) if field else -1
    line = body.count(b"\n", 0, max(at, 0)) + 1
    where = f"line {line}: " if at >= 0 else ""
    return Problem(422, "body-not-valid", title="Body is not valid", detail=f"{where}{what}.")
