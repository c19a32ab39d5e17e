"""What the head node tells of a job: schemas/slurm-job-state-change.json, read with suspicion.

Only the head node may put such events on the bus. What it tells of was written by users all the same; and nothing in it
is ever taken for the name of an object: which script a job runs, and where its output lies, is not an event's to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import EventNotValidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .job import Job

DETAIL_TYPE = "Slurm Job State Change"
_VERSION = 1
_TEXT = (str,)
_NUMBER = (int,)
_NONE = (type(None),)
_MEMBERS: dict[str, tuple[type, ...]] = {
    "id": _TEXT,
    "cluster": _TEXT,
    "name": _TEXT,
    "user": _TEXT,
    "account": _TEXT,
    "partition": _TEXT,
    "state": _TEXT,
    "state_flags": (list,),
    "state_reason": (*_TEXT, *_NONE),
    "held": (bool,),
    "exit_code": (*_NUMBER, *_NONE),
    "signal": (*_NUMBER, *_NONE),
    "submit_time": _TEXT,
    "start_time": (*_TEXT, *_NONE),
    "end_time": (*_TEXT, *_NONE),
    "time_limit": (*_NUMBER, *_NONE),
    "nodes": _NUMBER,
    "node_list": (*_TEXT, *_NONE),
    "cpus": _NUMBER,
    "working_directory": (*_TEXT, *_NONE),
    "stdout": (*_TEXT, *_NONE),
    "stderr": (*_TEXT, *_NONE),
    "restarts": _NUMBER,
    "tasks": (*_TEXT, *_NONE),
    "components": (list, *_NONE),
}
_ID = re.compile(r"[1-9][0-9]{0,9}(?:[_+][0-9]{1,9})?", re.ASCII)
_USER = re.compile(r"[^\x00-\x20/]{1,64}")
_STATE = re.compile(r"[A-Z_]{2,30}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)
_LATEST = 9_999_999_999


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A job as an event tells it; its key beside its id (Unix seconds); when it was so (Unix milliseconds).

    `is_end` says that what happened is its end, and not something after it.
    """

    job: Job
    submitted: int
    seen_at: int
    is_end: bool


def read(detail: Mapping[str, Any]) -> JobEvent:
    """Return what an event's detail says; EventNotValidError names the first member that is not as it should be."""
    if detail.get("version") != _VERSION:
        raise EventNotValidError(f"version is {detail.get('version')!r:.50}, and should be {_VERSION}")
    job: dict[str, Any] = {}
    for name, kinds in _MEMBERS.items():
        value = detail.get(name)
        # A flag is a number to Python.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise EventNotValidError(f"{name} is {value!r:.50}")
        job[name] = value
    for name, pattern in (("id", _ID), ("user", _USER), ("state", _STATE), ("submit_time", _TIME)):
        if not pattern.fullmatch(job[name]):
            raise EventNotValidError(f"{name} is {job[name]!r:.50}")
    for name in ("start_time", "end_time"):
        if job[name] is not None and not _TIME.fullmatch(job[name]):
            raise EventNotValidError(f"{name} is {job[name]!r:.50}")
    return JobEvent(
        job,
        _whole(detail, "submitted", _LATEST),
        _whole(detail, "seen_at", _LATEST * 1000),
        is_end=detail.get("change") == "ended",
    )


def _whole(detail: Mapping[str, Any], name: str, most: int) -> int:
    value = detail.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise EventNotValidError(f"{name} is {value!r:.50}")
    return value
