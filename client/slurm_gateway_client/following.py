"""Printing what a job prints, as it prints it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, BinaryIO

from .output import LONGEST_WAIT, MOST_TASKS, NoOutputError, first_tasks, has_more_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .gateway import Job
    from .output import Output
    from .waiting import Waiting

_PAUSE = 1.0  # seconds between two looks where the gateway asks for nothing
_MUCH = 512 * 1024  # so many bytes at once, and more is waiting


class Follower:
    """Copies what a job prints to a stream, `prefix` before each line. `said` is told, in a sentence, of a new run."""

    def __init__(
        self,
        output: Output,
        job_id: str,
        to: BinaryIO,
        *,
        source: str = "stdout",
        prefix: str = "",
        said: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job_id = job_id
        self.trouble = ""
        self.is_over = False
        self._output = output
        self._to = to
        self._source = source
        self._prefix = prefix.encode()
        self._said = said
        self._clock = clock
        self._restarts: int | None = None
        self._offset = 0
        self._at_line_start = True
        self._due = 0.0

    def step(self, job: Job | None) -> float:
        """Copy what is new, if it is time, and return for how many seconds there is nothing to do."""
        if job is None or job["tasks"]:
            return float("inf")
        self._look_for_restart(job)
        # While a node boots for it, the file may still hold what an earlier run printed.
        if self.is_over or not job["start_time"] or "CONFIGURING" in job["state_flags"]:
            return float("inf")
        if self._clock() >= self._due:
            self._copy()
        return float("inf") if self.is_over else max(self._due - self._clock(), 0.0)

    def finish(self, job: Job, wait: Callable[[float], None]) -> None:
        """Copy what is left of an ended job's output, which may come in a little later than its end."""
        deadline = self._clock() + LONGEST_WAIT
        self._due = 0.0
        self._look_for_restart(job)
        while not self.is_over and job["start_time"] and not job["tasks"]:
            before = self._offset
            pause = self.step(job)
            if self.is_over:
                return
            if self._offset > before:
                deadline, self._due = self._clock() + LONGEST_WAIT, 0.0
                continue
            if self._clock() + pause > deadline:
                self.trouble = str(self._output.give_up(self.job_id))
                return
            wait(pause)

    def of_tasks(self, job: Job) -> list[Follower]:
        """Return what follows each task of an array, whose output is its own; of another job, itself."""
        if not job["tasks"]:
            return [self]
        if has_more_tasks(job):
            self._said(f"job {job['id']}: shown is what the first {MOST_TASKS} tasks printed.")
        return [
            Follower(self._output, each, self._to, source=self._source, prefix=f"{each}: ") for each in first_tasks(job)
        ]

    def _look_for_restart(self, job: Job) -> None:
        """Begin anew with a job that was requeued: Slurm empties the file when the job starts again."""
        restarts = int(job.get("restarts") or 0)
        if self._restarts is not None and restarts > self._restarts:
            self._offset, self._due = 0, 0.0
            self.is_over, self.trouble = False, ""
            if not self._at_line_start:
                self._write(b"\n")
            self._said(f"job {self.job_id} was requeued: what it prints is shown from its new beginning.")
        self._restarts = restarts

    def _copy(self) -> None:
        try:
            piece = self._output.read(self.job_id, self._source, self._offset)
        except NoOutputError as exc:
            self.trouble, self.is_over = str(exc), True
            return
        self._write(piece.data)
        self._offset, self.is_over = piece.offset, piece.is_last
        pause = 0.0 if len(piece.data) >= _MUCH else _PAUSE
        self._due = self._clock() + (pause if piece.pause is None else piece.pause)

    def _write(self, data: bytes) -> None:
        if not data:
            return
        if self._prefix:
            for line in data.splitlines(keepends=True):
                self._to.write((self._prefix if self._at_line_start else b"") + line)
                self._at_line_start = line.endswith(b"\n")
        else:
            self._to.write(data)
            self._at_line_start = data.endswith(b"\n")
        self._to.flush()


def follow(
    waiting: Waiting,
    followers: Sequence[Follower],
    sleep: Callable[[float], None],
    wait: Callable[[float], None],
) -> Iterator[Follower]:
    """Wait for jobs to end and copy what they print meanwhile; then give each follower that is done.

    Both `sleep` and `wait` sleep; `sleep` does so between two looks at jobs that have not ended.
    """
    told: set[str] = set()
    while not waiting.is_over():
        pause = waiting.step()
        for follower in followers:
            pause = min(pause, follower.step(waiting.job(follower.job_id)))
            if follower.is_over and not follower.trouble and follower.job_id not in told:
                # Its output is complete, so it has ended.
                told.add(follower.job_id)
                waiting.hurry(follower.job_id)
                pause = 0.0
        sleep(pause)
    for follower in followers:
        job = waiting.job(follower.job_id)
        if job is None:
            continue
        for each in follower.of_tasks(job):
            each.finish(job | {"tasks": None}, wait)
            yield each
