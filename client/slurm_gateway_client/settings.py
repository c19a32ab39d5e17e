"""What this side is told: by options, which win, and by the environment."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS = ("auto", "aws", "github", "gitlab", "oidc", "token")

VARIABLES: tuple[tuple[str, str], ...] = (
    ("SLURM_GATEWAY_URL", "Where the gateway is: whoever runs the cluster knows (its stack's output ApiUrl)."),
    ("SLURM_JWT", "A token, used as it is and never renewed."),
    ("SLURM_GATEWAY_AUTH", f"How to get a token: {', '.join(METHODS)}. oidc: from an issuer of the operator's own."),
    ("SLURM_GATEWAY_USER", "The Slurm user, where more than one is allowed."),
    ("SLURM_GATEWAY_LIFESPAN", "Seconds a token is asked to live; without it, what the access document says."),
    ("SLURM_GATEWAY_PATIENCE", "Seconds to bear a gateway that does not answer."),
    ("SLURM_GATEWAY_AUDIENCE", "The audience to ask GitHub for (default: slurm-gateway)."),
    ("SLURM_GATEWAY_ID_TOKEN", "An OIDC token: what GitLab's id_tokens puts there."),
    ("SLURM_GATEWAY_ROLE", "An IAM role to assume with the CI job's OIDC token, before signing as that role."),
    ("SLURM_GATEWAY_OPTIONS", "Options of submit, quoted as in a shell; those of the command line win."),
)
"""Each variable and its meaning, for the documentation."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one run. `patience` and `lifespan` are in seconds; empty and None mean not given."""

    url: str
    auth: str = "auto"
    user: str | None = None
    lifespan: int | None = None
    patience: float | None = None
    audience: str = "slurm-gateway"
    id_token: str = ""
    role: str = ""
    given_token: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], **given: str | float | None) -> Settings:
        """Return the settings; `given` wins over the environment, None means not given. Raises SettingsError."""

        def chosen(name: str, variable: str) -> str:
            value = given.get(name)
            return str(environ.get(variable, "") if value is None else value)

        auth = chosen("auth", "SLURM_GATEWAY_AUTH") or "auto"
        if auth not in METHODS:
            raise SettingsError(
                f"There is no way {auth!r} to get a token.",
                todo=f"Set SLURM_GATEWAY_AUTH or --auth to one of {', '.join(METHODS)}.",
            )
        lifespan = _number(chosen("lifespan", "SLURM_GATEWAY_LIFESPAN"), "SLURM_GATEWAY_LIFESPAN")
        return cls(
            url=_url(chosen("url", "SLURM_GATEWAY_URL")),
            auth=auth,
            user=chosen("user", "SLURM_GATEWAY_USER") or None,
            lifespan=None if lifespan is None else int(lifespan),
            patience=_number(chosen("patience", "SLURM_GATEWAY_PATIENCE"), "SLURM_GATEWAY_PATIENCE"),
            audience=chosen("audience", "SLURM_GATEWAY_AUDIENCE") or "slurm-gateway",
            id_token=_token(environ, "SLURM_GATEWAY_ID_TOKEN"),
            role=chosen("role", "SLURM_GATEWAY_ROLE"),
            given_token=_token(environ, "SLURM_JWT"),
        )


def _url(text: str) -> str:
    if not text:
        raise SettingsError(
            "It is not said where the gateway is.",
            todo="Set SLURM_GATEWAY_URL, or give --url: the output ApiUrl of the gateway's stack.",
        )
    wrong = SettingsError("SLURM_GATEWAY_URL is no address of a gateway.", todo="Write it as https://api.example.org")
    try:
        parts = urlsplit(text)
        _ = parts.port  # read only when it is asked for
    except ValueError as exc:
        raise wrong from exc
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.username:
        raise wrong
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise SettingsError(
            f"The gateway's address is http://{parts.hostname}: without TLS.",
            means="Whoever is on the way could read the token, and use it.",
            todo="Write https:// instead. Plain http is for this machine's own addresses.",
        )
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(environ: Mapping[str, str], variable: str) -> str:
    """Return a token, which goes into a header: what no header can hold is refused here, without showing it."""
    text = environ.get(variable, "").strip()
    if not all("!" <= letter <= "~" for letter in text):
        raise SettingsError(
            f"{variable} has a blank, a line break or another character in it that no token has.",
            means="Most often it was copied with a line break, or two values stand in one variable. Nothing was sent.",
            todo=f"Set {variable} again: a token is one line of letters, digits and . - _",
        )
    return text


def _number(text: str, variable: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e9:
        raise SettingsError(f"{variable} is {text!r}.", todo="Give a number of seconds, 1 or more.")
    return number
