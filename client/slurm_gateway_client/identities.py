"""Who this side is, towards the gateway: ways to come by a Slurm token.

An identity has `cache_key`, all that decides whose token it gets, and `fetch`. Those that need more than requests
import it when they are used.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Protocol

from . import refusals
from .errors import AuthenticationError
from .tokens import Token
from .transport import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

    from .settings import Settings
    from .transport import Transport

    Sign = Callable[[Call], Mapping[str, str]]


class Identity(Protocol):
    """Somebody whom the gateway can know."""

    path: str
    cache_key: tuple[str, ...]

    def sign(self, call: Call) -> Mapping[str, str]:
        """Return the headers that prove it, for a request to the gateway. Raises AuthenticationError."""

    def advice(self) -> str:
        """Return what to do when the gateway does not take it."""


def choose(settings: Settings, transport: Transport, environ: Mapping[str, str]) -> Identity:
    """Return the identity that the settings ask for, or that the environment offers. Raises SettingsError."""
    method = settings.auth if settings.auth != "auto" else _offered(settings, environ)
    if method == "aws" or settings.role:
        from .aws_identity import AwsIdentity

        return AwsIdentity(settings, transport, environ)
    from .oidc_identity import OidcIdentity

    return OidcIdentity.of(method, settings, environ)


def _offered(settings: Settings, environ: Mapping[str, str]) -> str:
    """Return the way that the environment was set up for: a CI job's own identity, else AWS's credential chain."""
    if settings.role:
        return "aws"
    if settings.id_token:
        return "gitlab" if environ.get("GITLAB_CI") else "oidc"
    credentials = (
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    if environ.get("ACTIONS_ID_TOKEN_REQUEST_URL") and not any(environ.get(name) for name in credentials):
        return "github"
    return "aws"


def fetch(identity: Identity, settings: Settings, transport: Transport, patience: float | None = None) -> Token:
    """Return a new token from POST /token. Raises AuthenticationError, UnreachableError."""
    asked = {name: value for name, value in (("user", settings.user), ("lifespan", settings.lifespan)) if value}
    body = json.dumps(asked).encode() if asked else b""
    call = Call("POST", identity.path, body=body, headers={"Content-Type": "application/json"})
    answer = transport.send(call, identity.sign, patience=patience)
    if answer.status_code != 200:
        raise _no_token(answer, identity)
    try:
        given: dict[str, Any] = answer.json()
        # By this machine's clock, which may be off: it is only compared with itself.
        now = time.time()
        return Token(str(given["token"]), str(given["user"]), now + float(given["expires_in"]), now)
    except (ValueError, KeyError, TypeError) as exc:
        raise AuthenticationError(
            f"What answers at {transport.url}{identity.path} is no gateway.",
            means="It said 200, and sent no token.",
            todo="Check SLURM_GATEWAY_URL.",
        ) from exc


def _no_token(answer: requests.Response, identity: Identity) -> AuthenticationError:
    means = {
        "principal-not-mapped": "You are known, and the access document maps you to nobody on the cluster.",
        "user-not-allowed": "You are known, and may not be this user.",
        "lifespan-too-long": "The access document gives you shorter tokens.",
    }.get(refusals.kind(answer), "")
    if answer.status_code == 404:
        means = (
            "The gateway has no such way to a token: it is not switched on there, or the address is not a gateway's."
        )
    todo = identity.advice() if not means or answer.status_code == 404 else "Send this to whoever runs the cluster."
    return AuthenticationError(f"The gateway gives no token. {refusals.sentence(answer)}", means=means, todo=todo)
