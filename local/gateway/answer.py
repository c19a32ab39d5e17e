"""What a Lambda function returned, as an HTTP response.

Source: developer guide, http-api-develop-integrations-lambda, "Lambda function response for format 2.0".
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from local.gateway.messages import HOP_BY_HOP, Headers, Response

_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN = HOP_BY_HOP | {"content-length", "date", "apigw-requestid"}


class MalformedAnswerError(Exception):
    """The function returned what is no response; the client reads 500 Internal Server Error."""


def interpret(payload: bytes) -> Response:
    """Read what a function returned.

    An object with a statusCode is a response. Any other JSON is the body of a 200 with content-type
    application/json, a string without its quotes. Raises MalformedAnswerError.
    """
    try:
        answer = json.loads(payload)
    except ValueError as exc:
        raise MalformedAnswerError("the function returned no JSON") from exc
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = answer.encode() if isinstance(answer, str) else payload
        return Response(200, [("Content-Type", "application/json")], body)
    headers = _headers(answer.get("headers"))
    if not any(name.lower() == "content-type" for name, _ in headers):
        # Observed on live APIs, not documented.
        headers.append(("Content-Type", "text/plain; charset=utf-8"))
    for cookie in answer.get("cookies") or []:
        headers.append(("Set-Cookie", _checked("cookies", cookie)))
    return Response(_status(answer["statusCode"]), headers, _body(answer))


def _status(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[2-5]\d\d", text):
        raise MalformedAnswerError(f"statusCode {text!r} is no status")
    return int(text)


def _headers(declared: Any) -> Headers:  # noqa: ANN401 - it is JSON
    if declared is None:
        return []
    if not isinstance(declared, dict):
        raise MalformedAnswerError("headers is no object")
    for name in declared:
        if not _NAME.fullmatch(name):
            raise MalformedAnswerError("a header's name is malformed")
    return [(name, _checked(name, value)) for name, value in declared.items() if name.lower() not in _OWN]


def _checked(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if not isinstance(value, str | int | float) or not _VALUE.fullmatch(text):
        raise MalformedAnswerError(f"the value of {name} is malformed")
    return text.encode().decode("latin-1")


def _body(answer: dict[str, Any]) -> bytes:
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedAnswerError("body is no string")
    if answer.get("isBase64Encoded") is not True:
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as exc:
        raise MalformedAnswerError("body is no base64") from exc
