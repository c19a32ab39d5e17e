"""The sample events of events/, with what a test puts in their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).parents[2] / "events"
ALICE = "arn:aws:iam::000000000000:user/alice"
MALLORY = "arn:aws:iam::000000000000:user/mallory"
REQUEST_ID = "JKJaXmPLvHcESHA="
AUTHORIZER_EVENTS = sorted(path.stem for path in EVENTS.glob("authorizer-*.json"))
TOKEN_EVENTS = sorted(path.stem for path in EVENTS.glob("token-*.json"))


def sample(name: str) -> dict[str, Any]:
    """Return the event in events/NAME.json."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def token_event(
    *,
    caller: str | None = ALICE,
    body: str | None = None,
    base64: bool = False,
    accept: str = "*/*",
) -> dict[str, Any]:
    event = sample("token-iam-user")
    if caller is None:
        del event["requestContext"]["authorizer"]
    else:
        event["requestContext"]["authorizer"]["iam"]["userArn"] = caller
    if body is not None:
        event |= {"body": body, "isBase64Encoded": base64}
    event["headers"]["accept"] = accept
    return event


def authorizer_event(
    *,
    token: str | None,
    user: str | None = "alice",
    route: str | None = None,
    name: str = "authorizer-slurm",
    **headers: str,
) -> dict[str, Any]:
    event = sample(name)
    given = {**event["headers"], "x-slurm-user-name": user, "x-slurm-user-token": token, **headers}
    event["headers"] = {header: value for header, value in given.items() if value is not None}
    if route is not None:
        event["routeKey"] = event["requestContext"]["routeKey"] = route
    return event
