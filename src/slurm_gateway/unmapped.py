"""What a principal is told whom no rule means: who it is, and the rule that an operator would add."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import yaml

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
        return _rule_name(who.user.rpartition("/")[2]), f"      iam_user: {who.user}\n"
    if principals.of_identity_center(who.role):
        session = f"      identity_center:\n        role: {who.role}\n        session: {_scalar(who.session)}\n"
        return _rule_name(who.session), session
    return (_rule_name(who.role.rpartition("/")[2]), f"      iam_role: {who.role}\n") if who.role else None


def _rule_name(name: str) -> str:
    """Return what a rule may be called (access_reader.py) for a principal of this name: IAM's may have more signs."""
    return _scalar(re.sub(r"[^A-Za-z0-9_.-]", ".", name).lstrip("_.-")[:64] or "principal")


def _scalar(text: str) -> str:
    """Return a text as YAML, quoted where it would be something else, such as a number."""
    try:
        is_plain = yaml.safe_load(text) == text
    except yaml.YAMLError:
        is_plain = False
    return text if is_plain else json.dumps(text)


def _oidc_rule(who: OidcPrincipal) -> tuple[str, str]:
    names = [name for name in _TELLING_CLAIMS if name in who.claims] or ["sub"]
    # Quoted so that no claim can be more than a value in the rule that an operator pastes.
    claims = "".join(f"          {name}: {json.dumps(who.claims.get(name, ''))}\n" for name in names)
    return "ci", f"      oidc:\n        issuer: {who.issuer}\n        claims:\n{claims}"
