"""Slurm tokens: one that is good now, renewed before it runs out."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import AuthenticationError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .token_cache import TokenCache


@dataclass(frozen=True, slots=True)
class Token:
    """A Slurm token of `user`. `expires_at` and `made_at` are in Unix seconds by this machine's clock."""

    text: str
    user: str
    expires_at: float
    made_at: float

    def __repr__(self) -> str:
        """Return all but the token itself: it must be in no log."""
        return f"Token(user={self.user!r}, expires_at={self.expires_at:.0f})"

    def is_due(self, now: float) -> bool:
        """Tell whether it is time to renew: in the last fifth of its life, at most a minute before the end."""
        return now >= self.expires_at - min(60.0, (self.expires_at - self.made_at) / 5)

    def headers(self) -> dict[str, str]:
        """Return the two headers that Slurm and the gateway read."""
        return {"X-SLURM-USER-NAME": self.user, "X-SLURM-USER-TOKEN": self.text}


def given(text: str, now: float) -> Token:
    """Return a token that was given as text, read but not verified. Raises AuthenticationError."""
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
        return Token(text, str(claims["sun"]), float(claims["exp"]), float(claims.get("iat", now)))
    except (IndexError, KeyError, TypeError, ValueError) as exc:
        raise AuthenticationError(
            "SLURM_JWT holds no Slurm token.",
            means="A token is three parts with dots between them, with a user (sun) and an expiry (exp) in the second.",
            todo="Put one there as POST /token gives it, or unset SLURM_JWT to have one made for you.",
        ) from exc


class Tokens:
    """The token of one user.

    `fetch` gets a new one, and takes how many seconds to try, None for as long as a request is tried. It is None itself
    where the token was given and cannot be renewed.
    """

    def __init__(
        self,
        fetch: Callable[[float | None], Token] | None,
        *,
        start: Token | None = None,
        cache: TokenCache | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fetch = fetch
        self._cache = cache
        self._clock = clock
        self._token = start
        self._lock = threading.Lock()

    def current(self) -> Token:
        """Return a token that is good now. Raises AuthenticationError, UnreachableError."""
        with self._lock:
            now = self._clock()
            if self._token is None and self._cache is not None:
                self._token = self._cache.read()
            if self._token is None or (self._token.is_due(now) and self._fetch is not None):
                self._token = self._renewed(now)
            if self._token.expires_at <= now:
                raise _expired(self._token)
            return self._token

    def replace(self, refused: Token) -> Token:
        """Return another token than one that the gateway refused. Raises AuthenticationError where there is none."""
        with self._lock:
            if self._token is not None and self._token.text != refused.text:
                return self._token  # another thread was here
            if self._fetch is None:
                raise _refused(refused)
            self._token = self._fetched()
            return self._token

    def fresh(self) -> Token:
        """Return a new token, whatever there is already. Raises AuthenticationError."""
        with self._lock:
            self._token = self._renewed(None)
            return self._token

    def _renewed(self, now: float | None) -> Token:
        if now is None or self._token is None or self._token.expires_at <= now:
            return self._fetched()
        # It is renewed early: while the old one is good, trouble with the new one can wait.
        try:
            return self._fetched(min(self._token.expires_at - now, 5.0))
        except ClientError:
            return self._token

    def _fetched(self, patience: float | None = None) -> Token:
        if self._fetch is None:
            raise AuthenticationError("A token that was given cannot be renewed.", todo="Unset SLURM_JWT.")
        token = self._fetch(patience)
        if self._cache is not None:
            self._cache.write(token)
        return token


def _expired(token: Token) -> AuthenticationError:
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(token.expires_at))
    return AuthenticationError(
        f"The token in SLURM_JWT expired at {at}.",
        means="A token that was given is used as it is: this command cannot renew it. Jobs go on without it.",
        todo="Put a new one into SLURM_JWT, or unset it to have tokens made and renewed for you.",
    )


def _refused(token: Token) -> AuthenticationError:
    return AuthenticationError(
        f"The gateway refuses the token of {token.user} in SLURM_JWT.",
        means="It is not from this gateway, its signing key was dropped, or this user may not use it.",
        todo="Put a new one into SLURM_JWT, or unset it to have tokens made and renewed for you.",
    )
