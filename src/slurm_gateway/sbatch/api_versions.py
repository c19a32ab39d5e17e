"""What each version of the REST API can carry of a job description: all differences stand here.

A cluster speaks several versions at once, and some fields came, went and came back. So a description goes by
the newest version that carries all of it.

Source: the parsers of job descriptions in Slurm 24.05 to 26.05.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .description import UNSET_16
from .releases import Release

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KNOWN = ("v0.0.40", "v0.0.41", "v0.0.42", "v0.0.43", "v0.0.44", "v0.0.45")

# The versions that carry a field or flag; what is not here is carried by all.
_FIELDS = {
    "container_type": {"v0.0.45"},
    "cores_per_socket": {"v0.0.40", "v0.0.45"},
    "distribution": set(KNOWN) - {"v0.0.40"},
    "memory_update_delay": {"v0.0.45"},
    "memory_update_margin": {"v0.0.45"},
    "oom_kill_step": set(KNOWN) - {"v0.0.40", "v0.0.41"},
    "resv_mpi_ports": {"v0.0.41"},
    "segment_size": set(KNOWN) - {"v0.0.40"},
}
_FLAGS = {
    "CONSOLIDATE_SEGMENTS": {"v0.0.44", "v0.0.45"},
    "EXPEDITED_REQUEUE": {"v0.0.44", "v0.0.45"},
    "GRES_MULTIPLE_TASKS_PER_SHARING": {"v0.0.40"},
    "SPREAD_SEGMENTS": {"v0.0.44", "v0.0.45"},
    "STEPMGR_ENABLED": set(KNOWN) - {"v0.0.40"},
}
_SHARED = {"topo": set(KNOWN) - {"v0.0.40"}}


def missing(description: Mapping[str, Any], version: str) -> Iterator[tuple[str, str]]:
    """Give what a version cannot carry: the field, and the value in it where not all of the field is missing."""
    version = min(version, KNOWN[-1])
    for field, value in description.items():
        if field == "oom_kill_step" and value == UNSET_16:
            continue
        if version not in carrying(field):
            yield field, ""
        elif field in ("flags", "shared"):
            yield from ((field, name) for name in value if version not in carrying(field, name))


def carrying(field: str, value: str = "") -> tuple[str, ...]:
    """Return the versions that carry a field, or a value in it, oldest first."""
    known: set[str] | tuple[str, ...] = _FIELDS.get(field, KNOWN)
    if field == "flags":
        known = _FLAGS.get(value, KNOWN)
    elif field == "shared":
        known = _SHARED.get(value, KNOWN)
    return tuple(version for version in KNOWN if version in known)


def newest_that_carries(descriptions: list[dict[str, Any]], versions: tuple[str, ...]) -> str | None:
    """Return the first of these versions that carries all of the descriptions, None where none does."""
    return next(
        (version for version in versions if not any(True for each in descriptions for _ in missing(each, version))),
        None,
    )


def fitted(description: dict[str, Any], version: str) -> dict[str, Any]:
    """Return a description without what only says that nothing was asked for, where a version has no such field."""
    if version in _FIELDS["oom_kill_step"]:
        return description
    return {field: value for field, value in description.items() if field != "oom_kill_step"}


def shortcomings(version: str, release: Release) -> list[str]:
    """Return what a version makes of each job of a release that sbatch would not, as sentences for the submitter."""
    if version in _FIELDS["oom_kill_step"] or release < Release.R24_11:
        return []
    return [f"request: sent by {version}, which turns oom-kill-step off, also where the cluster has it on by default"]
