"""Who may be which Slurm user: rules, read in their order, and nothing beyond them.

`python -m slurm_gateway.access` checks and explains access documents (access_command.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .patterns import fits

if TYPE_CHECKING:
    from .oidc import Oidc, OidcPrincipal
    from .principals import IamPrincipal, IamRole, IamUser, IdentityCenter

    Principal = IamPrincipal | OidcPrincipal
    Meant = IamUser | IamRole | IdentityCenter | Oidc

DEFAULT_LIFESPAN = 900
LONGEST_LIFESPAN = 3600


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the access document.

    Whom `principal` means may be any of `users`, the first if it does not say which, with tokens of
    `default_lifespan` seconds, or what it asks for up to `longest_lifespan`. With `sees_everyones_jobs` such a token
    shows the records of every user's jobs.
    """

    name: str
    principal: Meant
    users: tuple[str, ...]
    default_lifespan: int = DEFAULT_LIFESPAN
    longest_lifespan: int = LONGEST_LIFESPAN
    sees_everyones_jobs: bool = False


@dataclass(frozen=True, slots=True)
class InboxGrant:
    """Whom rules of the inbox may run jobs as: `rule` is a rule's name or a pattern of names (patterns.py)."""

    rule: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """All rules, in the document's order, and what it grants to rules of the inbox."""

    rules: tuple[Rule, ...]
    inbox: tuple[InboxGrant, ...] = ()

    def rules_for(self, who: Principal) -> tuple[Rule, ...]:
        """Return the rules that mean a principal; none means that it is mapped to nobody."""
        return tuple(rule for rule in self.rules if not rule.principal.mismatch(who))

    def may_run(self, rule: str, user: str) -> bool:
        """Tell whether the inbox's rule of this name may run jobs as a Slurm user."""
        return any(user in grant.users and fits(grant.rule, rule) for grant in self.inbox)


def choose(rules: tuple[Rule, ...], user: str | None) -> tuple[Rule, str] | None:
    """Take a principal's rules and the user it asks for, if any; return the rule that decides, and the user.

    The first rule that names the user decides. None if no rule does.
    """
    if user is None:
        return (rules[0], rules[0].users[0]) if rules else None
    return next(((rule, user) for rule in rules if user in rule.users), None)


if __name__ == "__main__":
    import sys

    from .access_command import main

    sys.exit(main())
