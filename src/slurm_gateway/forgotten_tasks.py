"""An array of which Slurm has forgotten tasks: its record knows them, and how they ended.

slurmctld forgets each task MinJobAge after that task's own end, while others of the array run. What it lists then is
true and not the whole: an array whose first task failed would have succeeded. How tasks ended that Slurm does not list
any more, nobody but the head node can tell, and it does so when the last one has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import task_lists
from .job import common_state, is_final, unix

if TYPE_CHECKING:
    from .job import Job


def completed(job: Job, kept: Job) -> tuple[Job, bool]:
    """Return an array as Slurm tells of it, completed by its record; and whether that is news to the record.

    While a task goes on, Slurm's word counts, also of one that had ended and was requeued. Otherwise the end is the
    record's if that is final, and not known yet if it is not.
    """
    if not task_lists.parse(kept["tasks"] or "") - task_lists.parse(job["tasks"]):
        return job, True
    whole = {
        **job,
        "tasks": task_lists.joined([kept["tasks"], job["tasks"]]),
        "start_time": min(filter(None, (kept["start_time"], job["start_time"])), default=None),
        "restarts": max(kept["restarts"], job["restarts"]),
        # They are one task's, once none waits: not another's with each that is forgotten.
        "stdout": kept["stdout"] or job["stdout"],
        "stderr": kept["stderr"] or job["stderr"],
    }
    if not is_final({**job, "state_flags": [flag for flag in job["state_flags"] if flag != "COMPLETING"]}):
        return whole, True
    if not _is_of_this_end(kept, job):
        going_on = {"state": "RUNNING", "state_reason": None, "exit_code": None, "signal": None, "end_time": None}
        return {**whole, **going_on}, False
    state = common_state([kept["state"], job["state"]])
    return {
        **kept,
        **{name: whole[name] for name in ("tasks", "start_time", "restarts", "stdout", "stderr", "state_flags")},
        "state": state,
        "state_reason": (kept if kept["state"] == state else job)["state_reason"],
        "exit_code": max((each["exit_code"] for each in (kept, job) if each["exit_code"] is not None), default=None),
        "signal": kept["signal"] or job["signal"],
        "end_time": max(filter(None, (kept["end_time"], job["end_time"]))),
    }, False


def _is_of_this_end(kept: Job, job: Job) -> bool:
    """Tell whether a record tells how the array ended, and not of an end before a task of it was requeued."""
    if not is_final(kept) or not kept["end_time"] or kept["restarts"] < job["restarts"]:
        return False
    return not job["end_time"] or unix(job["end_time"]) <= unix(kept["end_time"]) + 1
