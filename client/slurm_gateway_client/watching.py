"""Watching jobs to their end: what they print, what changes, and what to do when the watcher is stopped."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from . import ci, exit_status, times
from .errors import (
    AuthenticationError,
    ClientError,
    Interrupt,
    InterruptedWaitError,
    SettingsError,
    UnreachableError,
)
from .following import Follower, follow
from .output import Output
from .parallel import in_parallel
from .screen import reason_of, state_of, style_of
from .waiting import Waiting, is_final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from .gateway import Gateway, Job
    from .interrupts import Stop
    from .screen import Screen

_TICK = 1.0  # seconds between two updates of the line that shows how long it takes
_SHOWN = 20  # ids that a sentence has at most
_LAST_WORDS = 30.0  # seconds a cancel is tried for when the runner is about to end this process


class Watch:
    """How jobs are watched. `follow` prints what they print, `output_dir` keeps it.

    Raises SettingsError where a file or directory cannot be made: now, and not when the job has ended.
    """

    def __init__(
        self,
        screen: Screen,
        stop: Stop,
        *,
        follow: bool = False,
        output_dir: Path | None = None,
        cancel_on_interrupt: bool = False,
        outputs_file: Path | None = None,
        summary_file: Path | None = None,
        as_json: bool = False,
    ) -> None:
        self._screen = screen
        self._stop = stop
        self._follow = follow
        self._output_dir = output_dir
        self._cancel = cancel_on_interrupt
        self._outputs_file = outputs_file
        self._summary_file = summary_file
        self._as_json = as_json
        _make(output_dir, outputs_file, summary_file)
        self._shown: dict[str, Job] = {}
        self._over_at_first: set[str] = set()

    def run(
        self, gateway: Gateway, job_ids: Sequence[str], *, joined: Collection[str] = (), as_list: bool = False
    ) -> int:
        """Watch jobs to their end, and return the exit status. An interruption ends it as `interrupted` says.

        `joined` are those that an earlier submit made, and which may have ended long ago. Where all is well with the
        jobs, but something of them could not be shown or kept, the status is that trouble's. JSON is a list for several
        jobs, and `as_list` for one too.
        """
        waiting = Waiting(gateway.read, job_ids, changed=self._changed)
        output = Output(gateway)
        trouble: ClientError | None = None
        try:
            self._watch(output, waiting, job_ids)
        except Interrupt as exc:
            self.leave(job_ids, 128 + exc.number)
            return self.interrupted(gateway, exc, waiting.unfinished())
        except ClientError as exc:
            if not waiting.is_over():
                self.leave(job_ids, exit_status.of_error(exc))
                _add_way_back(exc, waiting.unfinished())
                raise
            # Only what they printed at last is missing.
            trouble = exc
        finally:
            self._screen.end_progress()
        jobs = waiting.ended()
        status = exit_status.of_jobs(list(jobs))
        for job_id in joined:
            if job_id in self._over_at_first and exit_status.of_job(self._shown[job_id]):
                self._screen.note(
                    f"job {job_id} had ended before this command began. For a new job: another --idempotency-key.",
                    "yellow",
                )
        troubled = self.report(gateway, jobs, status, output, trouble)
        if self._as_json:
            self._screen.json(jobs if as_list or len(job_ids) > 1 else jobs[0])
        return status or troubled

    def leave(self, job_ids: Sequence[str], status: int) -> None:
        """Write down which jobs there are, for who comes after a command that does not see their end."""
        from . import reports

        if self._outputs_file is not None:
            seen = [self._shown.get(job_id, {"id": job_id, "state": ""}) for job_id in job_ids]
            # What ended the command is told after this, and a file that cannot be written must not take its place.
            with suppress(OSError):
                reports.write_outputs(self._outputs_file, seen, status)

    def interrupted(
        self, gateway: Gateway, exc: Interrupt, job_ids: Sequence[str], *, unsettled: bool = False, key: str = ""
    ) -> int:
        """Ask what to do with the jobs, or cancel them where that was said; raises InterruptedWaitError.

        `unsettled` says that submits were under way, of which is not known what became; `key` is that of the only one.
        """
        self._screen.end_progress(for_good=True)
        # A submit that is answered only now adds to its caller's list, and is not cancelled here.
        job_ids = list(job_ids)
        cancel = bool(job_ids) and self._cancel
        if job_ids and not self._cancel and exc.number == signal.SIGINT and sys.stdin.isatty() and self._screen.is_live:
            try:
                cancel = self._screen.ask(f"\nInterrupted; {_names(job_ids)} not over. Cancel?")
            except Interrupt:
                cancel = False
        failed = _cancel_all(gateway, job_ids) if cancel else []
        left = failed if cancel else list(job_ids)
        said = ["Interrupted."]
        if cancel and (cancelled := [job_id for job_id in job_ids if job_id not in failed]):
            said.append(f"Cancelled {_names(cancelled)}.")
        if failed:
            said.append(f"It failed for {_names(failed)}.")
        elif left:
            said.append(f"Not cancelled: {_names(left)}.")
        if unsettled:
            said.append("Submits were under way: what became of them is not known.")
        todo = f"slurm-gateway wait {' '.join(left[:_SHOWN])}" if left else ""
        if key:
            todo = f"Find out, and join the job: the same command with --idempotency-key {key}"
        elif unsettled:
            todo = "slurm-gateway jobs"
        raise InterruptedWaitError(" ".join(said), signal=exc.number, todo=todo)

    def _watch(self, output: Output, waiting: Waiting, job_ids: Sequence[str]) -> None:
        stream = sys.stderr.buffer if self._as_json else sys.stdout.buffer
        followers = [
            Follower(
                output, job_id, stream, prefix=f"{job_id}: " if len(job_ids) > 1 else "",
                said=lambda text: self._screen.note(text, "yellow"),
            )
            for job_id in (job_ids if self._follow else ())
        ]  # fmt: skip
        with ci.unheeded(stream, os.environ) if followers else nullcontext():
            for follower in follow(waiting, followers, lambda pause: self._tick(waiting, pause), self._stop.wait):
                if follower.trouble:
                    self._screen.note(f"job {follower.job_id}: {follower.trouble}", "yellow")

    def _tick(self, waiting: Waiting, pause: float) -> None:
        """Sleep, with the time it takes on the screen."""
        while pause > 0 and not waiting.is_over():
            if not self._follow:
                self._screen.progress(self._status(waiting))
            nap = min(pause, _TICK) if self._screen.is_live and not self._follow else pause
            self._stop.wait(nap)
            pause -= nap

    def _status(self, waiting: Waiting) -> str:
        left = waiting.unfinished()
        if len(left) == 1 and (job := self._shown.get(left[0])):
            return f"job {left[0]} {state_of(job)} {reason_of(job)} {times.span(job)}".rstrip()
        return f"{len(left)} jobs not ended"

    def _changed(self, job: Job) -> None:
        before = self._shown.get(job["id"])
        if before is None and is_final(job):
            self._over_at_first.add(job["id"])
        self._shown[job["id"]] = job
        if before is not None and state_of(before) == state_of(job):
            return
        where = f" on {job['node_list']}" if job["node_list"] else f" {reason_of(job)}".rstrip()
        ran = f" after {times.span(job)}" if job["end_time"] and job["start_time"] else ""
        self._screen.note(f"job {job['id']} {state_of(job)}{where}{ran}{_ended_by(job)}", style_of(job["state"]))

    def report(
        self,
        gateway: Gateway,
        jobs: Sequence[Job],
        status: int | None,
        output: Output | None = None,
        trouble: ClientError | None = None,
    ) -> int:
        """Keep what is to be kept of jobs; return the status of what went wrong with that, 0 for nothing.

        It is said, and the rest goes on: how the jobs ended is told whatever becomes of their files. `status` is None
        where they were not waited for, `trouble` what went wrong before.
        """
        from . import reports

        output = output or Output(gateway)
        ended = [job for job in jobs if is_final(job)]
        troubles = [trouble] if trouble else []
        # First what needs nobody's answer.
        if self._outputs_file is not None:
            with _noted(troubles, self._outputs_file):
                reports.write_outputs(self._outputs_file, jobs, status)
        if self._output_dir is not None:
            for job in ended:
                if _is_hopeless(troubles):
                    break
                with _noted(troubles, self._output_dir):
                    for said in output.save(job, self._output_dir / job["id"], self._stop.wait):
                        self._screen.note(f"job {job['id']}: {said}")
        if self._summary_file is not None:
            tails = {} if _is_hopeless(troubles) else self._tails(output, ended[:_TAILS])
            with _noted(troubles, self._summary_file):
                reports.write_summary(self._summary_file, jobs, tails, gateway.url)
        if troubles:
            self._screen.error(_with_ends(troubles[0], jobs, ended))
        return exit_status.of_error(troubles[0]) if troubles else 0

    def _tails(self, output: Output, jobs: Sequence[Job]) -> dict[str, str]:
        """Return the end of what each job printed. A summary without it is a summary."""
        from . import reports

        tails = {}
        for job in jobs:
            try:
                tails[job["id"]] = reports.tail(output.tail(job, self._stop.wait))
            except ClientError as exc:
                self._screen.note(f"job {job['id']}: the summary lacks the end of its output. {exc.happened}", "yellow")
                if _is_hopeless([exc]):
                    break
        return tails


_TAILS = 20  # more would hide what is wrong


def _make(directory: Path | None, *files: Path | None) -> None:
    try:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file is not None:
                file.open("a").close()
    except OSError as exc:
        raise SettingsError(
            f"{exc.filename} cannot be written: {(exc.strerror or 'an error').lower()}.",
            todo="Give another --output-dir, --outputs-file or --summary-file. Nothing was submitted.",
        ) from exc


@contextmanager
def _noted(troubles: list[ClientError], place: Path) -> Iterator[None]:
    """Take note of what goes wrong in keeping something at a place, and go on."""
    try:
        yield
    except ClientError as exc:
        troubles.append(exc)
    except OSError as exc:
        happened = f"{exc.filename or place} cannot be written: {(exc.strerror or 'an error').lower()}."
        troubles.append(ClientError(happened, todo="Make room there, or give another place."))


def _is_hopeless(troubles: Sequence[ClientError]) -> bool:
    """Tell whether more requests would fare no better, each after as long a wait."""
    return any(isinstance(exc, AuthenticationError | UnreachableError) for exc in troubles)


def _with_ends(exc: ClientError, jobs: Sequence[Job], ended: Sequence[Job]) -> ClientError:
    """Return the error of keeping something, which also says how the jobs ended and how to keep it later."""
    means = f"{exc.means} Not all is shown and kept that was to be of {_names([job['id'] for job in jobs])}."
    if len(ended) == 1:
        means += f" It does not change how job {ended[0]['id']} ended: {state_of(ended[0])}{_ended_by(ended[0])}."
    elif ended:
        means += f" It does not change how they ended: exit status {exit_status.of_jobs(list(ended))}."
    ids = " ".join(job["id"] for job in jobs[:_SHOWN])
    todo = f"{exc.todo} Then `slurm-gateway wait {ids}` with the same options keeps it."
    return ClientError(exc.happened, means=means.strip(), todo=todo.strip())


def _ended_by(job: Job) -> str:
    if job["signal"]:
        return f", signal {job['signal']}"
    return f", exit code {job['exit_code']}" if job["exit_code"] else ""


def _cancel_all(gateway: Gateway, job_ids: Sequence[str]) -> list[str]:
    """Cancel jobs with what time there is; return those that are not cancelled."""
    failed = list(job_ids)

    def cancel(job_id: str) -> None:
        with suppress(ClientError):
            last.cancel(job_id)
            failed.remove(job_id)

    with gateway.hurried(_LAST_WORDS) as last, suppress(Interrupt):
        in_parallel(cancel, job_ids, 8)
    return failed


def _add_way_back(exc: ClientError, job_ids: Sequence[str]) -> None:
    """Let an error that has nothing to do with the jobs say that they go on and how to come back to them."""
    if isinstance(exc, AuthenticationError | UnreachableError):
        exc.means = f"{exc.means} It does not touch {_names(job_ids)}.".strip()
        exc.todo = f"{exc.todo} Then: slurm-gateway wait {' '.join(job_ids[:_SHOWN])}".strip()


def _names(job_ids: Sequence[str]) -> str:
    names = ", ".join(job_ids[:_SHOWN]) + (f" and {len(job_ids) - _SHOWN} more" if len(job_ids) > _SHOWN else "")
    return f"job {names}" if len(job_ids) == 1 else f"jobs {names}"
