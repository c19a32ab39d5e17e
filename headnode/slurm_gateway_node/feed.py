"""The feed service: python -m slurm_gateway_node.feed, started by slurm-gateway-feed.service."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from . import aws, logs
from .heartbeat import Heart
from .journal import Journal
from .sender import Sender
from .settings import ENDS_DIRECTORY, STATE_DIRECTORY, Settings, SettingsError
from .slurm_queue import QueueError, SlurmQueue, chunks
from .store import Store
from .tracker import JOURNAL_GRACE, Tracker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .slurm_queue import QueuedState

DATABASE = STATE_DIRECTORY / "feed" / "feed.db"
_JOURNAL_PERIOD = 0.25
_QUEUE_PERIOD = 2.0
_LONGEST_PAUSE = 10.0
_JOBS_AT_ONCE = 500
_ACCOUNTS_PERIOD = 10.0
# A slurmdbd that hangs takes a minute of the feed each time.
_LONGEST_ACCOUNTS_PAUSE = 600.0
# Seconds until the end of a job is told as UNKNOWN that is in the queue no more, where slurmdbd has no end of it.
_GIVE_UP = {True: 300.0, False: 30.0}
# And where slurmdbd does not answer at all, which may only be under repair.
_GIVE_UP_UNACCOUNTED = 3600.0
_FORGET_PERIOD = 3600.0
_FORGET_AFTER = 24 * 3600.0

_logger = logging.getLogger(__name__)


class _Sight:
    """What of Slurm can be seen or not; the log is told of it when that changes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_clear = True

    def lose(self, exc: QueueError) -> None:
        """Take note that there was no answer."""
        if self.is_clear:
            _logger.warning("%s cannot be seen: %s", self._name, exc)
        self.is_clear = False

    def regain(self) -> None:
        """Take note of an answer."""
        if not self.is_clear:
            _logger.info("%s is seen again", self._name)
        self.is_clear = True


class Feed:
    """Asks Slurm in turns and hands what it says to the tracker."""

    def __init__(self, settings: Settings, store: Store, tracker: Tracker, journal: Journal, queue: SlurmQueue) -> None:
        self._settings = settings
        self._store = store
        self._tracker = tracker
        self._journal = journal
        self._queue = queue
        self._next_accounts = 0.0
        self._accounts_pause = _ACCOUNTS_PERIOD
        self._next_forget = 0.0
        self._sight_of_queue = _Sight("Slurm's queue")
        self._sight_of_accounting = _Sight("Slurm's accounting")
        self.queue_seen_at = time.time()

    def read_journal(self) -> None:
        """Take all that the journal has."""
        while True:
            entries, place = self._journal.read(self._store.place())
            if place == self._store.place():
                return
            self._tracker.on_journal(entries, place)

    def look_at_queue(self) -> float:
        """Look at the queue; return for how many seconds it is then left alone."""
        begin = time.monotonic()
        try:
            asked_at, states = self._queue.states()
        except QueueError as exc:
            self._sight_of_queue.lose(exc)
            # It costs slurmctld next to nothing, and that it is back is seen soon.
            return _QUEUE_PERIOD
        try:
            self._take_states(asked_at, states)
        except QueueError as exc:
            self._sight_of_queue.lose(exc)
        else:
            self._sight_of_queue.regain()
            self.queue_seen_at = time.time()
        return pause(time.monotonic() - begin)

    def _take_states(self, asked_at: float, states: list[QueuedState]) -> None:
        # What ended before the queue was asked is in the journal by now.
        self.read_journal()
        for numbers in chunks(self._tracker.on_states(asked_at, states), _JOBS_AT_ONCE):
            jobs_asked_at, found = self._queue.jobs(numbers)
            self._tracker.on_jobs(jobs_asked_at, found)
            self.read_journal()
        self._tracker.shown(states)

    def look_for_missing(self) -> None:
        """Look into slurmdbd for what is in the queue no more, some time after a look there and seldom if it hangs."""
        if not self._sight_of_queue.is_clear or time.monotonic() < self._next_accounts:
            return
        missing = self._tracker.missing(2 * JOURNAL_GRACE)
        if not missing:
            return
        try:
            self._settle(missing)
        except QueueError as exc:
            self._sight_of_accounting.lose(exc)
            self._accounts_pause = min(4 * self._accounts_pause, _LONGEST_ACCOUNTS_PAUSE)
            self._tracker.on_accounts(self._tracker.missing(_GIVE_UP_UNACCOUNTED), [], last_chance=True)
        else:
            self._sight_of_accounting.regain()
            self._accounts_pause = _ACCOUNTS_PERIOD
        self._next_accounts = time.monotonic() + self._accounts_pause

    def _settle(self, missing: Mapping[str, int]) -> None:
        late = self._tracker.missing(_GIVE_UP[self._settings.accounting])
        for numbers in chunks(missing.values()):
            accounts = self._queue.accounts(numbers) if self._settings.accounting else []
            wanted = [part_id for part_id, number in missing.items() if number in set(numbers)]
            self._tracker.on_accounts([each for each in wanted if each not in late], accounts, last_chance=False)
            self._tracker.on_accounts([each for each in wanted if each in late], accounts, last_chance=True)

    def forget(self) -> None:
        """Once an hour, forget what ended a day ago."""
        if time.monotonic() >= self._next_forget:
            self._next_forget = time.monotonic() + _FORGET_PERIOD
            self._tracker.forget(time.time() - _FORGET_AFTER)
            self._journal.forget(self._store.place())

    def lag(self) -> tuple[float, int]:
        """Return how many seconds old the oldest thing is that is yet to be told, and how many events wait."""
        waiting, since = self._store.outbox()
        unsent = time.time() - since if since else 0.0
        unseen = max(0.0, time.time() - self.queue_seen_at - 2 * _QUEUE_PERIOD)
        return max(unsent, unseen, self._journal.unread(self._store.place())), waiting


def write_end(directory: Path, detail: Mapping[str, Any]) -> None:
    """Leave the end of a job for the files service: whole, or not at all."""
    path = directory / f"{detail['event_id']}.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(detail), encoding="utf-8")
    new.rename(path)


def main() -> int:
    """Run until SIGTERM; return the exit status."""
    logs.configure()
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as exc:
        _logger.error("%s", exc)
        return 1
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    store = Store(DATABASE)
    tracker = Tracker(store, settings.cluster, ended=lambda detail: write_end(ENDS_DIRECTORY, detail))
    feed = Feed(settings, store, tracker, Journal(), SlurmQueue())
    events = aws.client("events", settings.region)
    sender = Sender(events, settings.event_bus, lambda: Store(DATABASE), ending)
    heart = Heart(events, settings, ending)
    # What a thread dies of ends the service, and systemd starts it again.
    for work in (sender.run, heart.run):
        threading.Thread(target=_or_die, args=(work,), daemon=True).start()
    _run(feed, sender, heart, ending)
    return 0


def _run(feed: Feed, sender: Sender, heart: Heart, ending: threading.Event) -> None:
    feed.read_journal()
    next_look = 0.0
    while not ending.is_set():
        feed.read_journal()
        if time.monotonic() >= next_look:
            left_alone = feed.look_at_queue()
            next_look = time.monotonic() + left_alone
            feed.look_for_missing()
        feed.forget()
        heart.lag = feed.lag()
        sender.wake()
        ending.wait(_JOURNAL_PERIOD)


def pause(taken: float) -> float:
    """Return for how long the queue is left alone after a look that took so long (both in seconds).

    That is most of the time. But a look may have taken long only because slurmctld was away, and it is back now.
    """
    return max(_QUEUE_PERIOD - taken, min(2 * taken, _LONGEST_PAUSE))


def _or_die(work: Any) -> None:  # noqa: ANN401 - a thread's target
    try:
        work()
    except BaseException:
        _logger.exception("ended by an unexpected error")
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
