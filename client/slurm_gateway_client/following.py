"""Printing what a job prints, as it prints it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, BinaryIO

from .output import NoOutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .gateway import Job
    from .output import Output

_PAUSE = 2.0  # seconds between two looks where the gateway asks for nothing
_LONGEST = 60.0  # seconds for which an output may come in after its job's end


class Follower:
    """Copies a job's standard output to a stream, `prefix` before each line."""

    def __init__(
        self,
        output: Output,
        job_id: str,
        to: BinaryIO,
        *,
        prefix: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job_id = job_id
        self.trouble = ""
        self.is_over = False
        self._output = output
        self._to = to
        self._prefix = prefix.encode()
        self._clock = clock
        self._offset = 0
        self._at_line_start = True
        self._due = 0.0

    def step(self, job: Job | None) -> float:
        """Copy what is new, if it is time, and return for how many seconds there is nothing to do."""
        if self.is_over or job is None or not job["start_time"]:
            return float("inf")
        if self._clock() >= self._due:
            self._copy()
        return float("inf") if self.is_over else max(self._due - self._clock(), 0.0)

    def finish(self, job: Job, wait: Callable[[float], None]) -> None:
        """Copy what is left of an ended job's output, which may come in a little later than its end."""
        deadline = self._clock() + _LONGEST
        self._due = 0.0
        while not self.is_over and job["start_time"]:
            pause = self.step(job)
            if self.is_over:
                return
            if self._clock() + pause > deadline:
                self.trouble = f"its output did not come in within {_LONGEST:.0f} s: slurm-gateway logs {self.job_id}"
                return
            wait(pause)

    def _copy(self) -> None:
        try:
            piece = self._output.read(self.job_id, "stdout", self._offset)
        except NoOutputError as exc:
            self.trouble, self.is_over = str(exc), True
            return
        self._write(piece.data)
        self._offset, self.is_over = piece.offset, piece.is_last
        self._due = self._clock() + (_PAUSE if piece.pause is None else piece.pause)

    def _write(self, data: bytes) -> None:
        if not data:
            return
        if self._prefix:
            for line in data.splitlines(keepends=True):
                self._to.write((self._prefix if self._at_line_start else b"") + line)
                self._at_line_start = line.endswith(b"\n")
        else:
            self._to.write(data)
        self._to.flush()
