"""A batch of the inbox's queue: each message succeeds, comes again later, or goes to the dead-letter queue.

What comes again does so after a quarter of its age, 5 s to 15 min, give or take a quarter: a queue that waits for Slurm
asks less and less often, and its messages do not come back all at once.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from . import metrics
from .aws import unavailable_on_failure
from .errors import DeadLetterError, UnavailableError
from .inbox import Taken, is_slurms_trouble
from .inbox_message import Message
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from botocore.client import BaseClient

    from .inbox import Inbox

_logger = logging.getLogger(__name__)

SHORTEST_DELAY, LONGEST_DELAY = 5.0, 900.0
# The queue forgets after 14 days, in silence: before that the object becomes a dead letter.
LONGEST_AGE = 10 * 24 * 3600.0
# What nobody foresaw is a fault of ours: an hour of it is enough to be seen.
LONGEST_FAULT = 3600.0
# A message needs a look at its object, a submit and four writes. Less is left for the next batch.
_NEEDED = 15.0

_COUNTED = {Taken.SUBMITTED: "InboxJobs", Taken.KNOWN: "InboxKnown", Taken.UNMATCHED: "InboxUnmatched"}


class InboxBatch:
    """Answers Lambda's event of a batch. `clock` gives Unix seconds."""

    def __init__(
        self,
        inbox: Inbox,
        sqs: BaseClient,
        *,
        queue_url: str,
        dead_letters_url: str,
        clock: Callable[[], float],
        dice: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._inbox = inbox
        self._sqs = sqs
        self._queue_url = queue_url
        self._dead_letters_url = dead_letters_url
        self._clock = clock
        self._dice = dice

    def __call__(self, event: Mapping[str, Any], context: object = None) -> dict[str, Any]:
        """Take Lambda's event; return which messages are not done with."""
        remaining = getattr(context, "get_remaining_time_in_millis", None)
        ends_at = self._clock() + (remaining() / 1000 if remaining else 60.0)
        counts: Counter[str] = Counter()
        failures: list[dict[str, str]] = []
        trouble: Problem | None = None
        for record in event["Records"]:
            message = Message.read(record)
            # Where Slurm is in trouble the others would only meet it too.
            if trouble is None and ends_at - self._clock() >= _NEEDED:
                trouble, done = self._take(message, ends_at, counts)
            else:
                done = False
                self._later(message, (trouble.retry_after or 0) if trouble else 0)
            if not done:
                counts["InboxRetries"] += 1
                failures.append({"itemIdentifier": message.message_id})
        # Why messages come again or are put aside has lines of its own.
        metrics.emit(counts)
        return {"batchItemFailures": failures}

    def _take(self, message: Message, ends_at: float, counts: Counter[str]) -> tuple[Problem | None, bool]:
        """Take a message; return Slurm's trouble, if it is in some, and whether the message is done with."""
        trouble: Problem | None = None
        retry_after, most = 0, LONGEST_AGE
        try:
            try:
                taken = self._inbox.take(message, ends_at=ends_at)
            except Problem as exc:
                trouble = exc if is_slurms_trouble(exc) else None
                retry_after, why = exc.retry_after or 0, exc.detail
            except UnavailableError as exc:
                why = f"{exc}."
            except DeadLetterError:
                raise
            except Exception as exc:
                _logger.exception("unexpected error", extra={"message_id": message.message_id})
                why, most = f"Unexpected error ({type(exc).__name__}): the function's log has it.", LONGEST_FAULT
            else:
                counts[_COUNTED[taken]] += 1
                return None, True
            if self._clock() - message.sent_at > most:
                raise DeadLetterError(f"No job could be made for too long. At last: {why}")
        except DeadLetterError as exc:
            return None, self._bury(message, str(exc), counts)
        _logger.warning("for later", extra={"message_id": message.message_id, "error": why})
        self._later(message, retry_after)
        return trouble, False

    def _bury(self, message: Message, sentence: str, counts: Counter[str]) -> bool:
        """Send a message to the dead-letter queue with its reason; False if that failed, and it comes again."""
        try:
            with unavailable_on_failure("cannot send to the dead-letter queue"):
                self._sqs.send_message(
                    QueueUrl=self._dead_letters_url,
                    MessageBody=message.body,
                    MessageAttributes={"reason": {"DataType": "String", "StringValue": _plain(sentence)}},
                )
        except UnavailableError as exc:
            _logger.error("dead letter not kept", extra={"message_id": message.message_id, "error": str(exc)})
            self._later(message, 0)
            return False
        _logger.error("dead letter", extra={"message_id": message.message_id, "reason": sentence})
        counts["InboxDeadLetters"] += 1
        return True

    def _later(self, message: Message, retry_after: int) -> None:
        age = self._clock() - message.first_received_at
        delay = max(retry_after, min(LONGEST_DELAY, max(SHORTEST_DELAY, age / 4))) * self._dice(0.75, 1.25)
        try:
            with unavailable_on_failure("cannot put a message off"):
                self._sqs.change_message_visibility(
                    QueueUrl=self._queue_url, ReceiptHandle=message.receipt, VisibilityTimeout=int(delay) + 1
                )
        except UnavailableError as exc:
            # It comes again all the same, when the queue's own time is up.
            _logger.warning("not put off", extra={"message_id": message.message_id, "error": str(exc)})


def _plain(sentence: str) -> str:
    """Return a sentence as SQS takes it: of printable characters, and not without end."""
    return "".join(letter if letter.isprintable() else " " for letter in sentence)[:4000]
