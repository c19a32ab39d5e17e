"""Orders from the gateway's functions, by SQS: at least once each, and none believed without asking Slurm.

A copy may take hours, and a reader of live output waits for seconds. So copies wait for their turn here and not in the
queue, where what comes after them would wait too; and no user has all the turns.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections import Counter, deque
from dataclasses import dataclass
from functools import partial
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Any, Callable, Union

from botocore.exceptions import BotoCoreError, ClientError

from .slurm_job import JOB_ID
from .workers import workers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    from botocore.client import BaseClient

    from .inputs import Inputs
    from .live_output import LiveOutput

_logger = logging.getLogger(__name__)
_WORKERS = 4
_COPIES = 4
_COPIES_A_USER = 3
# Copies that wait for their turn; with more of them nothing further is received.
_MOST_WAITING = 500
_WAIT = 20
_SHORT_WAIT = 1
# As the queue itself does at first; prolonged while an order is worked on.
_HIDDEN = 30
_HIDDEN_WAITING = 120
_PAUSE = 5.0
_LONGEST_PAUSE = 600
_STREAMS = ("stdout", "stderr")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_MARKER = re.compile(r"slurm-gateway:[0-9]{10}:[0-9a-f]{32}:(?:[0-9a-f]{64})?")


class OrderError(Exception):
    """An order is none, or may not be carried out: it stays in the queue, and goes to the dead letters."""


@dataclass(frozen=True)
class InputOrder:
    """Copy an object's version to a held job's path, then release the job."""

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


@dataclass(frozen=True)
class WatchOrder:
    """Show what a running job prints to a stream, from an offset on."""

    cluster: str
    job_id: str
    user: str
    submitted: int
    stream: str
    offset: int


Order = Union[InputOrder, WatchOrder]


def parse(body: str) -> Order:
    """Return the order that a message holds; OrderError."""
    try:
        told = json.loads(body)
        order: Order = {"input": InputOrder, "watch": WatchOrder}[told.pop("kind")](**told)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise OrderError(f"it is no order: {type(exc).__name__}") from exc
    for name, expected in order.__annotations__.items():
        value = getattr(order, name)
        if type(value).__name__ != expected or (expected == "int" and value < 0):
            raise OrderError(f"its {name} is no {expected}")
    if not (JOB_ID.fullmatch(order.job_id) and _NAME.fullmatch(order.user)):
        raise OrderError("it names no job or no user")
    if isinstance(order, WatchOrder):
        if order.stream not in _STREAMS:
            raise OrderError("there is no such stream")
    elif not _MARKER.fullmatch(order.marker):
        raise OrderError("its marker is none")
    elif not order.path.startswith("/") or not {"", ".", ".."}.isdisjoint(order.path.split("/")[1:]):
        raise OrderError("its path is not absolute, or not plain")
    elif "\0" in order.path:
        raise OrderError("its path is not plain")
    return order


@dataclass
class _Waiting:
    """A copy that waits for its turn, and until when its message is hidden from other receivers (monotonic clock)."""

    user: str
    message: Mapping[str, Any]
    hidden_until: float


class Orders:
    """Receives orders and has them carried out, a few at a time."""

    def __init__(self, sqs: BaseClient, queue_url: str, cluster: str, inputs: Inputs, live: LiveOutput) -> None:
        self._sqs = sqs
        self._queue = {"QueueUrl": queue_url}
        self._cluster = cluster
        self._inputs = inputs
        self._live = live
        self._free = BoundedSemaphore(_WORKERS)
        self._waiting: deque[_Waiting] = deque()
        self._copying: Counter[str] = Counter()
        self._lock = Lock()

    def run(self, ending: Event) -> None:
        """Work until `ending` is set."""
        with workers(_WORKERS, "order") as pool, workers(_COPIES, "copy") as copies:
            try:
                self._run(ending, pool, copies)
            finally:
                # They are received again by the next service; those under way come to their end.
                with self._lock:
                    self._waiting.clear()

    def _run(self, ending: Event, pool: ThreadPoolExecutor, copies: ThreadPoolExecutor) -> None:
        while not ending.is_set():
            self._start_copies(copies)
            self._keep_hidden()
            # What is received and not worked on would only be hidden from a next service.
            if len(self._waiting) >= _MOST_WAITING:
                ending.wait(_SHORT_WAIT)
                continue
            if not self._free.acquire(timeout=_SHORT_WAIT):
                continue
            self._free.release()
            for message in self._receive(ending):
                user = _copys_user(message)
                if user:
                    with self._lock:
                        self._waiting.append(_Waiting(user, message, time.monotonic() + _HIDDEN))
                    continue
                self._free.acquire()
                pool.submit(self._handle, message, self._free.release)

    def _start_copies(self, copies: ThreadPoolExecutor) -> None:
        """Start the copies whose turn it is."""
        for each in self._take_turns():
            if each.hidden_until - time.monotonic() < _HIDDEN / 2:
                self._hide(each.message, _HIDDEN)
            copies.submit(self._handle, each.message, partial(self._copied, each.user, copies))

    def _take_turns(self) -> list[_Waiting]:
        """Take the oldest copies for which there is room, but those of a user who has enough under way."""
        taken = []
        with self._lock:
            for each in list(self._waiting):
                if sum(self._copying.values()) >= _COPIES:
                    break
                if self._copying[each.user] < _COPIES_A_USER:
                    self._copying[each.user] += 1
                    self._waiting.remove(each)
                    taken.append(each)
        return taken

    def _copied(self, user: str, copies: ThreadPoolExecutor) -> None:
        with self._lock:
            self._copying[user] -= 1
            if not self._copying[user]:
                del self._copying[user]
        # At once, and not when the receiver comes round: it may be waiting for messages.
        self._start_copies(copies)

    def _keep_hidden(self) -> None:
        """Keep the messages of what waits from being received again."""
        now = time.monotonic()
        with self._lock:
            due = [each for each in self._waiting if each.hidden_until - now < _HIDDEN]
        for each in due:
            each.hidden_until = now + _HIDDEN_WAITING
            self._hide(each.message, _HIDDEN_WAITING)

    def _receive(self, ending: Event) -> list[dict[str, Any]]:
        try:
            answer = self._sqs.receive_message(
                **self._queue, MaxNumberOfMessages=_WORKERS, WaitTimeSeconds=_SHORT_WAIT if self._waiting else _WAIT,
                AttributeNames=["ApproximateReceiveCount"],
            )  # fmt: skip
        except (BotoCoreError, ClientError) as exc:
            _logger.warning("no orders can be received: %s", exc)
            ending.wait(_PAUSE)
            return []
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def _handle(self, message: Mapping[str, Any], done: Callable[[], None]) -> None:
        try:
            self._carry_out(message)
        except OrderError as exc:
            # It is received a few times more and then kept with the dead letters.
            _logger.error("an order is refused: %s", exc)
            self._postpone(message)
        except Exception as exc:  # noqa: BLE001 - a thread that dies silently would keep its place for ever
            _logger.warning("an order is tried again: %s", exc)
            self._postpone(message)
        finally:
            done()

    def _carry_out(self, message: Mapping[str, Any]) -> None:
        order = parse(message["Body"])
        if order.cluster != self._cluster:
            raise OrderError(f"it is for the cluster {order.cluster!r}")
        if isinstance(order, WatchOrder):
            self._live.watch(order)
        else:
            self._inputs.copy(order, keep_alive=lambda: self._hide(message, _HIDDEN))
        self._sqs.delete_message(**self._queue, ReceiptHandle=message["ReceiptHandle"])

    def _postpone(self, message: Mapping[str, Any]) -> None:
        received = int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1"))
        self._hide(message, min(2 ** min(received, 10), _LONGEST_PAUSE))

    def _hide(self, message: Mapping[str, Any], seconds: int) -> None:
        try:
            self._sqs.change_message_visibility(
                **self._queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
            )
        except (BotoCoreError, ClientError) as exc:
            # Then it comes back when its time is up, which does no harm.
            _logger.warning("an order could not be postponed: %s", exc)


def _copys_user(message: Mapping[str, Any]) -> str:
    """Return whose input an order is about, "" if it is about none."""
    try:
        order = parse(message["Body"])
    except OrderError:
        return ""
    return order.user if isinstance(order, InputOrder) else ""
