"""From what the queue and the journal say to what is told: one event for every start, change and end of a job.

The journal is believed about ends, the queue about everything else and, some seconds later, about ends that the journal
did not tell. A job that is in neither any more is looked up in slurmdbd, and its end is told as UNKNOWN when nobody
knows it. What is told lies in the store before anything else happens.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import job_events, jobs, task_lists
from .jobs import ACTIVE, Part
from .store import PartRow, WholeRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .slurm_queue import Accounted, QueuedState
    from .store import Store

# Seconds for the journal to tell of an end that the queue already shows.
JOURNAL_GRACE = 5.0
_ENDED = frozenset(jobs.WORST_FIRST)
_CLEANING = frozenset({"COMPLETING", "STAGE_OUT"})

_logger = logging.getLogger(__name__)


class _Seen:
    """What the last look at the queue showed of a part."""

    __slots__ = ("ended_since", "final", "gone_since", "number", "shown", "told_at")

    def __init__(self, number: int, *, final: bool, told_at: int) -> None:
        self.number = number
        self.final = final
        self.told_at = told_at
        self.shown = ""  # the state in the queue that was dealt with
        self.ended_since = 0.0  # since when an end waits for the journal to tell it
        self.gone_since = 0.0  # since when the queue does not show it


class Tracker:
    """Takes what Slurm says, one call after the other, each in a transaction of the store.

    `ended` is called with the detail of each end of a part, before it is in the store.
    """

    def __init__(
        self,
        store: Store,
        cluster: str,
        *,
        ended: Callable[[Mapping[str, Any]], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._ended = ended
        self._now = now
        self._seen = {
            row.id: _Seen(row.number, final=row.final, told_at=row.told_at)
            for row in store.parts()
        }  # fmt: skip
        self._wholes = {row.base for row in store.wholes() if not row.final}
        self._rests: dict[int, tuple[str, str]] = {}
        self._rests_asked: dict[int, tuple[str, str]] = {}
        self._leftover: dict[int, float] = {}
        self._touched: set[int] = set()
        self._touched_asked: set[int] = set()
        # Wholes that are to be told once all is taken that came with one call: each time costs all of its parts.
        self._untold: dict[int, int] = {}

    # ---- the journal -----------------------------------------------------------------------------------------------

    def on_journal(self, entries: Iterable[Mapping[str, Any]], place: tuple[str, int]) -> None:
        """Take lines of the journal, and the place after them."""
        with self._store.transaction():
            for entry in entries:
                self._on_entry(entry)
            self._tell_wholes()
            self._store.keep_place(place)

    def _on_entry(self, entry: Mapping[str, Any]) -> None:
        if jobs.goes_on(entry):
            # It is pending again, or will be: the next look at the queue says what became of it.
            self._touched.add(int(entry["job_id"]))
            return
        seen_at = min(int(self._now() * 1000), entry["told"] * 1000 + 999)
        if jobs.is_rest_of_array(entry):
            self._end_rest(entry, seen_at)
            return
        part = jobs.of_journal(entry, self._cluster)
        row = self._store.part(part.id)
        if row is not None and _is_same(row, part):
            part = jobs.of_journal(entry, self._cluster, row.job)
        self._take(part, seen_at)

    def _end_rest(self, entry: Mapping[str, Any], seen_at: int) -> None:
        """Take the end of all tasks of an array that had not started, which have one line together."""
        part = jobs.of_journal(entry, self._cluster)
        self._tell_wholes(part.base)
        whole = self._whole_of(part, seen_at)
        if whole.final:
            return
        waiting = None if whole.waiting is None else self._not_started(whole)
        if waiting is not None and len(waiting) == entry.get("array_task_cnt", len(waiting)):
            self._end_tasks(part, waiting, seen_at)
            whole = replace(whole, waiting="")
        # Otherwise tasks have started since the queue was looked at: the next look names the ones that have not.
        self._store.keep_whole(whole)
        self._tell_whole(part.base, seen_at)

    def _end_tasks(self, part: Part, tasks: Iterable[int], seen_at: int) -> None:
        for task in sorted(tasks):
            task_id = f"{part.base}_{task}"
            paths = {name: (part.job[name] or "").replace("%a", str(task)) or None for name in ("stdout", "stderr")}
            job = {**part.job, **paths, "id": task_id, "tasks": None, "start_time": None, "node_list": None}
            self._take(replace(part, id=task_id, number=part.number, tasks=None, job=job), seen_at, whole=False)

    # ---- the queue -------------------------------------------------------------------------------------------------

    def on_states(self, asked_at: float, states: Sequence[QueuedState]) -> set[int]:
        """Take the states of all jobs, as they were at a time; return the numbers of those to be asked about."""
        now = self._now()
        # What a look before this one noticed and was not told is asked about again; `shown` ends that.
        self._touched_asked |= self._touched
        self._touched = set()
        # Slurm answers nothing at all when it is asked for a job alone that it has no more.
        self._touched_asked &= {queued.number for queued in states}
        wanted = set(self._touched_asked)
        present: set[str] = set()
        rests: dict[int, tuple[str, str]] = {}
        for queued in states:
            is_whole = queued.id == str(queued.base) and queued.base in self._wholes
            if queued.tasks is not None or is_whole:
                rests[queued.base] = (queued.tasks or "", queued.state)
                if self._rests.get(queued.base) != rests[queued.base]:
                    wanted.add(queued.number)
                continue
            present.add(queued.id)
            if self._is_news(queued, asked_at, now):
                wanted.add(queued.number)
        self._rests_asked = rests
        self._look_for_missing(present, now)
        self._close_wholes(rests, asked_at)
        return wanted

    def _is_news(self, queued: QueuedState, asked_at: float, now: float) -> bool:
        seen = self._seen.get(queued.id)
        if seen is None:
            seen = self._seen[queued.id] = _Seen(queued.number, final=False, told_at=0)
        if seen.gone_since:
            # Slurm had lost it, and may have given its number to another job, in the same state as it was in.
            seen.shown, seen.gone_since = "", 0.0
        seen.number = queued.number
        if seen.shown == queued.state or queued.state in _CLEANING:
            return False
        if queued.state not in _ENDED:
            # Asked before the end that the journal told meanwhile, it is no news.
            return not seen.final or asked_at * 1000 > seen.told_at + 1000
        if seen.final:
            seen.shown = queued.state
            return False
        seen.ended_since = seen.ended_since or now
        return now - seen.ended_since >= JOURNAL_GRACE

    def _look_for_missing(self, present: set[str], now: float) -> None:
        for part_id, seen in list(self._seen.items()):
            if part_id in present:
                continue
            if seen.final:
                seen.shown = ""
            elif not seen.told_at:
                # Gone before anything was told of it, but for the journal.
                del self._seen[part_id]
            else:
                seen.gone_since = seen.gone_since or now

    def missing(self, after: float) -> dict[str, int]:
        """Return by id the numbers of parts that have not ended and are not in the queue for `after` seconds."""
        now = self._now()
        gone = {
            part_id: seen.number
            for part_id, seen in self._seen.items()
            if not seen.final and seen.told_at and seen.gone_since and now - seen.gone_since >= after
        }
        for base, since in self._leftover.items():
            whole = self._store.whole(base)
            if whole is not None and not whole.final and now - since >= after:
                gone.update({f"{base}_{task}": base for task in self._not_started(whole)})
        return gone

    def on_jobs(self, asked_at: float, found: Iterable[Mapping[str, Any]]) -> None:
        """Take jobs in full, as they were at a time."""
        seen_at = int(asked_at * 1000)
        with self._store.transaction():
            for item in found:
                part = jobs.of_record(item, self._cluster)
                if part.tasks is not None:
                    self._take_rest(part, seen_at)
                else:
                    self._take(part, seen_at)
            self._tell_wholes()

    def _lose_whole(self, base: int) -> None:
        """Tell the end of an array whose number was given to another job."""
        self._tell_wholes(base)
        whole = self._store.whole(base)
        self._wholes.discard(base)
        if whole is None or whole.final:
            return
        job = {**whole.job, "state": "UNKNOWN", "state_reason": "SlurmForgotIt", "held": False}
        detail = job_events.detail(
            job, change="ended", previous=None, submitted=whole.submitted, seen_at=whole.told_at + 1
        )
        self._store.tell(json.dumps(detail, separators=(",", ":")))
        self._store.keep_whole(replace(whole, final=True))

    def _take_rest(self, part: Part, seen_at: int) -> None:
        """Take the record of all tasks of an array that have not started."""
        self._tell_wholes(part.base)
        whole = self._whole_of(part, seen_at)
        if jobs.is_final(part.job):
            known = task_lists.parse(part.tasks) if part.tasks else self._not_started(whole)
            told = {row.id for row in self._store.parts_of(part.base, whole.submitted)}
            self._end_tasks(part, (task for task in known if f"{part.base}_{task}" not in told), seen_at)
            whole = replace(whole, waiting="")
        else:
            whole = replace(whole, waiting=part.tasks, job={**part.job, "id": str(part.base)})
        self._store.keep_whole(whole)
        self._tell_whole(part.base, seen_at)
        # Slurm may show what is left of an array as if it were a job.
        seen = self._seen.get(str(part.base))
        if seen is not None and jobs.is_final(part.job):
            seen.final, seen.told_at = True, seen_at

    def _close_wholes(self, rests: Mapping[int, tuple[str, str]], asked_at: float) -> None:
        """Settle which tasks of an array wait, where the queue shows none that do."""
        for base in list(self._wholes):
            if base in rests and rests[base][1] not in _ENDED:
                self._leftover.pop(base, None)
                continue
            whole = self._store.whole(base)
            if whole is None or whole.final or asked_at * 1000 <= whole.told_at + 1000:
                continue
            if base not in rests and (whole.waiting is None or self._not_started(whole)):
                if whole.waiting is None:
                    with self._store.transaction():
                        self._store.keep_whole(replace(whole, waiting=""))
                        self._tell_whole(base, int(asked_at * 1000))
                else:
                    self._leftover.setdefault(base, self._now())

    # ---- what nobody told ------------------------------------------------------------------------------------------

    def on_accounts(self, wanted: Iterable[str], accounts: Iterable[Accounted], *, last_chance: bool) -> None:
        """Take what slurmdbd knows of parts that are missing.

        With `last_chance` the end of those of which it knows none is told as UNKNOWN.
        """
        by_id: dict[str, Accounted] = {}
        for each in sorted(accounts, key=lambda account: account.submit_time or 0):
            by_id[each.id] = each
        with self._store.transaction():
            for part_id in wanted:
                row = self._store.part(part_id) or self._task_of_whole(part_id)
                if row is None or row.final:
                    continue
                account = by_id.get(part_id)
                if account is not None and account.state in _ENDED and (account.submit_time or 0) >= row.submit_time:
                    self._take(_accounted(row, account), int((account.end_time or self._now()) * 1000) + 999)
                elif last_chance:
                    _logger.warning("job %s is gone, and nobody knows how it ended", part_id)
                    self._take(_lost(row, self._now()), int(self._now() * 1000))
            self._tell_wholes()

    def _task_of_whole(self, part_id: str) -> PartRow | None:
        """Return a task of an array that was never seen by itself."""
        base, _, task = part_id.partition("_")
        whole = self._store.whole(int(base)) if task else None
        if whole is None:
            return None
        paths = {name: (whole.job[name] or "").replace("%a", task) or None for name in ("stdout", "stderr")}
        job = {**whole.job, **paths, "id": part_id, "tasks": None}
        return PartRow(
            part_id, whole.base, whole.base, True, whole.submit_time, whole.submitted, whole.told_at, False, "", job
        )

    # ---- telling ---------------------------------------------------------------------------------------------------

    def _take(self, part: Part, seen_at: int, *, whole: bool = True) -> None:
        """Tell of a part if it says something new."""
        row = self._store.part(part.id)
        if row is not None and not _is_same(row, part):
            if not row.final:
                # Its number was given to another job: Slurm lost its state.
                self._tell_part(_lost(row, self._now()), row, row.submitted, row.told_at + 1)
            row = None
        if row is not None and row.final and jobs.is_final(part.job) and _same_end(row.job, part.job):
            self._remember(part, row.told_at, final=True)
            return
        if row is not None and row.said == job_events.says(part.job):
            self._remember(part, row.told_at, final=row.final)
            return
        if not part.is_grouped and part.base in self._wholes:
            self._lose_whole(part.base)
        submitted = row.submitted if row is not None else part.submitted or part.submit_time
        self._tell_part(part, row, submitted, seen_at)
        if whole and part.is_grouped:
            self._store.keep_whole(self._whole_of(part, seen_at))
            self._untold[part.base] = max(seen_at, self._untold.get(part.base, 0))

    def _tell_part(self, part: Part, row: PartRow | None, submitted: int, seen_at: int) -> None:
        final = jobs.is_final(part.job)
        seen_at = max(seen_at, row.told_at + 1) if row is not None else seen_at
        previous = row.job["state"] if row is not None else None
        detail = job_events.detail(
            part.job, change=_change(part.job, previous), previous=previous, submitted=submitted, seen_at=seen_at
        )
        if final:
            self._ended(detail)
        self._store.tell(json.dumps(detail, separators=(",", ":")))
        self._store.keep_part(
            PartRow(
                part.id, part.base, part.number, part.is_grouped, part.submit_time, submitted, seen_at, final,
                job_events.says(part.job), part.job,
            )
        )  # fmt: skip
        self._remember(part, seen_at, final=final)

    def _remember(self, part: Part, told_at: int, *, final: bool) -> None:
        seen = self._seen.get(part.id)
        if seen is None:
            seen = self._seen[part.id] = _Seen(part.number, final=final, told_at=told_at)
        seen.final, seen.told_at = final, told_at
        seen.ended_since = seen.gone_since = 0.0
        if final:
            # Whatever the queue shows next is news: also the state that it showed before, after a crash of slurmctld.
            seen.shown = ""

    def shown(self, states: Iterable[QueuedState]) -> None:
        """Remember what was asked about and dealt with, the jobs with these states among it."""
        self._rests = self._rests_asked
        self._touched_asked = set()
        for queued in states:
            seen = self._seen.get(queued.id)
            if seen is not None and seen.told_at and seen.final == (queued.state in _ENDED):
                seen.shown = queued.state

    def _whole_of(self, part: Part, seen_at: int) -> WholeRow:
        """Return the array or heterogeneous job that a part belongs to, a new one where it is not known."""
        whole = self._store.whole(part.base)
        submitted = part.submitted or part.submit_time
        if whole is not None and (
            submitted in {whole.submitted, whole.submit_time}
            or (part.job["restarts"] and part.submit_time >= whole.submit_time)
        ):
            return whole
        self._tell_wholes(part.base)
        self._wholes.add(part.base)
        job = {**part.job, "id": str(part.base)}
        return WholeRow(
            part.base, part.submit_time, submitted, seen_at, False, "", job, "" if "+" in part.id else part.tasks
        )

    def _not_started(self, whole: WholeRow, parts: Iterable[PartRow] | None = None) -> set[int]:
        """Return the tasks of an array that have not started; `parts` are those of it that are known."""
        if not whole.waiting:
            return set()
        known = self._store.parts_of(whole.base, whole.submitted) if parts is None else parts
        return task_lists.parse(whole.waiting) - {int(row.id.rpartition("_")[2]) for row in known}

    def _tell_wholes(self, base: int | None = None) -> None:
        """Tell of the wholes whose parts were told of, or of one alone before more is done with it."""
        for each in list(self._untold) if base is None else [base]:
            if each in self._untold:
                self._tell_whole(each, self._untold.pop(each))

    def _tell_whole(self, base: int, seen_at: int) -> None:
        whole = self._store.whole(base)
        if whole is None:
            return
        parts = self._store.parts_of(base, whole.submitted)
        waiting = self._not_started(whole, parts)
        job = _summary(whole.job, parts, waiting)
        final = whole.waiting is not None and not waiting and bool(parts) and all(row.final for row in parts)
        if jobs.is_final(job) and not final:
            # Tasks may wait of which nothing is known yet.
            return
        self._wholes.discard(base) if final else self._wholes.add(base)
        # Which of its tasks have started is told by them.
        said = job_events.says({**job, "tasks": None, "end_time": job["end_time"] if final else None})
        if said == whole.said:
            return
        seen_at = max(seen_at, whole.told_at + 1) if whole.said else seen_at
        previous = json.loads(whole.said)[2] if whole.said else None
        detail = job_events.detail(
            job, change=_change(job, previous), previous=previous, submitted=whole.submitted, seen_at=seen_at
        )
        self._store.tell(json.dumps(detail, separators=(",", ":")))
        self._store.keep_whole(replace(whole, told_at=seen_at, final=final, said=said))
        self._leftover.pop(base, None) if final else None

    def forget(self, before: float) -> None:
        """Forget what ended before a time (Unix seconds) and is not in the queue any more."""
        with self._store.transaction():
            ended = self._store.ended_before(int(before * 1000))
            gone = [part_id for part_id in ended if not self._is_shown(part_id)]
            self._store.forget(gone, int(before * 1000))
        for part_id in gone:
            self._seen.pop(part_id, None)

    def _is_shown(self, part_id: str) -> bool:
        seen = self._seen.get(part_id)
        return seen is not None and bool(seen.shown)


def _change(job: Mapping[str, Any], previous: str | None) -> str:
    if jobs.is_final(job):
        return "ended"
    if job["state"] == "RUNNING" and previous in {None, "PENDING"}:
        return "started"
    return "submitted" if previous is None else "changed"


def _is_same(row: PartRow, part: Part) -> bool:
    """Tell whether a part is the job of a row and not a later one of the same number.

    A requeue gives a job another submit time.
    """
    if part.job["user"] != row.job["user"]:
        return False
    if part.submit_time == row.submit_time or (part.submitted and part.submitted == row.submitted):
        return True
    return part.submit_time > row.submit_time and bool(part.job["restarts"] > row.job["restarts"])


def _same_end(told: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    return all(told[name] == job[name] for name in ("state", "exit_code", "signal", "end_time", "restarts"))


def _accounted(row: PartRow, account: Accounted) -> Part:
    started = account.start_time if account.node_list else None
    job = {
        **row.job,
        "state": account.state,
        "state_flags": [],
        "state_reason": None,
        "held": False,
        "exit_code": account.exit_code,
        "signal": account.signal or None,
        "start_time": jobs.rfc3339(started),
        "end_time": jobs.rfc3339(account.end_time),
        "nodes": account.nodes or row.job["nodes"],
        "cpus": account.cpus or row.job["cpus"],
        "node_list": account.node_list or None,
    }
    return Part(row.id, row.base, row.number, row.submit_time, row.submitted, job)


def _lost(row: PartRow, now: float) -> Part:
    job = {
        **row.job,
        "state": "UNKNOWN",
        "state_flags": [],
        "state_reason": "SlurmForgotIt",
        "held": False,
        "end_time": jobs.rfc3339(int(now)),
    }
    return Part(row.id, row.base, row.number, row.submit_time, row.submitted, job)


def _summary(template: Mapping[str, Any], parts: list[PartRow], waiting: set[int]) -> dict[str, Any]:
    """Return an array or heterogeneous job as one job, as the API does from Slurm's records."""
    known = [row.job for row in parts]
    is_array = not any("+" in row.id for row in parts)
    states = {job["state"] for job in known} | ({"PENDING"} if waiting or not known else set())
    state = jobs.common_state(states)
    final = state not in ACTIVE
    started = [job["start_time"] for job in known if job["start_time"]]
    ends = [job["end_time"] for job in known if job["end_time"]]
    codes = [job["exit_code"] for job in known if job["exit_code"] is not None]
    tasks = {int(row.id.rpartition("_")[2]) for row in parts} | waiting if is_array else set()
    reasons = [template["state_reason"]] if waiting else []
    reasons += [job["state_reason"] for job in known if job["state"] == state]
    return {
        **template,
        "state": state,
        "state_flags": [],
        "state_reason": next(iter(reasons), None),
        "held": bool(waiting) and bool(template["held"]),
        "exit_code": max(codes) if final and codes else None,
        "signal": next((job["signal"] for job in known if job["signal"]), None) if final else None,
        "start_time": min(started) if started else None,
        "end_time": max(ends) if final and ends else None,
        "nodes": template["nodes"] if is_array else sum(job["nodes"] for job in known),
        "cpus": template["cpus"] if is_array else sum(job["cpus"] for job in known),
        "node_list": None if is_array else ",".join(job["node_list"] for job in known if job["node_list"]) or None,
        "restarts": max([job["restarts"] for job in known], default=template["restarts"]),
        "tasks": (task_lists.text(tasks) or template["tasks"]) if is_array else None,
        "components": None if is_array else sorted(
            (row.id for row in parts), key=lambda part_id: int(part_id.rpartition("+")[2])
        ),
    }  # fmt: skip
