"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPE = "urn:slurm-gateway:problem:"


class Problem(GatewayError):  # noqa: N818 - RFC 9457's own word
    """An HTTP answer other than success.

    `kind` is a fixed word that makes the problem's type; `title` says the same to a reader, and `detail` what
    happened this time and what to do about it. `retry_after` is in seconds. `members` are further members of the
    document (RFC 9457, 3.2), such as Slurm's own words or a script's line.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        *,
        title: str,
        detail: str,
        retry_after: int | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        self.members = dict(members or {})

    def response(self, request_id: str) -> dict[str, Any]:
        """Return API Gateway's response for this problem in the request with this id."""
        headers = {"content-type": "application/problem+json", "cache-control": "no-store"}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        document = {
            "type": _TYPE + self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": request_id,
            **self.members,
        }
        return {"statusCode": self.status, "headers": headers, "body": json.dumps(document)}


def unavailable(detail: str) -> Problem:
    """Return the 503 for what may work in a few seconds."""
    return Problem(
        503,
        "unavailable",
        title="Not available now",
        detail=f"{detail}. Try again in a few seconds; if it lasts, an operator finds the cause in this "
        "function's log.",
        retry_after=5,
    )


def unexpected() -> Problem:
    """Return the 500 for what nobody foresaw; its traceback is in the log."""
    return Problem(
        500,
        "unexpected",
        title="Unexpected error",
        detail="This is a fault of the gateway. Report it with this answer's `instance`: by that an operator "
        "finds it in this function's log.",
    )
