"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def local(moment: str | None) -> str:
    """Return a time of the gateway's (RFC 3339) by this machine's clock and zone."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def seconds(job: Mapping[str, Any]) -> float | None:
    """Return how long a job has run, or ran; None before its start."""
    if not job["start_time"]:
        return None
    end = datetime.fromisoformat(job["end_time"]) if job["end_time"] else datetime.now(UTC)
    return max((end - datetime.fromisoformat(job["start_time"])).total_seconds(), 0.0)


def between(earlier: str, later: str) -> float:
    """Return the seconds between two times of the gateway's."""
    return max((datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds(), 0.0)


def span(job: Mapping[str, Any]) -> str:
    """Return how long a job has run, as Slurm writes it: `1-02:03:04`, `2:03`."""
    ran = seconds(job)
    return "" if ran is None else clock(ran)


def clock(total: float) -> str:
    """Return a number of seconds as Slurm writes a time span."""
    minutes, second = divmod(int(total), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}-{hour:02}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
