"""Who may be which Slurm user: rules, read in their order, and nothing beyond them."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_LIFESPAN = 900
LONGEST_LIFESPAN = 3600


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the access document.

    `principal` (principals.py) may be any of `users`, the first if it does not say which, with tokens of
    `default_lifespan` seconds, or what it asks for up to `longest_lifespan`.
    """

    name: str
    principal: str
    users: tuple[str, ...]
    default_lifespan: int = DEFAULT_LIFESPAN
    longest_lifespan: int = LONGEST_LIFESPAN


@dataclass(frozen=True, slots=True)
class InboxGrant:
    """Whom rules of the inbox may run jobs as: `rule` is a rule's name, or a pattern in which `*` is any text."""

    rule: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """All rules, in the document's order, and what it grants to rules of the inbox."""

    rules: tuple[Rule, ...]
    inbox: tuple[InboxGrant, ...] = ()

    def rules_for(self, principal: str) -> tuple[Rule, ...]:
        """Return the rules that mean a principal; none means that it is mapped to nobody."""
        return tuple(rule for rule in self.rules if rule.principal == principal)

    def may_run(self, rule: str, user: str) -> bool:
        """Tell whether the inbox's rule of this name may run jobs as a Slurm user."""
        return any(user in grant.users and fits(grant.rule, rule) for grant in self.inbox)


def fits(pattern: str, text: str) -> bool:
    """Tell whether a text is what a pattern says: `*` stands for any text, all else for itself."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def choose(rules: tuple[Rule, ...], user: str | None) -> tuple[Rule, str] | None:
    """Take a principal's rules and the user it asks for, if any; return the rule that decides, and the user.

    The first rule that names the user decides. None if no rule does.
    """
    if user is None:
        return (rules[0], rules[0].users[0]) if rules else None
    return next(((rule, user) for rule in rules if user in rule.users), None)
