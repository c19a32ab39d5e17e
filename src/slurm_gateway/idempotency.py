"""Idempotency keys in DynamoDB: the store behind submission.py.

One item a user and key, for 24 hours unless told otherwise. DynamoDB deletes what expired when it gets round to it,
up to two days later, so each condition looks at the time itself.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .aws import error_code, unavailable_on_failure
from .problem import Problem
from .submission import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from botocore.client import BaseClient

    from .submission import Answer

KEPT_FOR = 24 * 3600
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

# `answer` and `user` are DynamoDB's own words or may become so: names go by placeholders throughout.
_HAS_IT = "#sender = :sender AND attribute_not_exists(#answer)"


def key_of(headers: Mapping[str, str]) -> str | None:
    """Return the Idempotency-Key of a request's headers, None if there is none; Problem 400 if it is not good."""
    key = headers.get("idempotency-key")
    if key is None or _KEY.fullmatch(key):
        return key
    raise Problem(
        400,
        "idempotency-key-not-valid",
        title="Idempotency-Key is not valid",
        detail="An Idempotency-Key has 1 to 255 visible ASCII characters and no space; a UUID is a good one.",
    )


def fingerprint(parts: Iterable[bytes]) -> str:
    """Return what tells one request from another: a hash of its parts, in their order."""
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


class IdempotencyTable:
    """The store (submission.Store) in a DynamoDB table whose key is `id`.

    `beside_answer` takes a claim and its answer and gives the further writes that go with them, for
    `TransactWriteItems`: the first of these lists whose conditions hold, or none. `clock` gives Unix seconds; a
    claim is kept for `kept_for` seconds.
    """

    def __init__(
        self,
        dynamodb: BaseClient,
        table: str,
        *,
        clock: Callable[[], float],
        beside_answer: Callable[[Claim, Answer], Sequence[Sequence[Mapping[str, Any]]]] = lambda _claim, _answer: (),
        kept_for: float = KEPT_FOR,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._clock = clock
        self._beside_answer = beside_answer
        self._kept_for = kept_for

    def claim(self, claim: Claim) -> Claim | None:
        """Put the claim where none lives, and return None; else return the one that does."""
        there = self._put(
            claim,
            "attribute_not_exists(#id) OR #expires_at <= :now",
            names={"#id": "id", "#expires_at": "expires_at"},
            values={":now": _number(self._clock())},
        )
        # This very call may have been carried out, its answer lost, and the client's second try refused.
        return None if there is None or there.sender == claim.sender else there

    def take_over(self, claim: Claim, sender: str) -> bool:
        """Put the claim in place of the one that `sender` has; False if that is gone, or answered."""
        there = self._put(
            claim, _HAS_IT, names={"#sender": "sender", "#answer": "answer"}, values={":sender": {"S": sender}}
        )
        return there is None or there.sender == claim.sender

    def give_up(self, claim: Claim) -> None:
        """Write that nobody sends the job any more."""
        self._if_still_its("give up a submit", "update_item", claim, ":never", "SET #sender_until = :never")

    def release(self, claim: Claim) -> None:
        """Delete the claim."""
        self._if_still_its("release an idempotency key", "delete_item", claim)

    def answered(self, claim: Claim, answer: Answer) -> Answer:
        """Write the answer and what goes with it, all or nothing; return the answer that stands."""
        update = {
            "Update": {
                "TableName": self._table,
                "Key": _key(claim),
                "UpdateExpression": "SET #answer = :answer",
                "ConditionExpression": "#marker = :marker AND attribute_not_exists(#answer)",
                "ExpressionAttributeNames": {"#answer": "answer", "#marker": "marker"},
                "ExpressionAttributeValues": {
                    ":answer": {"S": json.dumps(answer, separators=(",", ":"))},
                    ":marker": {"S": claim.marker},
                },
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }
        with unavailable_on_failure("cannot keep the answer of a submit"):
            for beside in (*self._beside_answer(claim, answer), ()):
                items = [update, *beside]
                try:
                    self._dynamodb.transact_write_items(TransactItems=items)
                except ClientError as exc:
                    refusals = exc.response.get("CancellationReasons") or [{}]
                    failed = [refusal.get("Code") == "ConditionalCheckFailed" for refusal in refusals]
                    if failed[0]:
                        return _kept(refusals[0].get("Item"), claim) or answer
                    if not any(failed):
                        raise
                else:
                    break
        return answer

    def _put(
        self, claim: Claim, condition: str, *, names: dict[str, str], values: dict[str, dict[str, str]]
    ) -> Claim | None:
        """Put the claim and return None; if the condition fails, return what is there."""
        with unavailable_on_failure("cannot claim an idempotency key"):
            try:
                self._dynamodb.put_item(
                    TableName=self._table,
                    Item=_item(claim, expires_at=self._clock() + self._kept_for),
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as exc:
                if error_code(exc) != "ConditionalCheckFailedException":
                    raise
                return claim_of(exc.response["Item"]) if exc.response.get("Item") else _NOBODYS
        return None

    def _if_still_its(self, doing: str, operation: str, claim: Claim, value: str = "", update: str = "") -> None:
        names = {"#sender": "sender", "#answer": "answer"}
        values = {":sender": {"S": claim.sender}}
        arguments: dict[str, Any] = {}
        if update:
            names["#sender_until"] = "sender_until"
            values[value] = {"N": "0"}
            arguments["UpdateExpression"] = update
        with unavailable_on_failure(f"cannot {doing}"):
            try:
                getattr(self._dynamodb, operation)(
                    TableName=self._table,
                    Key=_key(claim),
                    ConditionExpression=_HAS_IT,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    **arguments,
                )
            except ClientError as exc:
                # Another request has it or answered it: there is nothing left to do here.
                if error_code(exc) != "ConditionalCheckFailedException":
                    raise


# What stands for a claim that was there when the condition failed, and is gone.
_NOBODYS = Claim(
    user="", key="", request="", marker="", sender="", sent_after=0, sender_until=0, token_expires_at=0
)  # fmt: skip


def key_of_claim(user: str, key: str) -> dict[str, dict[str, str]]:
    """Return the table's key of a user's claim."""
    # A user's name has no space, so no two pairs make the same id.
    return {"id": {"S": f"{user} {key}"}}


def _key(claim: Claim) -> dict[str, dict[str, str]]:
    return key_of_claim(claim.user, claim.key)


def _number(value: float) -> dict[str, str]:
    return {"N": f"{value:.3f}"}


def _item(claim: Claim, *, expires_at: float) -> dict[str, dict[str, str]]:
    return {
        **_key(claim),
        "request": {"S": claim.request},
        "marker": {"S": claim.marker},
        "sender": {"S": claim.sender},
        "sent_after": _number(claim.sent_after),
        "sender_until": _number(claim.sender_until),
        "token_expires_at": _number(claim.token_expires_at),
        # A whole number: DynamoDB's expiry reads no other.
        "expires_at": {"N": str(int(expires_at))},
    }


def _kept(item: Mapping[str, Mapping[str, str]] | None, claim: Claim) -> Answer | None:
    """Return the answer in an item, if the item is still the claim's and not a later one's of the same key."""
    there = claim_of(item) if item else None
    return there.answer if there and there.marker == claim.marker else None


def claim_of(item: Mapping[str, Mapping[str, str]]) -> Claim:
    """Return the claim in an item."""
    user, _, key = item["id"]["S"].partition(" ")
    return Claim(
        user=user,
        key=key,
        request=item["request"]["S"],
        marker=item["marker"]["S"],
        sender=item["sender"]["S"],
        sent_after=float(item["sent_after"]["N"]),
        sender_until=float(item["sender_until"]["N"]),
        token_expires_at=float(item["token_expires_at"]["N"]),
        answer=json.loads(item["answer"]["S"]) if "answer" in item else None,
    )
