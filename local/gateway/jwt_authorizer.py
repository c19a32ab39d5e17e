"""JWT authorizers.

Source: developer guide, http-api-jwt-authorizer and http-api-troubleshooting-jwt: RSA only; kid, iss, aud
or client_id, exp, nbf, iat and one of the route's scopes are checked; a refusal is 401 with a
WWW-Authenticate header that says why, a missing scope 403. Discovery and keys are fetched within 1500 ms
each (limits) and kept.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import jwt

from local.gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.gateway.authorizers import JwtAuthorizer
    from local.gateway.exchange import Exchange

ALGORITHMS = ("RS256", "RS384", "RS512")
FETCH_TIMEOUT = 1.5
KEYS_LIMIT = 150_000
KEYS_LIFETIME = 2 * 3600.0
"""Seconds; AWS documents two hours for the keys of an issuer."""

REFRESH_PAUSE = 10.0
"""Seconds between fetches because of an unknown kid, so that forged tokens drive none. Not documented."""


class _IssuerError(Exception):
    """The issuer's documents could not be had."""


@dataclass
class _Keys:
    fetched: float
    by_id: Mapping[str, jwt.PyJWK] = field(default_factory=dict)


class JwtCheck:
    """Checks requests to routes with a JWT authorizer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._keys: dict[str, _Keys] = {}
        self._client = httpx.AsyncClient(trust_env=False, timeout=FETCH_TIMEOUT, follow_redirects=False)

    async def close(self) -> None:
        """Close the connections to issuers."""
        await self._client.aclose()

    async def authorize(self, authorizer: JwtAuthorizer, exchange: Exchange) -> None:
        """Let a request pass, and note its claims; raises GatewayError 401 or 403."""
        given = authorizer.identity_source(exchange)
        if not given:
            raise GatewayError(401, "no token", (("WWW-Authenticate", "Bearer"),))
        token = given[7:] if given[:7].lower() == "bearer " else given
        try:
            claims = await self._claims(token, authorizer)
        except (jwt.PyJWTError, _IssuerError) as exc:
            exchange.authorizer_error = str(exc)
            raise _refusal(401, "invalid_token", str(exc), authorizer) from exc
        granted = _scopes(claims)
        if authorizer.scopes and not set(authorizer.scopes) & set(granted):
            raise _refusal(403, "insufficient_scope", "the token has no scope of the route", authorizer)
        texts = {name: _text(value) for name, value in claims.items()}
        exchange.authorizer = {"jwt": {"claims": texts, "scopes": list(authorizer.scopes) or None}}

    async def _claims(self, token: str, authorizer: JwtAuthorizer) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError("signing method is invalid")
        key = await self._key(str(header.get("kid", "")), authorizer.issuer)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[header["alg"]],
            issuer=authorizer.issuer,
            options={"verify_aud": False, "require": ["exp", "iss"]},
        )
        audience = claims.get("aud", claims.get("client_id"))
        audiences = audience if isinstance(audience, list) else [audience]
        if not set(audiences) & set(authorizer.audiences):
            raise jwt.InvalidAudienceError("the token does not have a valid audience")
        return claims

    async def _key(self, kid: str, issuer: str) -> jwt.PyJWK:
        keys = self._keys.get(issuer)
        age = self._clock() - keys.fetched if keys else KEYS_LIFETIME
        if keys is None or age >= KEYS_LIFETIME or (kid not in keys.by_id and age >= REFRESH_PAUSE):
            keys = self._keys[issuer] = await self._fetch(issuer)
        if kid not in keys.by_id:
            raise jwt.InvalidKeyError("kid not found in the issuer's keys")
        return keys.by_id[kid]

    async def _fetch(self, issuer: str) -> _Keys:
        discovery = await self._json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        published = await self._json(str(discovery.get("jwks_uri", "")))
        usable = [key for key in published.get("keys", []) if key.get("kty") == "RSA" and "kid" in key]
        return _Keys(self._clock(), {key["kid"]: jwt.PyJWK(key, algorithm=key.get("alg", "RS256")) for key in usable})

    async def _json(self, url: str) -> dict[str, Any]:
        try:
            response = await self._client.get(url)
            response.raise_for_status()
            document = response.json() if len(response.content) <= KEYS_LIMIT else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            raise _IssuerError("OIDC discovery endpoint communication error") from exc
        if not isinstance(document, dict):
            raise _IssuerError("OIDC discovery endpoint answer is no object, or too large")
        return document


def _refusal(status: int, error: str, description: str, authorizer: JwtAuthorizer) -> GatewayError:
    told = description.replace('"', "'")
    scope = " ".join(authorizer.scopes)
    value = f'Bearer scope="{scope}" error="{error}" error_description="{told}"'
    return GatewayError(status, description, (("WWW-Authenticate", value),))


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    value = claims.get("scope", claims.get("scp", ""))
    return [str(scope) for scope in value] if isinstance(value, list) else str(value).split()


def _text(value: object) -> str:
    """Give a claim as API Gateway passes it on: text, a list as ``[a b]``. (Observed on live APIs.)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{' '.join(_text(item) for item in value)}]"
    return str(value)
