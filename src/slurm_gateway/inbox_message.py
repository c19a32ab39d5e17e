"""A message of the inbox's queue: EventBridge's event about an object that was written.

What it says is only a hint. That the object is there, and how large it is, S3 is asked (inbox_objects.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from . import strict_json
from .errors import DeadLetterError
from .inbox_rule import INBOX

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_KEY = 1024
# Longer than S3's request ids and any address: a message that is forged must not fill the log.
_LONGEST_ORIGIN = 100


@dataclass(frozen=True, slots=True)
class InboxObject:
    """One version of an object under inbox/."""

    bucket: str
    key: str
    version: str

    @property
    def digest(self) -> str:
        """Return what tells this version from every other: a hash, for a key may be longer than a table's."""
        return sha256(f"{self.bucket}\0{self.key}\0{self.version}".encode()).hexdigest()

    def __str__(self) -> str:
        """Return the version for a reader."""
        return f"{self.key} (version {self.version})"


@dataclass(frozen=True, slots=True)
class Message:
    """An SQS message as Lambda hands it over. Times are Unix seconds; `receipt` is what it is answered by."""

    message_id: str
    receipt: str = field(repr=False)
    body: str
    sent_at: float
    first_received_at: float

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Message:
        """Take a record of the function's event."""
        attributes = record["attributes"]
        sent = int(attributes["SentTimestamp"]) / 1000
        return cls(
            message_id=str(record["messageId"]),
            receipt=str(record["receiptHandle"]),
            body=str(record["body"]),
            sent_at=sent,
            first_received_at=int(attributes.get("ApproximateFirstReceiveTimestamp") or sent * 1000) / 1000,
        )

    def origin(self) -> dict[str, str]:
        """Return what the audit log says of where the event came from, as S3 told it; "" for what it did not tell."""
        try:
            detail = strict_json.loads(self.body.encode())["detail"]
            told = str(detail["request-id"]), str(detail["source-ip-address"])
        except (ValueError, KeyError, TypeError):
            told = "", ""
        return {"request_id": told[0][:_LONGEST_ORIGIN], "source_ip": told[1][:_LONGEST_ORIGIN]}

    def written(self, bucket: str) -> InboxObject:
        """Return the object that the message is about; DeadLetterError unless it is under inbox/ in this bucket."""
        try:
            event = strict_json.loads(self.body.encode())
            detail = event["detail"]
            about = str(event["source"]), str(event["detail-type"])
            there, thing = str(detail["bucket"]["name"]), detail["object"]
            key, version = thing["key"], thing.get("version-id")
            # Half of a surrogate pair, which JSON can spell, is in no name of S3's.
            f"{key}{version}".encode()
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise DeadLetterError("The message is not an event of S3's about an object.") from exc
        if about != ("aws.s3", "Object Created"):
            raise DeadLetterError("The message is not S3's event about an object that was written.")
        if there != bucket:
            raise DeadLetterError(f"The message is about the bucket {there[:63]}; this inbox is in {bucket}.")
        if not isinstance(key, str) or not key.startswith(INBOX) or len(key.encode()) > _LONGEST_KEY:
            raise DeadLetterError(f"The message is about an object that is not under {INBOX}.")
        if not isinstance(version, str) or not version or len(version) > _LONGEST_KEY:
            raise DeadLetterError(
                f"The message about {key} names no version, without which one object could not be told from the next: "
                "switch the bucket's versioning on, and write the object again."
            )
        return InboxObject(there, key, version)
