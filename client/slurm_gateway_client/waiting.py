"""Waiting for jobs to end, by polling that is as slow as the gateway asks for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import refusals
from .errors import NotFoundError
from .parallel import in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .gateway import Job, Reading

_ACTIVE = ("PENDING", "RUNNING", "SUSPENDED")
_UNSETTLED = {"COMPLETING", "REQUEUED", "REQUEUE_HOLD"}
_SHORTEST = 1.0  # seconds between two looks, whatever is asked for
_SILENT = 5.0  # seconds between two looks where the gateway asks for nothing
_AT_ONCE = 8


def is_final(job: Mapping[str, Any]) -> bool:
    """Tell whether nothing more will happen to a job."""
    return job["state"] not in _ACTIVE and not _UNSETTLED & set(job["state_flags"])


@dataclass
class _Watched:
    job: Job | None = None
    etag: str = ""
    due: float = 0.0
    over: bool = False


class Waiting:
    """Waits for some jobs. `read` asks for one; `changed` is told of each that is not as it was."""

    def __init__(
        self,
        read: Callable[[str, str], Reading],
        job_ids: Sequence[str],
        *,
        changed: Callable[[Job], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._changed = changed
        self._clock = clock
        self._watched = {job_id: _Watched() for job_id in job_ids}

    def is_over(self) -> bool:
        """Tell whether every job has ended."""
        return all(each.over for each in self._watched.values())

    def ended(self) -> list[Job]:
        """Return the jobs in the order in which they were given."""
        return [each.job for each in self._watched.values() if each.job is not None]

    def unfinished(self) -> list[str]:
        """Return the ids of the jobs that have not ended."""
        return [job_id for job_id, each in self._watched.items() if not each.over]

    def job(self, job_id: str) -> Job | None:
        """Return a job as it was read last, None before the first time."""
        return self._watched[job_id].job

    def hurry(self, job_id: str) -> None:
        """Look at a job at the next step: something else says that it may have ended."""
        self._watched[job_id].due = 0.0

    def step(self) -> float:
        """Look at every job whose time has come, and return for how many seconds there is nothing to do."""
        now = self._clock()
        due = [job_id for job_id in self.unfinished() if self._watched[job_id].due <= now]
        readings = [self._look(job_id) for job_id in due] if len(due) < 2 else in_parallel(self._look, due, _AT_ONCE)
        for job_id, reading in zip(due, readings, strict=True):
            self._note(job_id, reading)
        nexts = [each.due for each in self._watched.values() if not each.over]
        return max(min(nexts) - self._clock(), 0.0) if nexts else 0.0

    def _look(self, job_id: str) -> Reading | None:
        try:
            return self._read(job_id, self._watched[job_id].etag)
        except NotFoundError as exc:
            if self._watched[job_id].job is None or refusals.kind_of(exc.problem) != refusals.NO_JOB:
                raise
            # It was there: Slurm and the gateway have both forgotten it.
            return None

    def _note(self, job_id: str, reading: Reading | None) -> None:
        watched = self._watched[job_id]
        if reading is None:
            job = (watched.job or {}) | {"state": "UNKNOWN", "state_flags": [], "state_reason": "InNoRecord"}
        elif reading.job is None:
            watched.due = self._clock() + self._pause(reading)
            return
        else:
            job, watched.etag = reading.job, reading.etag
            watched.due = self._clock() + self._pause(reading)
        is_new = job != watched.job
        watched.job, watched.over = job, is_final(job)
        if is_new:
            self._changed(job)

    @staticmethod
    def _pause(reading: Reading) -> float:
        return max(_SILENT if reading.pause is None else reading.pause, _SHORTEST)
