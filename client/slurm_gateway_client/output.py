"""What a job prints: read by offset as it grows, and whole when it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import requests

from . import backoff, refusals
from .errors import NotFoundError, UnreachableError
from .transport import TIMEOUT, Call, as_it_is

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from .gateway import Gateway, Job

NO_ROUTE = "this gateway has no output route: what the job prints is in its files on the cluster only"
LONGEST_WAIT = 60.0
"""Seconds for which an output may come in after its job's end."""
MOST_TASKS = 1000
"""Of so many tasks of an array what they printed is shown and kept; the others' is not, which is said."""

_CHUNK = 1024 * 1024
_TAIL = 16 * 1024
_TRIES = 4
_PART = ".part"  # beside stdout and files/, where no file of a job's is


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
    """Outputs of a gateway's jobs. Every method raises NoOutputError where there is none to be had."""

    def __init__(self, gateway: Gateway, clock: Callable[[], float] = time.monotonic) -> None:
        self._gateway = gateway
        self._clock = clock
        self._given_up: set[str] = set()

    def give_up(self, job_id: str) -> NoOutputError:
        """Return the error for an output that does not come in; nobody waits for it again."""
        self._given_up.add(job_id)
        return NoOutputError(f"its output did not come in within {LONGEST_WAIT:.0f} s of its end")

    def read(self, job_id: str, stream: str, offset: int) -> Piece:
        """Return what comes after an offset, as far as it is there."""
        answer = self._ask(job_id, (("stream", stream), ("offset", str(offset))))
        pause = backoff.retry_after(answer.headers.get("Retry-After"), time.time())
        if answer.status_code == 503:
            return Piece(b"", offset, is_last=False, pause=pause)
        following = int(answer.headers["Output-Next-Offset"])
        is_last = answer.headers.get("Output-Complete") == "true"
        return Piece(answer.content, following, is_last, pause)

    def copy(self, job_id: str, stream: str, to: BinaryIO, wait: Callable[[float], None]) -> None:
        """Write what there is of an output: all of it, or as far as a running job has come."""
        ask = partial(self._patiently, job_id, (("stream", stream),), wait)
        answer = ask()
        if answer.status_code == 302:
            self._download(answer, ask, to, wait)
            return
        while answer.content:
            to.write(answer.content)
            answer = self._patiently(
                job_id, (("stream", stream), ("offset", answer.headers["Output-Next-Offset"])), wait
            )

    def tail(self, job: Job, wait: Callable[[float], None]) -> bytes:
        """Return the last bytes of what an ended job printed; none where there are none."""
        try:
            listed = self._listed(job["id"], wait)
            if not listed["stdout"]:
                return b""
            return self.read(job["id"], "stdout", max(int(listed["stdout"]["size"]) - _TAIL, 0)).data
        except NoOutputError:
            return b""

    def save(self, job: Job, directory: Path, wait: Callable[[float], None]) -> list[str]:
        """Keep an ended job's output, and the files that it gave back, in a directory; return what is to be said of it.

        Of an array each task's is kept, in a directory beside this one.
        """
        said = []
        parts = [(job["id"], directory)]
        streams = ("stdout",) if job["stdout"] == job["stderr"] else ("stdout", "stderr")
        if job["tasks"]:
            parts = [(each, directory.parent / each) for each in first_tasks(job)]
            if has_more_tasks(job):
                said.append(
                    f"kept of the first {MOST_TASKS} tasks only; `wait {job['id']}_N --output-dir` keeps task N's"
                )
        for job_id, place in parts:
            try:
                said += self._save(job_id, place, streams, wait)
            except NoOutputError as exc:
                said.append(f"not kept in {place}: {exc}")
        return said

    def _save(self, job_id: str, directory: Path, streams: Sequence[str], wait: Callable[[float], None]) -> list[str]:
        listed = self._listed(job_id, wait)
        wanted = [(stream, (("stream", stream),)) for stream in streams if listed[stream]]
        wanted += [(f"files/{each['name']}", (("file", each["name"]),)) for each in listed["files"]]
        kept = []
        problems = [f"{each.get('path') or each.get('name')}: {each.get('problem')}" for each in listed["problems"]]
        for name, query in wanted:
            try:
                place = _below(directory, name)
                place.parent.mkdir(parents=True, exist_ok=True)
                self._fetch(place, directory / _PART, partial(self._patiently, job_id, query, wait), wait)
            except NoOutputError as exc:
                problems.append(f"{name} not kept: {exc}")
            else:
                kept.append(name)
        return [*([f"kept in {directory}: {', '.join(kept)}"] if kept else []), *problems]

    def _fetch(
        self, place: Path, part: Path, ask: Callable[[], requests.Response], wait: Callable[[float], None]
    ) -> None:
        """Download to a place, by way of another: under its own name there is a file only when it is whole."""
        answer = ask()
        try:
            with part.open("wb") as file:
                self._download(answer, ask, file, wait)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)

    def _listed(self, job_id: str, wait: Callable[[float], None]) -> dict[str, Any]:
        return self._patiently(job_id, (("list", "true"),), wait).json()  # type: ignore[no-any-return]

    def _patiently(
        self, job_id: str, query: tuple[tuple[str, str], ...], wait: Callable[[float], None]
    ) -> requests.Response:
        """Return the answer once an ended job's output has come in, or the head node tells of a running one's."""
        deadline = self._clock() + LONGEST_WAIT
        while (answer := self._ask(job_id, query)).status_code == 503:
            pause = backoff.retry_after(answer.headers.get("Retry-After"), time.time()) or backoff.FIRST
            if self._clock() + pause > deadline or job_id in self._given_up:
                if refusals.kind(answer) == "head-node-silent":
                    raise UnreachableError(
                        f"No output of job {job_id} within {LONGEST_WAIT:.0f} s. {refusals.sentence(answer)}",
                        means="The head node, or what reads there what jobs print, is down. The job goes on.",
                        todo="Ask again later; if it stays so, tell whoever runs the cluster.",
                    )
                raise self.give_up(job_id)
            wait(pause)
        return answer

    def _ask(self, job_id: str, query: tuple[tuple[str, str], ...]) -> requests.Response:
        what = f"give the output of job {job_id}"
        try:
            answer = self._gateway.ask(Call("GET", f"/jobs/{job_id}/output", query), what, (200, 302, 503))
        except NotFoundError as exc:
            raise NoOutputError(NO_ROUTE if exc.problem == {"message": "Not Found"} else refusals.short(exc)) from exc
        if answer.status_code == 302:
            refusals.members(answer, what, "size")
        elif ("list", "true") in query and answer.status_code == 200:
            refusals.members(answer, what, "stdout", "stderr", "files", "problems")
        elif answer.status_code == 200 and not answer.headers.get("Output-Next-Offset", "").isdigit():
            raise refusals.foreign(answer, what)
        return answer

    def _download(
        self,
        answer: requests.Response,
        again: Callable[[], requests.Response],
        to: BinaryIO,
        wait: Callable[[float], None],
    ) -> None:
        """Copy what a presigned URL gives, going on where it broke off. Nobody is told the URL, which is a key.

        `again` asks the gateway for a new one: it is good for some minutes only.
        """
        url, size = _located(answer)
        done = 0
        pauses = backoff.delays()
        for left in reversed(range(_TRIES)):
            try:
                for chunk in _fetched(url, done):
                    to.write(chunk)
                    done += len(chunk)
            except requests.RequestException as exc:
                if not left:
                    raise NoOutputError(f"the download broke off ({type(exc).__name__})") from None
                if exc.response is not None and exc.response.status_code == 403:
                    url, now = _located(again())
                    if now != size:
                        raise NoOutputError("it changed while it was downloaded") from None
            if done == size:
                return
            wait(next(pauses))
        raise NoOutputError(f"the download gave {done} of {size} bytes")


def tasks(job: Job) -> Iterator[int]:
    """Give the numbers of an array's tasks, from Slurm's way to write them: `0,2-6:2`."""
    for piece in str(job["tasks"]).partition("%")[0].strip("[]").split(","):
        bounds, _, step = piece.partition(":")
        first, _, last = bounds.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            return  # Slurm cut a long list short
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def first_tasks(job: Job) -> list[str]:
    """Return the ids of the tasks whose output is shown and kept."""
    return [f"{job['id']}_{task}" for task in islice(tasks(job), MOST_TASKS)]


def has_more_tasks(job: Job) -> bool:
    """Tell whether there are more tasks than those."""
    return next(islice(tasks(job), MOST_TASKS, None), None) is not None


def _located(answer: requests.Response) -> tuple[str, int]:
    return answer.headers["Location"], int(answer.json()["size"])


def _fetched(url: str, offset: int) -> Iterator[bytes]:
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    # The URL is signed: S3 refuses a second way to say who asks.
    with requests.get(url, headers=headers, timeout=TIMEOUT, stream=True, auth=as_it_is) as answer:
        answer.raise_for_status()
        yield from answer.iter_content(_CHUNK)


def _below(directory: Path, name: str) -> Path:
    """Return the place of a file whose name somebody else chose: it is below the directory, or nowhere."""
    parts = PurePosixPath(name).parts
    if not parts or any(part in {"/", "..", "."} or set(part) & {"\\", ":", "\0"} for part in parts):
        raise NoOutputError(f"{name!r} is no name of a file below {directory}")
    return directory.joinpath(*parts)
