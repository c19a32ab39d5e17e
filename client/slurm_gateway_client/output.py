"""What a job prints: read by offset as it grows, and whole when it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import refusals
from .errors import NotFoundError
from .transport import Call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .gateway import Gateway, Job

NO_ROUTE = "this gateway has no output route: what the job prints is in its files on the cluster only"


class NoOutputError(Exception):
    """There is no output to be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an output. `offset` is where the next begins; `is_last` says that nothing comes after it."""

    data: bytes
    offset: int
    is_last: bool
    pause: float | None = None


class Output:
    """Outputs of a gateway's jobs."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def read(self, job_id: str, stream: str, offset: int) -> Piece:
        """Return what comes after an offset. Raises NoOutputError."""
        query = (("stream", stream), ("offset", str(offset)))
        try:
            answer = self._gateway.ask(
                Call("GET", f"/jobs/{job_id}/output", query), f"give the output of job {job_id}", (200,)
            )
        except NotFoundError as exc:
            raise NoOutputError(NO_ROUTE if exc.problem == {"message": "Not Found"} else refusals.short(exc)) from exc
        return Piece(answer.content, offset + len(answer.content), is_last=True)

    def tail(self, job: Job, wait: Callable[[float], None]) -> str:
        """Return the last lines of what an ended job printed; nothing where there is none."""
        return ""

    def save(self, job: Job, directory: Path, wait: Callable[[float], None]) -> list[str]:
        """Keep an ended job's output in a directory; return what is to be said of it."""
        return [NO_ROUTE]
