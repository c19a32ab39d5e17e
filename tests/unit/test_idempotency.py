"""The store of idempotency keys, on DynamoDB as moto has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.session import Session
from emulation import Clock
from moto import mock_aws

from slurm_gateway.errors import UnavailableError
from slurm_gateway.idempotency import KEPT_FOR, IdempotencyTable, fingerprint, key_of
from slurm_gateway.problem import Problem
from slurm_gateway.submission import Claim

CLAIM = Claim(
    user="alice", key="key", request="request", marker="marker", sender="one", sent_after=1_000_000.5,
    sender_until=1_000_029.0, token_expires_at=1_000_900.0,
)  # fmt: skip
OTHER = replace(CLAIM, sender="other", marker="other marker")


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = Session().create_client("dynamodb", region_name="us-east-1")
        for name, key in (("submissions", "id"), ("jobs", "job")):
            client.create_table(
                TableName=name, BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            )  # fmt: skip
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(dynamodb: Any, clock: Clock) -> IdempotencyTable:
    return IdempotencyTable(dynamodb, "submissions", clock=clock)


def test_the_first_claim_stands_and_the_second_sees_it(store: IdempotencyTable) -> None:
    assert store.claim(CLAIM) is None
    assert store.claim(OTHER) == CLAIM


def test_keys_are_each_users_own(store: IdempotencyTable) -> None:
    store.claim(CLAIM)

    assert store.claim(replace(OTHER, user="bob")) is None


def test_a_second_try_of_the_same_call_is_no_second_claim(store: IdempotencyTable) -> None:
    store.claim(CLAIM)

    assert store.claim(CLAIM) is None


def test_a_claim_ends_after_a_day_though_its_item_is_still_there(store: IdempotencyTable, clock: Clock) -> None:
    store.claim(CLAIM)
    clock.seconds += KEPT_FOR - 1
    before = store.claim(OTHER)
    clock.seconds += 1

    assert before == CLAIM
    assert store.claim(OTHER) is None


def test_an_answer_is_kept_once(store: IdempotencyTable) -> None:
    store.claim(CLAIM)

    assert store.answered(CLAIM, {"id": "1"}) == {"id": "1"}
    assert store.answered(CLAIM, {"id": "1", "found": True}) == {"id": "1"}
    assert store.claim(OTHER) == replace(CLAIM, answer={"id": "1"})


def test_an_answer_of_a_key_that_is_another_requests_by_now_is_not_kept(store: IdempotencyTable, clock: Clock) -> None:
    store.claim(CLAIM)
    clock.seconds += KEPT_FOR
    store.claim(OTHER)

    assert store.answered(CLAIM, {"id": "1"}) == {"id": "1"}
    assert store.claim(CLAIM) == OTHER


def test_what_goes_beside_an_answer_is_written_with_it_unless_newer_is_there(dynamodb: Any, clock: Clock) -> None:
    def beside(claim: Claim, answer: dict[str, Any]) -> list[list[dict[str, Any]]]:
        item = {"job": {"S": answer["id"]}, "user": {"S": claim.user}}
        put = {"TableName": "jobs", "Item": item, "ConditionExpression": "attribute_not_exists(job)"}
        later = {"Put": {**put, "Item": {**item, "later": {"S": claim.key}}, "ConditionExpression": "#u = :u"}}
        later["Put"] |= {"ExpressionAttributeNames": {"#u": "user"}, "ExpressionAttributeValues": {":u": item["user"]}}
        return [[{"Put": put}], [later]]

    store = IdempotencyTable(dynamodb, "submissions", clock=clock, beside_answer=beside)
    for claim in (CLAIM, replace(OTHER, key="second")):
        store.claim(claim)
        store.answered(claim, {"id": "1"})

    [item] = dynamodb.scan(TableName="jobs")["Items"]
    assert item == {"job": {"S": "1"}, "user": {"S": "alice"}, "later": {"S": "second"}}
    assert store.claim(replace(OTHER, sender="third", key="second")) == replace(OTHER, key="second", answer={"id": "1"})


def test_a_sender_that_gives_up_sends_nothing_any_more(store: IdempotencyTable) -> None:
    store.claim(CLAIM)
    store.give_up(CLAIM)

    assert store.claim(OTHER) == replace(CLAIM, sender_until=0)


def test_a_released_key_is_free(store: IdempotencyTable) -> None:
    store.claim(CLAIM)
    store.release(CLAIM)

    assert store.claim(OTHER) is None


def test_who_lost_a_claim_changes_nothing(store: IdempotencyTable) -> None:
    store.claim(CLAIM)
    store.take_over(OTHER, "one")
    store.give_up(CLAIM)
    store.release(CLAIM)

    assert store.claim(CLAIM) == OTHER


def test_a_claim_is_taken_over_once_and_by_the_same_call_again(store: IdempotencyTable) -> None:
    store.claim(CLAIM)

    assert store.take_over(OTHER, "one") is True
    assert store.take_over(OTHER, "one") is True
    assert store.take_over(replace(OTHER, sender="third"), "one") is False


@pytest.mark.parametrize("end", ["answered", "released"])
def test_what_is_over_is_not_taken_over(store: IdempotencyTable, end: str) -> None:
    store.claim(CLAIM)
    if end == "answered":
        store.answered(CLAIM, {"id": "1"})
    else:
        store.release(CLAIM)

    assert store.take_over(OTHER, "one") is False


def test_a_table_that_fails_is_unavailable(dynamodb: Any, clock: Clock) -> None:
    store = IdempotencyTable(dynamodb, "no-such-table", clock=clock)

    for call in (store.claim, store.give_up, store.release, lambda claim: store.answered(claim, {})):
        with pytest.raises(UnavailableError, match="AWS answered"):
            call(CLAIM)


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "a\n"])
def test_a_key_that_is_not_good_is_refused(key: str) -> None:
    with pytest.raises(Problem) as caught:
        key_of({"idempotency-key": key})

    assert caught.value.status == 400


def test_a_key_may_be_missing() -> None:
    assert [key_of({}), key_of({"idempotency-key": "x" * 255})] == [None, "x" * 255]


def test_fingerprints_tell_where_a_part_ends() -> None:
    assert len({fingerprint(parts) for parts in ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"c", b"ab"])}) == 4
