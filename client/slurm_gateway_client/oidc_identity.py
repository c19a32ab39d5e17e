"""A CI job as itself: its forge's OIDC token, for POST /token/oidc/{issuer}. No secret is stored anywhere.

GitHub gives one to whom asks at ACTIONS_ID_TOKEN_REQUEST_URL (permission id-token: write); GitLab puts one into a
variable that the job names (id_tokens). Sources: GitHub's "OpenID Connect reference", GitLab's "OpenID Connect ID
tokens".
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import requests

from . import backoff
from .errors import AuthenticationError, SettingsError
from .transport import as_it_is

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .settings import Settings
    from .transport import Call

_TIMEOUT = (10.0, 20.0)
_TRIES = 4
_GITHUB_TODO = "Give the workflow's job `permissions: {id-token: write, contents: read}`."
_GITLAB_TODO = (
    "Give the job `id_tokens: {SLURM_GATEWAY_ID_TOKEN: {aud: ...}}`, with the audience that the gateway expects."
)


class OidcIdentity:
    """A CI job. `id_token` gets its OIDC token."""

    def __init__(self, issuer: str, id_token: Callable[[], str], cache_key: tuple[str, ...], todo: str) -> None:
        self.path = f"/token/oidc/{issuer}"
        self.cache_key = ("oidc", issuer, *cache_key)
        self._id_token = id_token
        self._todo = todo

    @classmethod
    def of(cls, method: str, settings: Settings, environ: Mapping[str, str]) -> OidcIdentity:
        """Return the identity of a CI job: `github`, `gitlab`, or `oidc` for an issuer of the operator's."""
        audience = settings.audience
        if method == "github":
            secret = _require(environ, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", _GITHUB_TODO)
            return cls("github", lambda: github_token(environ, audience), (secret, audience), _GITHUB_TODO)
        token = settings.id_token
        if not token:
            raise SettingsError("There is no OIDC token in SLURM_GATEWAY_ID_TOKEN.", todo=_GITLAB_TODO)
        return cls("own" if method == "oidc" else "gitlab", lambda: token, (token,), _GITLAB_TODO)

    def sign(self, _call: Call) -> Mapping[str, str]:
        """Return the Authorization header with the OIDC token."""
        return {"Authorization": f"Bearer {self._id_token()}"}

    def advice(self) -> str:
        """Return what to do when the gateway does not take it."""
        return (
            "Compare issuer and audience with the gateway's parameters, and the repository, ref and environment with "
            f"the access document. {self._todo}"
        )


def github_token(environ: Mapping[str, str], audience: str) -> str:
    """Return an OIDC token of this GitHub Actions job for an audience. Raises SettingsError, AuthenticationError."""
    url = _require(environ, "ACTIONS_ID_TOKEN_REQUEST_URL", _GITHUB_TODO)
    secret = _require(environ, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", _GITHUB_TODO)
    pauses = backoff.delays()
    for left in reversed(range(_TRIES)):
        try:
            answer = requests.get(
                url,
                params={"audience": audience},
                headers={"Authorization": f"Bearer {secret}"},
                timeout=_TIMEOUT,
                auth=as_it_is,
            )
            answer.raise_for_status()
            return str(answer.json()["value"])
        except (requests.RequestException, ValueError, KeyError, TypeError) as exc:
            failed = exc.response if isinstance(exc, requests.HTTPError) else None
            is_refused = failed is not None and failed.status_code < 500 and failed.status_code != 429
            if is_refused or not left:
                status = type(exc).__name__ if failed is None else failed.status_code
                raise AuthenticationError(
                    f"GitHub gives this job no OIDC token ({status}).",
                    todo=_GITHUB_TODO if is_refused else "Run the job again later: GitHub's own service is in trouble.",
                ) from exc
        # In the middle of a long wait this is the one request that must not fail.
        time.sleep(next(pauses))
    raise AssertionError("the last try returns or raises")


def of_ci(settings: Settings, environ: Mapping[str, str], audience: str) -> str:
    """Return an OIDC token of the CI job that this runs in, for an audience of its choice where the forge allows."""
    if settings.id_token:
        return settings.id_token
    return github_token(environ, audience)


def _require(environ: Mapping[str, str], name: str, todo: str) -> str:
    """Return a variable of the environment that GitHub sets; SettingsError where it is not there."""
    value = environ.get(name, "").strip()
    if not value:
        raise SettingsError(f"There is no {name} in the environment.", todo=todo)
    return value
