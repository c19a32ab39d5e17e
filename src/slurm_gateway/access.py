"""Who may be which Slurm user: rules, read in their order, and nothing beyond them."""

from __future__ import annotations

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
class Access:
    """All rules, in the document's order."""

    rules: tuple[Rule, ...]

    def rules_for(self, principal: str) -> tuple[Rule, ...]:
        """Return the rules that mean a principal; none means that it is mapped to nobody."""
        return tuple(rule for rule in self.rules if rule.principal == principal)


def choose(rules: tuple[Rule, ...], user: str | None) -> tuple[Rule, str] | None:
    """Take a principal's rules and the user it asks for, if any; return the rule that decides, and the user.

    The first rule that names the user decides. None if no rule does.
    """
    if user is None:
        return (rules[0], rules[0].users[0]) if rules else None
    return next(((rule, user) for rule in rules if user in rule.users), None)
