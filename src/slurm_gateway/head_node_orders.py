"""Orders to the head node's file service, by an SQS queue that only our functions may write to.

    input   copy an object of the inbox to the path of a held job, as the job's user; then release the job
    watch   while this job runs, keep what it prints in S3 from an offset on, for the next minute

An order comes at least once. The head node does nothing by an order alone: it asks Slurm whether the job is the user's,
and before an input whether the job carries the order's marker and is still held.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from .aws import unavailable_on_failure

if TYPE_CHECKING:
    from botocore.client import BaseClient

INPUT_PREFIX = "inbox/"
_LONGEST_NAME = 200  # bytes: a file's name holds 255, and while it is written it is called something longer
_NO_NAME = "input"


@dataclass(frozen=True, slots=True)
class InputOrder:
    """Copy an object's version to `path`, then release the job.

    `submitted` is the job's key beside its id (Unix seconds), `marker` what it carries in `extra` (marker.py).
    `size` is in bytes.
    """

    cluster: str
    job_id: str
    user: str
    submitted: int
    marker: str
    bucket: str
    key: str
    version: str
    size: int
    path: str


@dataclass(frozen=True, slots=True)
class WatchOrder:
    """Keep what a job prints to `stream` (stdout or stderr) in S3, from the byte `offset` on."""

    cluster: str
    job_id: str
    user: str
    submitted: int
    stream: str
    offset: int


class HeadNodeOrders:
    """Sends orders."""

    def __init__(self, sqs: BaseClient, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def send(self, order: InputOrder | WatchOrder) -> None:
        """Send an order; UnavailableError if it may not have been sent: then send it again."""
        with unavailable_on_failure("cannot send an order to the head node"):
            self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=body(order))


def body(order: InputOrder | WatchOrder) -> str:
    """Return an order as it stands in a message: JSON with its kind."""
    kind = "input" if isinstance(order, InputOrder) else "watch"
    return json.dumps({"kind": kind, **asdict(order)}, separators=(",", ":"))


def input_path(directory: str, *, user: str, bucket: str, key: str, version: str) -> str:
    """Return where the head node puts an object's version, known before its job is submitted.

    `directory` is the template's InputDirectory, with `{user}` for the user's name. Every version has a directory of
    its own, so two objects of one name never meet.
    """
    digest = sha256(f"{bucket}\0{key}\0{version}".encode()).hexdigest()[:16]
    return f"{directory.replace('{user}', user).rstrip('/')}/{digest}/{_file_name(key)}"


def _file_name(key: str) -> str:
    """Return the last part of a key as a file can be called."""
    last = "".join(letter if letter.isprintable() else "_" for letter in key.rpartition("/")[2])
    name = last.encode(errors="replace")[:_LONGEST_NAME].decode(errors="ignore")
    return _NO_NAME if name in {"", ".", ".."} else name
