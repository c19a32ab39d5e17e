"""The marker that a job carries in its `extra` field, by which it is known again.

It tells of itself which submit made the job, when that was by this gateway's clock, and which script it runs. So a
job that is found in Slurm leads to its record, also after a requeue, which gives it another submit time.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

_MARKER = re.compile(r"slurm-gateway:([0-9]{10}):([0-9a-f]{32}):([0-9a-f]{64})?")


@dataclass(frozen=True, slots=True)
class Marker:
    """What a marker says: when the job was submitted (Unix seconds), a number of its own, its script's SHA-256."""

    submitted: int
    nonce: str
    script: str = ""

    def __str__(self) -> str:
        """Return the marker as it stands in `extra`."""
        return f"slurm-gateway:{self.submitted:010}:{self.nonce}:{self.script}"


def new(submitted: int, script: str = "") -> Marker:
    """Return a marker that no other job has."""
    return Marker(submitted, uuid.uuid4().hex, script)


def find(extra: str) -> Marker | None:
    """Return the marker in a job's `extra`, None if there is none.

    Its user can write any: so it is believed only about that user's own jobs. A submit's own comes after what the user
    has there, so the last one counts.
    """
    found = [Marker(int(match[1]), match[2], match[3] or "") for match in _MARKER.finditer(extra)]
    return found[-1] if found else None
