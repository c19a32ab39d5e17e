from __future__ import annotations

from typing import Any

from slurm_gateway.access import Access, InboxGrant, Rule, choose
from slurm_gateway.principals import IamPrincipal, IamRole, IamUser

ALICE = "arn:aws:iam::000000000000:user/alice"
AS_ALICE = IamPrincipal(ALICE)
IN_TEAM = IamPrincipal("arn:aws:sts::000000000000:assumed-role/Team/anyone")
TEAM = "arn:aws:iam::000000000000:role/Team"


def rule(name: str, principal: Any, *users: str, longest: int = 3600) -> Rule:
    meant = IamRole(principal) if principal == TEAM else IamUser(principal)
    return Rule(name, meant, users, longest_lifespan=longest)


def test_nobody_is_mapped_without_a_rule() -> None:
    assert Access(()).rules_for(AS_ALICE) == ()
    assert choose((), None) is None


def test_a_principal_is_its_rules_first_user_unless_it_says_which() -> None:
    one = rule("one", TEAM, "alice", "bob")

    assert choose((one,), None) == (one, "alice")
    assert choose((one,), "bob") == (one, "bob")


def test_the_first_rule_that_names_the_user_decides() -> None:
    short, long = rule("short", TEAM, "alice", longest=60), rule("long", TEAM, "alice", "bob")
    rules = Access((short, rule("other", ALICE, "carol"), long)).rules_for(IN_TEAM)

    assert (short, long) == rules
    assert choose(rules, "alice") == (short, "alice")
    assert choose(rules, "bob") == (long, "bob")


def test_a_user_of_another_principals_rule_is_not_to_be_had() -> None:
    rules = Access((rule("alice", ALICE, "alice"), rule("team", TEAM, "bob"))).rules_for(AS_ALICE)

    assert choose(rules, "bob") is None


def test_the_inbox_may_run_what_is_granted_to_it_and_nothing_else() -> None:
    access = Access((), (InboxGrant("nightly-*", ("alice", "bob")), InboxGrant("once", ("carol",))))

    assert access.may_run("nightly-build", "bob")
    assert access.may_run("once", "carol")
    assert not access.may_run("once", "bob")
    assert not access.may_run("nightly", "alice")
    assert not access.may_run("xnightly-", "alice")
    assert not Access(()).may_run("once", "carol")


def test_nothing_but_a_star_is_special_in_a_grant() -> None:
    access = Access((), (InboxGrant("a.c*", ("alice",)),))

    assert access.may_run("a.c", "alice")
    assert not access.may_run("abc", "alice")
