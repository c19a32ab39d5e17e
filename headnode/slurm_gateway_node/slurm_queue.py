"""Slurm's queue, as queue_service.py shows it."""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import task_lists
from .queue_service import MOST_NUMBERS, SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_TIMEOUT = 70.0
_ACCOUNT_ID = re.compile(r"([0-9]+)(?:_\[([0-9,:-]+)(?:%[0-9]+)?\]|[_+][0-9]+)?")
_STATE_LINE = re.compile(r"([0-9]+)(?:_\[([0-9,:-]+)(?:%[0-9]+)?\]|_([0-9]+)|\+([0-9]+))?\|([A-Z_]+)\|([0-9]+)")


class QueueError(Exception):
    """Slurm, or the service that asks it, does not answer; the message is for the log."""


@dataclass(frozen=True)
class QueuedState:
    """One line of the queue. `tasks` is set for those of an array that have not started, such as "1-5,7".

    `id` is the job's, a task's (12_3) or a component's (12+1); `base` the number that it begins with; `number` its own.
    """

    id: str
    base: int
    number: int
    state: str
    tasks: str | None = None


@dataclass(frozen=True)
class Accounted:
    """What slurmdbd knows of a job: times in Unix seconds, None where it has none."""

    id: str
    number: int
    user: str
    state: str
    exit_code: int
    signal: int
    submit_time: int | None
    start_time: int | None
    end_time: int | None
    nodes: int
    cpus: int
    node_list: str


class SlurmQueue:
    """Asks about jobs. Every method raises QueueError where there is no answer."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = path

    def states(self) -> tuple[float, list[QueuedState]]:
        """Return when the queue was asked (Unix seconds) and every job that Slurm remembers."""
        asked_at = time.time()
        return asked_at, list(parse_states(self._ask({"ask": "states"}).decode("ascii", "replace")))

    def jobs(self, numbers: Sequence[int]) -> tuple[float, list[dict[str, Any]]]:
        """Return when the queue was asked (Unix seconds) and the jobs of these numbers, as slurmrestd writes them."""
        asked_at = time.time()
        try:
            answer = json.loads(self._ask({"ask": "jobs", "numbers": list(numbers)}).decode("utf-8", "replace"))
            found: list[dict[str, Any]] = answer["jobs"]
        except (ValueError, KeyError, TypeError) as exc:
            raise QueueError(f"squeue's JSON cannot be read: {exc!r}") from exc
        return asked_at, found

    def accounts(self, numbers: Sequence[int]) -> list[Accounted]:
        """Return what slurmdbd knows of the jobs of these numbers, every run of each."""
        printed = self._ask({"ask": "accounts", "numbers": list(numbers)}).decode("utf-8", "replace")
        return [found for line in printed.splitlines() for found in _accounted(line)]

    def _ask(self, request: dict[str, Any]) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_TIMEOUT)
                connection.connect(str(self._path))
                connection.sendall(json.dumps(request).encode() + b"\n")
                answer = b"".join(iter(lambda: connection.recv(1 << 18), b""))
        except OSError as exc:
            raise QueueError(f"slurm-gateway-queue.service does not answer: {exc}") from exc
        head, _, printed = answer.partition(b"\n")
        try:
            status = json.loads(head)["status"]
        except (ValueError, KeyError, TypeError) as exc:
            raise QueueError("slurm-gateway-queue.service's answer was cut short") from exc
        if status != 0:
            raise QueueError(f"{request['ask']}: {printed.decode('utf-8', 'replace').strip()[:300]}")
        return printed


def chunks(numbers: Iterable[int], most: int = MOST_NUMBERS) -> Iterator[list[int]]:
    """Give the numbers in lists of at most `most`, in order."""
    wanted = sorted(set(numbers))
    for begin in range(0, len(wanted), most):
        yield wanted[begin : begin + most]


def parse_states(printed: str) -> Iterator[QueuedState]:
    """Give the lines of squeue's "%i|%T|%A". QueueError where one is no such line: then none is to be believed."""
    for line in printed.splitlines():
        match = _STATE_LINE.fullmatch(line.strip())
        if match is None:
            raise QueueError(f"squeue printed a line that is none: {line[:80]!r}")
        base, tasks, task, component, state, number = match.groups()
        part = f"_{task}" if task else f"+{component}" if component else ""
        yield QueuedState(base + part, int(base), int(number), state, tasks)


def _accounted(line: str) -> Iterator[Accounted]:
    """Give what a line of sacct's says; one of tasks that never started is of each of them."""
    fields = line.split("|")
    match = _ACCOUNT_ID.fullmatch(fields[0])
    if len(fields) != 11 or match is None or not fields[1].isdigit():
        return
    ids = [fields[0]]
    if match[2]:
        ids = [f"{match[1]}_{task}" for task in sorted(task_lists.parse(match[2]))]
    code, _, signal = fields[4].partition(":")
    times = [int(field) if field.isdigit() and int(field) else None for field in fields[5:8]]
    for part_id in ids:
        yield Accounted(
            id=part_id,
            number=int(fields[1]),
            user=fields[2],
            # "CANCELLED by 1001"
            state=fields[3].split(" ")[0],
            exit_code=int(code) if code.isdigit() else 0,
            signal=int(signal) if signal.isdigit() else 0,
            submit_time=times[0],
            start_time=times[1],
            end_time=times[2],
            nodes=int(fields[8]) if fields[8].isdigit() else 0,
            cpus=int(fields[9]) if fields[9].isdigit() else 0,
            node_list="" if fields[10] == "None assigned" else fields[10],
        )
