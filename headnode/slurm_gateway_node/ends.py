"""The ended jobs whose output is to be collected, from the spool directory, several at a time and each user in turn.

A file stays in the spool until nothing is left to do for it, so that a service that is killed begins again where it
was; but a manifest that is there is never replaced by a poorer one (end_notes.py). A compute node may write what it
holds back up to half a minute after its job ended: the files are looked at again then, and collected again if they
differ.

Slurm forgets a job and its script some minutes after its end. So it is asked what to collect as soon as an end is
noted, however long the collection has to wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from . import end_notes, job_end, output_event
from .job_user import UnknownUserError
from .reading import Item, NoChildError, ReadFile, ReadingError, SilentChildError
from .slurm_job import SlurmError
from .workers import workers

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

    from .collection import Collector, Plan
    from .job_end import JobEnd
    from .output_event import OutputEvents
    from .reading import FileReading

_logger = logging.getLogger(__name__)
_PERIOD = 0.3
# While S3 is away there may pile up more than the service's memory holds: the others wait in the spool for their turn.
_MOST_NOTED = 20_000
# So that whoever's file system hangs keeps nobody else's from their turn.
_MOST_NOTED_A_USER = 10_000
# Of the time between two looks into the spool, for what one takes where very much has piled up.
_SHARE_OF_LOOKS = 0.1
_WORKERS = 8
# So that whoever's files come slowly holds up no other.
_WORKERS_A_USER = 5
# Each starts commands of Slurm's, which comes first on this machine.
_PLANNERS = 4
_PLANNERS_A_USER = 2
# Seconds after a collection at which the files are looked at again; sooner where one was not there yet.
_AGAIN = (10.0, 35.0)
_AGAIN_MISSING = (1.5, 3.0, 6.0, 15.0, 35.0)
# A look starts a child, whatever it looks at.
_MOST_LOOKS = 50
_LONGEST_PAUSE = 60.0
# What a user does to the child, or to the files, is tried no more often than this.
_MOST_FAILED_READINGS = 4
# Seconds after one by which nothing came: a file system that hangs may be back in half an hour.
_PAUSES_OF_SILENCE = (60.0, 600.0, 1800.0)
# Later Slurm has forgotten the job, and its files are no longer what they were.
_OLDEST = 3 * 24 * 3600


@dataclass
class _Work:
    """One file of the spool. `due` and `collected_at` are by the monotonic clock.

    Once Slurm was asked there is a `plan`, or a `problem` by which nothing can be collected. `has_manifest` says that
    it was collected, which may have been by a service before this one; `collected_at` is when this one did.
    """

    file: Path
    end: JobEnd
    due: float = 0.0
    failures: int = 0
    failed_readings: int = 0
    plan: Plan | None = None
    problem: str = ""
    states: set[tuple[str, int, int, int]] = field(default_factory=set)
    collected_at: float = 0.0
    has_manifest: bool = False
    again: deque[float] = field(default_factory=deque)
    has_changed: bool = False
    untold: dict[str, Any] | None = None

    def is_look(self) -> bool:
        """Tell whether what is next is to look whether the files are still as they were."""
        return bool(self.collected_at) and not self.has_changed and self.untold is None

    def is_done(self) -> bool:
        """Tell whether nothing is left to do."""
        return self.is_look() and not self.again

    def is_planned(self) -> bool:
        """Tell whether Slurm need not be asked any more."""
        return self.plan is not None or bool(self.problem or self.collected_at)


class Ends:
    """Works the spool off."""

    def __init__(self, spool: Path, collector: Collector, reading: FileReading, events: OutputEvents) -> None:
        self._spool = spool
        self._collector = collector
        self._reading = reading
        self._events = events
        self._work: dict[str, _Work] = {}
        # Whose each end is that was read and waits for a place of its user's.
        self._put_off: dict[str, str] = {}
        self._running: list[tuple[list[_Work], Future[None]]] = []
        self._planning: list[tuple[list[_Work], Future[None]]] = []
        self._one_is_done = threading.Event()

    def run(self, ending: threading.Event) -> None:
        """Work until `ending` is set."""
        look_at = 0.0
        with workers(_PLANNERS, "plan") as planners, workers(_WORKERS, "collect") as pool:
            while not ending.is_set():
                self._one_is_done.clear()
                begin = time.monotonic()
                if begin >= look_at:
                    self._take_note()
                    look_at = begin + max(_PERIOD, (time.monotonic() - begin) / _SHARE_OF_LOOKS)
                self._reap()
                self._start(pool)
                self._start_plans(planners)
                self._one_is_done.wait(_PERIOD)

    def _take_note(self) -> None:
        """Take note of new files, of the oldest where there are too many."""
        noted = Counter(work.end.user for work in self._work.values())

        def has_place(name: str) -> bool:
            return name not in self._work and noted[self._put_off.get(name, "")] < _MOST_NOTED_A_USER

        for file in end_notes.oldest_of(self._spool, _MOST_NOTED - len(self._work), has_place):
            name = end_notes.name_of(file)
            try:
                end, told = job_end.read(file), end_notes.told(file)
                if noted[end.user] >= _MOST_NOTED_A_USER:
                    self._put_off[name] = end.user
                    continue
                self._put_off.pop(name, None)
                self._work[name] = _Work(file, end, has_manifest=told is not None, untold=told)
                noted[end.user] += 1
            except job_end.JobEndError as exc:
                _logger.error("%s; it is put aside", exc)
                file.rename(file.with_suffix(".bad"))
            except FileNotFoundError:
                continue

    def _reap(self) -> None:
        for under_way in (self._running, self._planning):
            for each in [each for each in under_way if each[1].done()]:
                under_way.remove(each)
                self._end(*each)

    def _end(self, works: list[_Work], future: Future[None]) -> None:
        error = future.exception()
        for work in works:
            if error is not None:
                self._failed(work, error)
            if work.is_done():
                end_notes.remove(work.file)
                del self._work[end_notes.name_of(work.file)]

    def _failed(self, work: _Work, error: BaseException) -> None:
        work.failures += 1
        work.failed_readings += isinstance(error, ReadingError) and not isinstance(error, NoChildError)
        pause = min(2.0 ** min(work.failures, 6), _LONGEST_PAUSE)
        if isinstance(error, SilentChildError) and work.failed_readings < _MOST_FAILED_READINGS:
            pause = _PAUSES_OF_SILENCE[work.failed_readings - 1]
        work.due = time.monotonic() + pause
        if work.is_look() and work.failed_readings >= _MOST_FAILED_READINGS:
            work.again.clear()
        known = isinstance(error, (SlurmError, ReadingError, ClientError, BotoCoreError))
        _logger.log(
            logging.WARNING if known else logging.ERROR,
            "the output of job %s of %s is tried again in %.0f s: %s", work.end.id, work.end.user, pause, error,
            exc_info=None if known else error,
        )  # fmt: skip

    def _start(self, pool: ThreadPoolExecutor) -> None:
        now = time.monotonic()
        taken = self._taken()
        busy = Counter(works[0].end.user for works, _ in self._running)
        due = [work for name, work in self._work.items() if work.due <= now and name not in taken]
        # Looking again waits for what may still be in time.
        due.sort(key=lambda each: (each.is_look(), each.failures, each.due))
        while due and len(self._running) < _WORKERS:
            work = due.pop(0)
            user = work.end.user
            if busy[user] >= _WORKERS_A_USER:
                continue
            busy[user] += 1
            works = [work]
            if work.is_look():
                works += [each for each in due if each.is_look() and each.end.user == user][: _MOST_LOOKS - 1]
                due = [each for each in due if each not in works]
            future = pool.submit(self._look if work.is_look() else self._bring, works)
            self._running.append((works, future))
            future.add_done_callback(lambda _: self._one_is_done.set())

    def _start_plans(self, pool: ThreadPoolExecutor) -> None:
        """Ask Slurm about ends whose turn to be collected has not come."""
        now = time.monotonic()
        taken = self._taken()
        busy = Counter(works[0].end.user for works, _ in self._planning)
        for name, work in self._work.items():
            if len(self._planning) >= _PLANNERS:
                return
            if work.is_planned() or work.due > now or name in taken or busy[work.end.user] >= _PLANNERS_A_USER:
                continue
            busy[work.end.user] += 1
            future = pool.submit(self._plan, work)
            self._planning.append(([work], future))
            future.add_done_callback(lambda _: self._one_is_done.set())

    def _taken(self) -> set[str]:
        return {end_notes.name_of(work.file) for works, _ in (*self._running, *self._planning) for work in works}

    def _plan(self, work: _Work) -> None:
        try:
            work.plan = self._collector.plan(work.end)
        except UnknownUserError as exc:
            work.problem = f"failed: {exc}"

    def _bring(self, works: list[_Work]) -> None:
        """Collect an end's output, unless only its event is left to be sent."""
        for work in works:
            if work.untold is None:
                self._collect(work)
            if work.untold is not None:
                self._events.send(work.untold)
                work.untold = None
            work.failures = 0
            _set_due(work)

    def _look(self, works: list[_Work]) -> None:
        """Look whether files of one user's jobs are still as they were."""
        owners, items = [], []
        for group, work in enumerate(works):
            for item in work.plan.items if work.plan else ():
                owners.append(work)
                items.append(Item(item.path, item.pattern, item.base, group=group))
        seen: dict[str, set[tuple[str, int, int, int]]] = {work.file.name: set() for work in works}
        user = works[0].plan.user if works[0].plan else None
        if user is not None:
            for event in self._reading.read(user, items, 0):
                if isinstance(event, ReadFile):
                    seen[owners[event.item].file.name].add(event.state())
        for work in works:
            work.failures = 0
            work.again.popleft()
            work.has_changed = seen[work.file.name] != work.states
            _set_due(work)

    def _collect(self, work: _Work) -> None:
        problem = ""
        if time.time() - work.end.ended_at > _OLDEST:
            problem = "too-late"
        elif work.failed_readings >= _MOST_FAILED_READINGS:
            problem = "failed: the files could not be read"
        else:
            if not work.is_planned():
                self._plan(work)
            problem = work.problem
        is_first = not work.collected_at
        if work.has_manifest and (problem or work.plan is None or (is_first and not work.plan.is_known)):
            # The one that is there was made when more was known.
            work.again.clear()
        elif work.plan is None or problem:
            self._note(work, self._collector.give_up(work.end, problem))
            work.again.clear()
        else:
            manifest, found = self._collector.collect(work.end, work.plan)
            self._note(work, manifest)
            work.states = found.states
            if is_first and work.plan.items:
                work.again = deque(_AGAIN_MISSING if found.missing else _AGAIN)
        work.has_changed = False
        if is_first:
            work.collected_at = time.monotonic()

    def _note(self, work: _Work, manifest: dict[str, Any]) -> None:
        """Take note of a manifest, on disk too: whoever comes after this service must not make it worse."""
        work.untold = output_event.detail(manifest)
        work.has_manifest = True
        try:
            work.file = end_notes.mark(work.file, work.untold)
        except OSError as exc:
            _logger.warning("that job %s was collected cannot be noted: %s", work.end.id, exc)


def _set_due(work: _Work) -> None:
    work.due = 0.0 if work.has_changed or not work.again else work.collected_at + work.again[0]
