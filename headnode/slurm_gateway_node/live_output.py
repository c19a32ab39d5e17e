"""What running jobs have printed so far, in S3 while somebody reads it.

    live/{user}/{cluster}/{id}-{submitted}/{stream}/{number}    so many bytes of the stream, and the last ones fewer
    live/{user}/{cluster}/{id}-{submitted}/{stream}/state       which bytes there are, and of when that is

A reader's order names an offset. For a minute the bytes that follow it are kept up to date; who reads on orders again.
The blocks lie at fixed places, so whoever knows an offset knows its block, and a block that grew is written again.

Each stream has its own turn, and waits for no other's: a file may come slowly, and its user may see to it that it does.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from . import job_user, output_files
from .reading import FileRead, Item, ReadFile, ReadingError, ReadProblem
from .workers import workers

if TYPE_CHECKING:
    from concurrent.futures import Future
    from threading import Event

    from botocore.client import BaseClient

    from .bandwidth import Bandwidth
    from .files_settings import FilesSettings
    from .job_user import JobUser
    from .orders import WatchOrder
    from .reading import FileReading
    from .slurm_job import SlurmJobs

_logger = logging.getLogger(__name__)

BLOCK = 256 * 1024
AHEAD = 16
"""Blocks that are kept from a reader's offset on, before the next order."""

_SECONDS = 60.0
_PERIOD = 2.0
_MOST_WATCHED = 64
# So that nobody's many jobs keep the others' from being watched.
_MOST_WATCHED_A_USER = 16
_MOST_READERS = 8
_WORKERS = 8
# So that whoever's files come slowly makes nobody else's old.
_WORKERS_A_USER = 2

PATIENCE = 5.0
"""Seconds without a byte after which a file is given up: its user's other ones wait."""
LONGEST = 20.0
"""Seconds after which it is given up although bytes come."""


@dataclass(eq=False)
class _Watch:
    """One stream of one job. `readers` are the blocks that readers begin at, each with when it was last asked for.

    `due` (monotonic clock) is when it is to be looked at next.
    """

    key: str
    user: JobUser
    path: str
    readers: dict[int, float] = field(default_factory=dict)
    due: float = math.inf
    size: int = 0
    blocks: dict[int, int] = field(default_factory=dict)
    """The length of each block that is there."""

    def wanted(self) -> list[int]:
        """Return the blocks that are not there whole and that readers wait for, first ones first."""
        numbers = {number for first in self.readers for number in range(first, first + AHEAD)}
        return sorted(number for number in numbers if self.blocks.get(number, 0) < BLOCK)

    def state(self, now: float, problem: str) -> dict[str, Any]:
        """Return what a reader has to know. `now` is in Unix seconds."""
        ranges = [[first * BLOCK, min((first + AHEAD) * BLOCK, self.size)] for first in sorted(self.readers)]
        until = max(self.readers.values(), default=0.0) + _SECONDS - time.monotonic() + now
        return {"size": self.size, "seen_at": now, "until": until, "ranges": ranges, "problem": problem}


class LiveOutput:
    """Watches streams."""

    def __init__(
        self, settings: FilesSettings, slurm: SlurmJobs, reading: FileReading, s3: BaseClient, bandwidth: Bandwidth
    ) -> None:
        self._settings = settings
        self._slurm = slurm
        self._reading = reading
        self._s3 = s3
        self._bandwidth = bandwidth
        self._watches: dict[str, _Watch] = {}
        self._lock = threading.Lock()
        self._news = threading.Event()

    def watch(self, order: WatchOrder) -> None:
        """Begin to watch a stream, or go on; nothing is to do for a job that does not run. SlurmError."""
        key = f"live/{order.user}/{order.cluster}/{order.job_id}-{order.submitted}/{order.stream}/"
        with self._lock:
            there = self._watches.get(key)
        watch = there or self._new(order, key)
        if watch is None:
            return
        with self._lock:
            if key not in self._watches and self._is_full(order.user):
                _logger.warning("%d streams are watched already; %s is not", len(self._watches), key)
                return
            watch = self._watches.setdefault(key, watch)
            watch.readers[order.offset // BLOCK] = time.monotonic()
            while len(watch.readers) > _MOST_READERS:
                del watch.readers[min(watch.readers, key=watch.readers.__getitem__)]
            # A new order is answered at once.
            watch.due = min(watch.due, time.monotonic())
        self._news.set()

    def run(self, ending: Event) -> None:
        """Work until `ending` is set."""
        running: dict[Future[None], _Watch] = {}
        with workers(_WORKERS, "live") as pool:
            while not ending.is_set():
                self._news.clear()
                for future in [each for each in running if each.done()]:
                    del running[future]
                    # What nobody foresaw ends the service.
                    future.result()
                now = time.monotonic()
                for watch in self._take_turns(now, list(running.values())):
                    future = pool.submit(self._keep_up, watch)
                    running[future] = watch
                    future.add_done_callback(lambda _: self._news.set())
                self._news.wait(self._pause(now))

    def _take_turns(self, now: float, running: list[_Watch]) -> list[_Watch]:
        """Return those to be looked at now: the longest due ones for which there is room, and few of one user."""
        busy = Counter(watch.user.name for watch in running)
        turns: list[_Watch] = []
        with self._lock:
            self._forget(now, running)
            for watch in sorted(self._watches.values(), key=lambda each: each.due):
                if watch.due > now or len(running) + len(turns) >= _WORKERS:
                    break
                if watch not in running and busy[watch.user.name] < _WORKERS_A_USER:
                    busy[watch.user.name] += 1
                    watch.due = now + _PERIOD
                    turns.append(watch)
        return turns

    def _forget(self, now: float, running: list[_Watch]) -> None:
        """Forget what nobody has asked for in the last minute."""
        for key, watch in list(self._watches.items()):
            watch.readers = {first: asked for first, asked in watch.readers.items() if asked > now - _SECONDS}
            if not watch.readers and watch not in running:
                del self._watches[key]

    def _pause(self, now: float) -> float:
        """Return for how long nothing becomes due, at most a second; what is due already waits for one that ends."""
        with self._lock:
            return min([1.0, *(watch.due - now for watch in self._watches.values() if watch.due > now)])

    def _is_full(self, user: str) -> bool:
        own = sum(watch.user.name == user for watch in self._watches.values())
        return len(self._watches) >= _MOST_WATCHED or own >= _MOST_WATCHED_A_USER

    def _new(self, order: WatchOrder, key: str) -> _Watch | None:
        job = self._slurm.find(order.job_id)
        if job is None or not job.is_running or not job.is_of(order.user, order.submitted):
            return None
        names = output_files.Names(job.id, job.number, job.name, job.user, job.batch_host)
        path = output_files.expand(job.stdout if order.stream == "stdout" else job.stderr, names)
        try:
            user = job_user.find(order.user)
        except job_user.UnknownUserError as exc:
            _logger.warning("the output of job %s cannot be watched: %s", order.job_id, exc)
            return None
        return _Watch(key, user, output_files.absolute(path, job.working_directory))

    def _keep_up(self, watch: _Watch) -> None:
        problem = ""
        try:
            problem = self._bring(watch) if output_files.is_below(watch.path, self._settings.shared) else "not-shared"
            with self._lock:
                state = watch.state(time.time(), problem)
            self._put(f"{watch.key}state", json.dumps(state).encode())
        except ReadingError as exc:
            # Whoever still reads orders again; until then it holds up no other.
            _logger.warning("%s is watched no more: %s", watch.key, exc)
            with self._lock:
                self._watches.pop(watch.key, None)
        except (ClientError, BotoCoreError) as exc:
            _logger.warning("%s is tried again: %s", watch.key, exc)

    def _bring(self, watch: _Watch) -> str:
        """Bring the blocks that are wanted; return a problem's word, "" for none."""
        with self._lock:
            wanted = watch.wanted()
        items = [Item(path=watch.path, offset=number * BLOCK, limit=BLOCK) for number in wanted]
        # However little is wanted, its size is.
        items.append(Item(path=watch.path))
        data = bytearray()
        number: int | None = None
        for event in self._reading.read(watch.user, items, BLOCK * len(items)):
            if isinstance(event, ReadProblem):
                return event.problem
            if isinstance(event, ReadFile):
                number = wanted[event.item] if event.item < len(wanted) else None
                data.clear()
                if event.size < watch.size:
                    # It was cut short, or is another file: what is there is not what it says now.
                    watch.blocks.clear()
                watch.size = event.size
            elif isinstance(event, bytes):
                data += event
            elif isinstance(event, FileRead) and number is not None and len(data) > watch.blocks.get(number, 0):
                self._put(f"{watch.key}{number:08d}", bytes(data))
                watch.blocks[number] = len(data)
        return ""

    def _put(self, key: str, body: bytes) -> None:
        self._bandwidth.use(len(body))
        self._s3.put_object(Bucket=self._settings.bucket, Key=key, Body=body, ContentType="application/octet-stream")
