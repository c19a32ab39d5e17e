"""AWS services in trouble, on demand: throttled, refusing, or silent, for functions and the head node.

Whoever has an access key of their own, as the administrator and the test principals, notices nothing: faults are for
roles' sessions, which is what runs on AWS.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ministack.core import iam_actions

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPORARY = "ASIA"


@dataclass(frozen=True)
class Fault:
    """What a service answers: AWS's code with an HTTP status, after some seconds of silence."""

    code: str
    status: int = 400
    seconds: float = 0.0


_faults: dict[str, Fault] = {}


def put(service: str, code: str, status: int, seconds: float) -> None:
    """Let a service, such as "kms", answer with an error from now on; no code puts it right again."""
    if code:
        _faults[service] = Fault(code, status, seconds)
    else:
        _faults.pop(service, None)


async def answer(
    service: str, access_key_id: str, headers: Mapping[str, str]
) -> tuple[int, dict[str, Any], bytes] | None:
    """Give the answer of a service in trouble, in its own protocol; None where it is not, or not for this caller."""
    fault = _faults.get(service)
    if fault is None or not access_key_id.startswith(_TEMPORARY):
        return None
    await asyncio.sleep(fault.seconds)
    _, answered, body = iam_actions.access_denied_response(
        service, "", "", secrets.token_hex(16), error_code=fault.code, message="A fault on demand.", headers=headers
    )
    return fault.status, answered, body
