"""Whether a Slurm token is good.

The order matters: the algorithm is pinned and the key id known before a signature is looked at, and the
signature is right before a claim is believed. Nothing a token names is ever fetched.
"""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64decode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jwt.api_jws import PyJWS
from jwt.exceptions import InvalidTokenError

from . import strict_json
from .errors import TokenRefusedError
from .tokens import ISSUER
from .users import is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

# API Gateway passes 10,240 bytes of headers; ours are about 700 bytes long.
_LONGEST = 8192
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_LOGGABLE_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_LATEST_TIME = 2**53  # beyond it JSON readers differ over an integer


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says.

    Its user, when it expires (Unix seconds), its id ("" if it has none that is safe to log), and whether it was given
    to somebody who may see the records of every user's jobs.
    """

    user: str
    expires_at: int
    token_id: str = ""
    sees_everyones_jobs: bool = False


class Verifier:
    """Verifies tokens against the keys that `public_keys` gives by kid (it may raise UnavailableError)."""

    def __init__(
        self,
        public_keys: Callable[[], Mapping[str, RSAPublicKey]],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._public_keys = public_keys
        self._jws = PyJWS(algorithms=["RS256"])
        self._now = now

    def verify(self, token: str) -> Claims:
        """Return the claims of a token that one of our keys signed; TokenRefusedError otherwise."""
        header, payload = _parts(token)
        kid = header.get("kid")
        safe_kid = kid if isinstance(kid, str) and _LOGGABLE_ID.fullmatch(kid) else None
        try:
            _check_header(header, algorithm="RS256")
            if not isinstance(kid, str):
                raise TokenRefusedError("key-not-named")
            public_key = self._public_keys().get(kid)
            if public_key is None:
                raise TokenRefusedError("key-unknown")
            try:
                self._jws.decode_complete(token, public_key, algorithms=["RS256"])
            except InvalidTokenError as exc:
                raise TokenRefusedError("signature-wrong") from exc
            # What else our key may come to sign is no token for Slurm, and one for another audience is none for us.
            if payload.get("iss") != ISSUER or "aud" in payload:
                raise TokenRefusedError("issuer-or-audience-foreign")
            claims = _checked_claims(payload, required=("iat", "exp", "sun"), now=self._now())
            # Only here: what the head node signs has no claims but Slurm's, whatever it holds.
            return replace(claims, sees_everyones_jobs=payload.get("sees_everyones_jobs") is True)
        except TokenRefusedError as exc:
            exc.kid = safe_kid
            exc.user = exc.user or _claimed_user(payload)
            raise

    def read_head_node_token(self, token: str) -> Claims:
        """Return the claims of an HS256 token, whose signature only Slurm can verify.

        Everything else about it is checked as for our own; TokenRefusedError if it is not good.
        """
        header, payload = _parts(token)
        try:
            _check_header(header, algorithm="HS256")
            # An id that nobody verified is none: it would stand in logs for the token whose id it really is.
            return replace(_checked_claims(payload, required=("exp", "sun"), now=self._now()), token_id="")
        except TokenRefusedError as exc:
            exc.user = exc.user or _claimed_user(payload)
            raise


def algorithm_of(token: str) -> object:
    """Return what a token names as its algorithm, to choose a way of refusal, never a way of verifying."""
    header, _ = _parts(token)
    return header.get("alg")


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if len(token) > _LONGEST:
        raise TokenRefusedError("too-long")
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise TokenRefusedError("malformed")
    return _json_object(match[1]), _json_object(match[2])


def _json_object(segment: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except ValueError as exc:
        raise TokenRefusedError("malformed") from exc
    if not isinstance(value, dict):
        raise TokenRefusedError("malformed")
    return value


def _check_header(header: dict[str, Any], *, algorithm: str) -> None:
    if header.get("alg") != algorithm:
        raise TokenRefusedError("algorithm-not-allowed")
    # Both change what a signature covers or means; Slurm's reader knows neither.
    if "crit" in header or "b64" in header:
        raise TokenRefusedError("header-extension")


def _checked_claims(claims: dict[str, Any], *, required: tuple[str, ...], now: float) -> Claims:
    for name in required:
        if name not in claims:
            raise TokenRefusedError(f"{name}-missing")
    for name in ("iat", "exp", "nbf"):
        # `type`, not isinstance: True is an int, and 1e9 is a float Slurm reads otherwise.
        if name in claims and not (type(claims[name]) is int and 0 <= claims[name] <= _LATEST_TIME):
            raise TokenRefusedError(f"{name}-not-a-time")
    if claims["exp"] <= now:
        raise TokenRefusedError("expired")
    if claims.get("nbf", 0) > now:
        raise TokenRefusedError("not-yet-valid")
    if not is_name(claims["sun"]):
        raise TokenRefusedError("sun-not-a-user-name")
    token_id = claims.get("jti")
    if not (isinstance(token_id, str) and _LOGGABLE_ID.fullmatch(token_id)):
        token_id = ""
    return Claims(user=claims["sun"], expires_at=claims["exp"], token_id=token_id)


def _claimed_user(claims: dict[str, Any]) -> str | None:
    user = claims.get("sun")
    return user if isinstance(user, str) and is_name(user) else None
