"""A job's id as people write it: `12`, a task of an array `12_3`, a component of a heterogeneous job `12+1`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from .problem import Problem

_GREATEST = 0xFFFFFFFC  # the three above are words of Slurm's own, such as "no value"
_ID = re.compile(r"([1-9][0-9]{0,9})(?:_([0-9]{1,9})|\+([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class JobId:
    """A job, or a part of one: an array's task or a heterogeneous job's component."""

    job: int
    task: int | None = None
    component: int | None = None

    def __str__(self) -> str:
        """Return the id as it is written."""
        part = "" if self.task is None else f"_{self.task}"
        return f"{self.job}{part}" + ("" if self.component is None else f"+{self.component}")

    @property
    def is_part(self) -> bool:
        """Tell whether it is a part of a job."""
        return self.task is not None or self.component is not None

    def in_path(self) -> str:
        """Return the id as slurmrestd takes it in a path, where a bare + is refused."""
        return quote(str(self), safe="")


def parse(text: str) -> JobId:
    """Return the id that is written; Problem 404 where it is none, for there can be no such job."""
    match = _ID.fullmatch(text)
    if match is None or int(match[1]) > _GREATEST:
        raise Problem(
            404,
            "job-not-found",
            title="No such job",
            detail="A job's id is written 12, a task of an array 12_3, a component of a heterogeneous job 12+1.",
        )
    task, component = match[2], match[3]
    return JobId(int(match[1]), int(task) if task else None, int(component) if component else None)
