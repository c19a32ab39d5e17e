"""What became of each object version: claims of submission.py, remembered for 30 days.

A claim's `request` is here the user whose job it is: should a rule name another user while nobody knows whether the
first one's job was made, the claim is not the new one's to take over. `ordered` is there once the head node was told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .aws import unavailable_on_failure
from .idempotency import IdempotencyTable, claim_of, key_of_claim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from botocore.client import BaseClient

    from .inbox_message import InboxObject
    from .submission import Answer, Claim

KEPT_FOR = 30 * 24 * 3600
USER = "inbox"
"""Stands for the user in a claim's key: an object is claimed once, whoever's job it becomes."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an object version, and whether the head node has its order."""

    claim: Claim
    ordered: bool


class InboxTable(IdempotencyTable):
    """The store (submission.Store) of the inbox's objects."""

    def __init__(
        self,
        dynamodb: BaseClient,
        table: str,
        *,
        clock: Callable[[], float],
        beside_answer: Callable[[Claim, Answer], Sequence[Sequence[Mapping[str, Any]]]] = lambda _claim, _answer: (),
    ) -> None:
        super().__init__(dynamodb, table, clock=clock, beside_answer=beside_answer, kept_for=KEPT_FOR)

    def find(self, thing: InboxObject) -> Known | None:
        """Return what is known of an object version, None if nothing is; UnavailableError."""
        with unavailable_on_failure("cannot look up an object of the inbox"):
            answer = self._dynamodb.get_item(
                TableName=self._table, Key=key_of_claim(USER, thing.digest), ConsistentRead=True
            )
        item = answer.get("Item")
        if not item or float(item["expires_at"]["N"]) <= self._clock():
            return None
        return Known(claim_of(item), ordered="ordered" in item)

    def ordered(self, thing: InboxObject) -> None:
        """Note that the head node was told of the object and its job."""
        with unavailable_on_failure("cannot note an order to the head node"):
            self._dynamodb.update_item(
                TableName=self._table,
                Key=key_of_claim(USER, thing.digest),
                UpdateExpression="SET #ordered = :yes",
                # An item that has expired meanwhile does not come back as half of one.
                ConditionExpression="attribute_exists(#answer)",
                ExpressionAttributeNames={"#ordered": "ordered", "#answer": "answer"},
                ExpressionAttributeValues={":yes": {"BOOL": True}},
            )
