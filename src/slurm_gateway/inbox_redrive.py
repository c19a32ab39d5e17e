"""The inbox's dead letters: shows them, and sends them back to the queue once what was wrong is mended.

    python -m slurm_gateway.inbox_redrive --stack slurm-gateway --list
    python -m slurm_gateway.inbox_redrive --stack slurm-gateway
    python -m slurm_gateway.inbox_redrive --stack slurm-gateway --only alice-align

It finds the queues in the stack's outputs, by the credentials of whoever runs it, and acts as the operators' role,
which those must be allowed to assume. Every letter is told with its object and its reason.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from .aws import error_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from botocore.client import BaseClient

# What is looked at is nobody else's for so long (seconds); a queue is empty when it said so this often.
_HIDDEN = 60
_EMPTY = 2
_NO_REASON = "no reason is known: the function ended without an answer each time; its log may say why"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: the message, the object it is about, why it became no job, and since when (Unix seconds)."""

    message_id: str
    receipt: str
    body: str
    about: str
    reason: str
    since: float

    @classmethod
    def read(cls, message: dict[str, Any]) -> Letter:
        """Take a message as SQS gives it."""
        reason = message.get("MessageAttributes", {}).get("reason", {}).get("StringValue", _NO_REASON)
        body = str(message["Body"])
        since = int(message["Attributes"]["SentTimestamp"]) / 1000
        return cls(str(message["MessageId"]), str(message["ReceiptHandle"]), body, _about(body), reason, since)


class DeadLetters:
    """The dead-letter queue, and the queue that its letters came from."""

    def __init__(self, sqs: BaseClient, *, dead_letters_url: str, queue_url: str) -> None:
        self._sqs = sqs
        self._dead_letters_url = dead_letters_url
        self._queue_url = queue_url

    def each(self) -> Iterator[Letter]:
        """Give every letter once, hidden from others for a minute."""
        seen: set[str] = set()
        empty = 0
        while empty < _EMPTY:
            answer = self._sqs.receive_message(
                QueueUrl=self._dead_letters_url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=_HIDDEN,
                WaitTimeSeconds=1,
                MessageAttributeNames=["reason"],
                AttributeNames=["SentTimestamp"],
            )
            letters = [Letter.read(message) for message in answer.get("Messages", ())]
            fresh = [letter for letter in letters if letter.message_id not in seen]
            seen |= {letter.message_id for letter in fresh}
            empty = 0 if fresh else empty + 1
            yield from fresh

    def send_back(self, letter: Letter) -> None:
        """Send a letter to its queue, and then take it from among the dead: if that fails it is there twice."""
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=letter.body)
        self._sqs.delete_message(QueueUrl=self._dead_letters_url, ReceiptHandle=letter.receipt)

    def leave(self, letter: Letter) -> None:
        """Show a letter to others again, unless its time has passed and they see it already."""
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._dead_letters_url, ReceiptHandle=letter.receipt, VisibilityTimeout=0
            )
        except ClientError as exc:
            # Its code has a prefix or none, by the protocol that botocore speaks.
            if not error_code(exc).endswith("MessageNotInflight"):
                raise


def of_stack(session: Session, stack: str) -> DeadLetters:
    """Return a stack's dead letters, to be worked on as the operators' role; ValueError if it has none."""
    stacks = session.create_client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", ())}
    try:
        dead_letters, queue, role = (
            outputs[name] for name in ("InboxDeadLetterQueueUrl", "InboxQueueUrl", "OperatorRoleArn")
        )
    except KeyError as exc:
        raise ValueError(
            f"the stack {stack} has no output {exc}: it is not the API's, or is older than its inbox"
        ) from exc
    keys = session.create_client("sts").assume_role(RoleArn=role, RoleSessionName="redrive")["Credentials"]
    sqs = session.create_client(
        "sqs",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    return DeadLetters(sqs, dead_letters_url=dead_letters, queue_url=queue)


def run(letters: DeadLetters, *, only: str = "", show: bool = False) -> int:
    """Send back the letters whose object or reason has `only` in it, or just show them; return how many."""
    chosen, begin = 0, time.time()
    left: list[Letter] = []
    for letter in letters.each():
        # What was sent back and is dead again is left for the next time.
        if letter.since < begin and (only in letter.about or only in letter.reason):
            chosen += 1
            _say(f"{letter.about}\n  {letter.reason}")
            if not show:
                letters.send_back(letter)
                continue
        left.append(letter)
    for letter in left:
        letters.leave(letter)
    _say(
        f"{chosen} dead letter{'' if chosen == 1 else 's'}"
        if show
        else f"{chosen} sent back to the queue, {len(left)} left"
    )
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m slurm_gateway.inbox_redrive", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--stack", required=True, help="the name of the API's stack")
    parser.add_argument("--list", action="store_true", help="show the dead letters, and send none back")
    parser.add_argument("--only", default="", metavar="TEXT", help="only those whose object or reason has this in it")
    given = parser.parse_args(arguments)
    try:
        run(of_stack(Session(), given.stack), only=given.only, show=given.list)
    except (BotoCoreError, ClientError, ValueError) as exc:
        sys.stderr.write(f"inbox_redrive: {exc}\n")
        return 1
    return 0


def _about(body: str) -> str:
    """Return which object a message is about, as far as that can be read."""
    try:
        thing = json.loads(body)["detail"]["object"]
        return f"{thing['key']} (version {thing.get('version-id')})"
    except (ValueError, KeyError, TypeError):
        return f"a message that is no event: {body[:60]!r}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
