"""What a principal is told whom no rule means: who it is, and the rule that an operator would add."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from . import principals
from .oidc import OidcPrincipal, is_of_pull_request
from .problem import Problem

if TYPE_CHECKING:
    from .access import Principal
    from .principals import IamPrincipal

# By what a rule would best know a job of a CI system: numbers stay when a repository is renamed.
_TELLING_CLAIMS = ("repository_id", "project_id", "environment", "ref", "ref_path")


def problem(who: Principal, access_parameter: str) -> Problem:
    """Return the 403 for a principal; `access_parameter` is the name of the SSM parameter that an operator edits."""
    told = _oidc_rule(who) if isinstance(who, OidcPrincipal) else _iam_rule(who)
    if not told:
        todo = "Only IAM users and roles can be: call as one of them."
    else:
        name, principal = told
        todo = (
            f"An operator adds a rule to the access document (SSM parameter {access_parameter}), with the Slurm users "
            f"it may be:\n  - name: {name}\n    principal:\n{principal}    users: [SLURM_USER]\n"
        )
    if isinstance(who, OidcPrincipal) and is_of_pull_request(who.claims):
        todo = "It is a pull request's, which gets a token only where a rule says `pull_requests: true`. " + todo
    return Problem(
        403, "principal-not-mapped", title="Mapped to no Slurm user", detail=f"{who} is mapped to no Slurm user. {todo}"
    )


def _iam_rule(who: IamPrincipal) -> tuple[str, str] | None:
    if who.user:
        return who.user.rpartition("/")[2], f"      iam_user: {who.user}\n"
    if principals.of_identity_center(who.role):
        name = who.session.replace("@", ".").replace("+", ".")
        return name, f"      identity_center:\n        role: {who.role}\n        session: {who.session}\n"
    return (who.role.rpartition("/")[2], f"      iam_role: {who.role}\n") if who.role else None


def _oidc_rule(who: OidcPrincipal) -> tuple[str, str]:
    names = [name for name in _TELLING_CLAIMS if name in who.claims] or ["sub"]
    # Quoted so that no claim can be more than a value in the rule that an operator pastes.
    claims = "".join(f"          {name}: {json.dumps(who.claims.get(name, ''))}\n" for name in names)
    return "ci", f"      oidc:\n        issuer: {who.issuer}\n        claims:\n{claims}"
