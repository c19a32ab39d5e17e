"""What the head node tells of a job's output: how much was kept, and what was not and why. Read with suspicion.

Paths in it were written by users. None is ever taken for the name of an object: where output lies follows from the
job's record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import EventNotValidError

if TYPE_CHECKING:
    from collections.abc import Mapping

DETAIL_TYPE = "Slurm Job Output"
_VERSION = 1
_ID = re.compile(r"[1-9][0-9]{0,9}(?:[_+][0-9]{1,9})?", re.ASCII)
_USER = re.compile(r"[^\x00-\x20/]{1,64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z", re.ASCII)
_LATEST = 9_999_999_999
# A page of the list of jobs holds the facts of hundreds. GET /jobs/{id}/output?list=true has them all.
_MOST_PROBLEMS = 10
_LONGEST_PATH = 256
_LONGEST_WORD = 100


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """What is told of one job's output.

    `submitted` is the job's key beside its id (Unix seconds); `output` is what the job's record shows.
    """

    cluster: str
    job_id: str
    user: str
    submitted: int
    collected_at: str
    output: dict[str, Any]


def read(detail: Mapping[str, Any]) -> OutputFacts:
    """Return what an event's detail says; EventNotValidError names the first member that is not as it should be."""
    if detail.get("version") != _VERSION:
        raise EventNotValidError(f"version is {detail.get('version')!r:.50}, and should be {_VERSION}")
    job_id, user, collected_at = (
        _text(detail, name, pattern) for name, pattern in (("id", _ID), ("user", _USER), ("collected_at", _TIME))
    )
    submitted = _count(detail, "submitted")
    if not 0 < submitted <= _LATEST:
        raise EventNotValidError(f"submitted is {submitted!r:.50}")
    files = detail.get("files")
    if not isinstance(files, dict):
        raise EventNotValidError(f"files is {files!r:.50}")
    return OutputFacts(
        cluster=str(detail.get("cluster")),
        job_id=job_id,
        user=user,
        submitted=submitted,
        collected_at=collected_at,
        output={
            "collected_at": collected_at,
            "stdout": _stream(detail, "stdout"),
            "stderr": _stream(detail, "stderr"),
            "files": {"count": _count(files, "count"), "size": _count(files, "size")},
            "problems": _problems(detail.get("problems")),
            "more_problems": _count(detail, "more_problems"),
        },
    )


def _stream(detail: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    told = detail.get(name)
    if told is None:
        return None
    if not isinstance(told, dict):
        raise EventNotValidError(f"{name} is {told!r:.50}")
    return {"size": _count(told, "size")} | ({"truncated": True} if told.get("truncated") is True else {})


def _problems(told: object) -> list[dict[str, str]]:
    if not isinstance(told, list) or len(told) > _MOST_PROBLEMS:
        raise EventNotValidError(f"problems is {told!r:.50}")
    for each in told:
        members = (each.get("path"), each.get("problem")) if isinstance(each, dict) else (None, None)
        if not all(isinstance(member, str) for member in members):
            raise EventNotValidError(f"a problem is {each!r:.50}")
    return [{"path": each["path"][:_LONGEST_PATH], "problem": each["problem"][:_LONGEST_WORD]} for each in told]


def _text(detail: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = detail.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise EventNotValidError(f"{name} is {value!r:.50}")
    return value


def _count(detail: Mapping[str, Any], name: str) -> int:
    value = detail.get(name)
    if type(value) is not int or value < 0:
        raise EventNotValidError(f"{name} is {value!r:.50}")
    return value
