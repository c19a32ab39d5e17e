"""OIDC principals: who a job of a CI system is, by the claims of its ID token, and whom a rule means by them.

API Gateway's JWT authorizer has verified the token: issuer, audience, expiry, signature. It hands every claim on as
text, a list as `[a b]`; what is compared here is that text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .patterns import fits

if TYPE_CHECKING:
    from collections.abc import Mapping

GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.com"

# Anybody may have a job at these issuers. A rule for one has to say whose: each claim here with the text up to which
# its value must be spelled out for that.
_OWNER_CLAIMS = {
    GITHUB: {
        "repository_id": "",
        "repository_owner_id": "",
        "repository_owner": "",
        "enterprise_id": "",
        "repository": "/",
        "sub": "/",
    },
    GITLAB: {
        "project_id": "",
        "namespace_id": "",
        "user_id": "",
        "namespace_path": "/",
        "project_path": "/",
        "sub": "/",
    },
}
_PULL_REQUEST_SOURCES = frozenset({"merge_request_event", "external_pull_request_event"})


@dataclass(frozen=True, slots=True)
class OidcPrincipal:
    """The holder of an ID token: its issuer, and all its claims as text."""

    issuer: str
    claims: Mapping[str, str]

    def __str__(self) -> str:
        """Return what a log line calls it: issuer and subject."""
        return f"{self.issuer} {self.claims.get('sub', '(no sub)')}"


@dataclass(frozen=True, slots=True)
class Oidc:
    """Whom a rule means: every token of an issuer whose claims all fit (patterns.py).

    Tokens of pull requests are meant only with `pull_requests`: such a job runs code of whoever opened one.
    """

    issuer: str
    claims: tuple[tuple[str, str], ...]
    pull_requests: bool = False

    def mismatch(self, who: object) -> str:
        """Return why a principal is not meant, "" if it is."""
        if not isinstance(who, OidcPrincipal):
            return "it is for holders of an ID token"
        if who.issuer != self.issuer:
            return f"the issuer is {who.issuer}, not {self.issuer}"
        for name, pattern in self.claims:
            if name not in who.claims:
                return f"the token has no claim {name}"
            if not fits(pattern, who.claims[name]):
                return f"the claim {name} is {who.claims[name]!r}, not {pattern!r}"
        if not self.pull_requests and is_of_pull_request(who.claims):
            return "the token is a pull request's, and the rule does not say `pull_requests: true`"
        return ""


def is_of_pull_request(claims: Mapping[str, str]) -> bool:
    """Tell whether an ID token of GitHub or GitLab was given to a job of a pull or merge request.

    Sources: GitHub docs, "OpenID Connect reference" (event_name, head_ref, ref, sub); GitLab docs, "OpenID Connect
    (OIDC) Authentication Using ID Tokens" (pipeline_source, ref_path). A child pipeline names its parent as the source:
    its ref tells.
    """
    return (
        claims.get("event_name", "").startswith("pull_request")
        or claims.get("pipeline_source", "") in _PULL_REQUEST_SOURCES
        or claims.get("ref", "").startswith(("refs/pull/", "refs/merge-requests/"))
        or claims.get("ref_path", "").startswith(("refs/pull/", "refs/merge-requests/"))
        or claims.get("sub", "").endswith(":pull_request")
        or bool(claims.get("head_ref"))
    )


def missing_owner(issuer: str, claims: Mapping[str, str]) -> tuple[str, ...]:
    """Return the claims of which a rule for a public issuer needs one spelled out; none if all is well."""
    owners = _OWNER_CLAIMS.get(issuer.rstrip("/"), {})
    for name, end in owners.items():
        literal, star, _ = claims.get(name, "").partition("*")
        if literal and (not star or (end and end in literal)):
            return ()
    return tuple(owners)
