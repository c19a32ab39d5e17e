"""The ways of a submit, one by one: what is answered, and how many jobs there are."""

from __future__ import annotations

from typing import Any

import submission_world as w

from slurm_gateway.problem import Problem


def at(request: w.Request, call: str) -> w.Request:
    """Let a request go on until it halts before a call."""
    while request.halted_at != call:
        assert not request.over, f"the request was over before {call}: {request.result!r}"
        request.step(w.plainly(request))
    return request


def lost(world: w.World, *, lifespan: float = 900, **message: Any) -> None:
    """Submit, with the message on its way and nobody who knows."""
    request = at(w.Request(world, token_lifespan=lifespan), "submit")
    world.messages.append(w.Message(request.arguments[0], request.token_expires_at, **message))
    request.step(w.before(lambda: None, w.unknown()))
    assert kind(w.run_alone(request)) == "submit-outcome-unknown"


def kind(result: object) -> str:
    assert isinstance(result, Problem), repr(result)
    return result.kind


def test_a_key_makes_a_job_and_then_answers_with_it() -> None:
    world = w.World()

    answers = [w.run_alone(w.Request(world)), w.run_alone(w.Request(world))]

    assert answers == [({"id": 1}, False), ({"id": 1}, True)]


def test_another_key_and_another_request() -> None:
    world = w.World()

    first, other_key = w.run_alone(w.Request(world)), w.run_alone(w.Request(world, key="other"))
    other_request = w.run_alone(w.Request(world, text="another script"))

    assert [first, other_key] == [({"id": 1}, False), ({"id": 2}, False)]
    assert kind(other_request) == "idempotency-key-reused"


def test_a_refusal_frees_the_key() -> None:
    world = w.World()
    refused = at(w.Request(world), "submit")
    refused.step(w.before(lambda: None, w.unreachable()))

    assert kind(w.run_alone(refused)) == "slurm-unreachable"
    assert w.run_alone(w.Request(world)) == ({"id": 1}, False)


def test_a_key_is_free_again_after_a_day() -> None:
    world = w.World()
    w.run_alone(w.Request(world))
    world.pass_time(w.KEPT_FOR + 1)

    assert w.run_alone(w.Request(world)) == ({"id": 2}, False)


def test_a_job_that_appears_within_fifteen_seconds_is_waited_for() -> None:
    world = w.World()
    lost(world, verified=False, late=10, overtaken=12)

    assert w.run_alone(w.Request(world)) == ({"id": 1}, True)


def test_an_expired_token_shortens_the_wait_to_what_is_past_slurms_check_already() -> None:
    world = w.World()
    lost(world, lifespan=5, verified=True, late=2, overtaken=2)
    world.frozen = True
    world.pass_time(20)
    world.frozen = False

    assert w.run_alone(w.Request(world)) == ({"id": 1}, True)


def test_a_gap_in_slurms_answers_begins_the_wait_anew() -> None:
    def paused() -> None:
        world.frozen = True
        world.pass_time(14)
        world.frozen = False

    world = w.World()
    lost(world, verified=False, late=4, overtaken=9)
    watching = at(w.Request(world), "wait")
    watching.step(paused)

    result = w.run_alone(watching)

    assert len(world.jobs) == 1
    assert result == ({"id": 1}, True) or kind(result) == "submit-outcome-unknown"


def test_of_two_that_find_nothing_one_sends() -> None:
    world = w.World()
    lost(world, verified=False, late=9999, overtaken=9999)
    world.messages.clear()
    one = at(w.Request(world), "take_over")
    other = w.Request(world)
    world.now -= 15  # they watch at the same time
    at(other, "take_over")

    results = [w.run_alone(one), w.run_alone(other)]

    assert results[0] == ({"id": 1}, False)
    assert kind(results[1]) == "submit-in-progress"


def test_who_is_gone_is_waited_for_as_long_as_it_could_still_send() -> None:
    world = w.World()
    at(w.Request(world), "submit").die()
    early = w.run_alone(w.Request(world))
    world.pass_time(5)
    waiting = w.run_alone(w.Request(world))
    world.pass_time(w.FUNCTION_TIMEOUT)

    assert [kind(early), kind(waiting)] == ["submit-in-progress", "submit-in-progress"]
    assert w.run_alone(w.Request(world)) == ({"id": 1}, False)


def test_a_job_whose_sender_died_is_found_at_once() -> None:
    world = w.World()
    sender = at(w.Request(world), "submit")
    sender.step(w.after(w.plainly(sender), w.Died()))
    world.pass_time(3)

    assert w.run_alone(w.Request(world)) == ({"id": 1}, True)


def test_what_slurm_has_run_and_forgotten_is_told_by_accounting_that_keeps_markers() -> None:
    world = w.World()
    sender = at(w.Request(world), "submit")
    sender.step(w.after(w.plainly(sender), w.Died()))
    world.pass_time(w.MIN_JOB_AGE + 10)

    asks = at(w.Request(world), "accounted")
    asks.step(w.before(lambda: None, w.unreachable()))
    assert kind(asks.result) == "submit-outcome-unknown"
    assert [w.run_alone(w.Request(world)) for _ in range(2)] == [({"id": 1}, True)] * 2


def test_what_slurm_may_have_run_and_forgotten_is_not_sent_again() -> None:
    world = w.World(accounts_markers=False)
    sender = at(w.Request(world), "submit")
    sender.step(w.after(w.plainly(sender), w.Died()))
    world.pass_time(w.MIN_JOB_AGE + 10)

    assert kind(w.run_alone(w.Request(world))) == "submit-outcome-forgotten"
    assert len(world.jobs) == 1


def test_what_a_frozen_slurm_took_when_it_thawed_and_forgot_since_is_not_sent_again() -> None:
    world = w.World(accounts_markers=False)
    world.frozen = True
    assert kind(w.run_alone(w.Request(world))) == "submit-outcome-unknown"
    world.pass_time(200)
    world.frozen = False
    world.pass_time(1)
    world.pass_time(w.MIN_JOB_AGE + 10)

    assert kind(w.run_alone(w.Request(world))) == "submit-outcome-forgotten"
    assert len(world.jobs) == 1


def test_accounting_that_knows_of_no_job_lets_it_be_sent_again() -> None:
    world = w.World()
    at(w.Request(world), "submit").die()
    world.pass_time(w.MIN_JOB_AGE + 10)

    assert w.run_alone(w.Request(world)) == ({"id": 1}, False)


def test_the_job_is_answered_also_when_the_store_fails_after_it() -> None:
    world = w.World()
    request = at(w.Request(world), "answered")
    request.step(w.before(lambda: None, w.store_failure()))
    world.pass_time(3)

    assert request.result == ({"id": 1}, False)
    assert w.run_alone(w.Request(world)) == ({"id": 1}, True)


def test_nothing_is_sent_when_the_function_is_about_to_end() -> None:
    world = w.World()
    request = at(w.Request(world), "claim")
    world.pass_time(25)

    assert kind(w.run_alone(request)) == "submit-in-progress"
    assert world.jobs == []
