"""The function that keeps what the head node tells: its kinds of events, with this environment's settings."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from . import aws, heartbeat, job_event, logs, metrics, output_facts
from .errors import EventNotValidError
from .heartbeat import HeartbeatTable
from .job import ENDS, unix
from .job_table import JobTable
from .recording import Recording
from .settings import RecorderSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# News gives way to later news only: what is told of the future would hold until then, whatever is told after it. A
# clock that is off by more than this is off by too much for munge, too.
_AHEAD = 300


def build(environ: Mapping[str, str], *, now: Callable[[], float] = time.time) -> Recording:
    """Return the function for an environment; SettingsError if that is wrong. `now` gives Unix seconds."""
    settings = RecorderSettings.from_environ(environ)
    logs.configure(settings.log_level)
    dynamodb = aws.client(aws.session(), "dynamodb")
    jobs = JobTable(dynamodb, settings.jobs_table, cluster=settings.cluster_name, keep_days=settings.job_record_days)
    heartbeats = HeartbeatTable(dynamodb, settings.heartbeats_table)

    def of_this_cluster(name: object) -> None:
        if name != settings.cluster_name:
            raise EventNotValidError(f"cluster is {name!r:.50}; ClusterName of the template is {settings.cluster_name}")

    def not_ahead(seconds: float) -> None:
        if (ahead := seconds - now()) > _AHEAD:
            raise EventNotValidError(f"it is of a time {ahead:.0f} s ahead: is the head node's clock right?")

    def record_job(detail: Mapping[str, Any]) -> None:
        told = job_event.read(detail)
        of_this_cluster(told.job["cluster"])
        not_ahead(told.seen_at / 1000)
        jobs.tell(told.job, seen_at=told.seen_at, submitted=told.submitted)
        # Whether or not it was news to the table: whoever waits for a job has read its end before. Jobs as the list has
        # them, so that an array counts once. An event that comes twice counts twice.
        if told.is_end and told.job["id"].isdigit():
            state = told.job["state"] if told.job["state"] in ENDS else "OTHER"
            metrics.emit({"JobEnds": 1}, by={"State": state}, job=told.job["id"])

    def record_heartbeat(detail: Mapping[str, Any]) -> None:
        beat = heartbeat.read(detail)
        of_this_cluster(beat.cluster)
        not_ahead(unix(beat.time))
        heartbeats.keep(beat)
        metrics.emit({"FeedLag": beat.lag_seconds}, heartbeat=beat.time)

    def record_output(detail: Mapping[str, Any]) -> None:
        told = output_facts.read(detail)
        of_this_cluster(told.cluster)
        not_ahead(unix(told.collected_at))
        jobs.tell_output(told)

    return Recording(
        {
            job_event.DETAIL_TYPE: record_job,
            heartbeat.DETAIL_TYPE: record_heartbeat,
            output_facts.DETAIL_TYPE: record_output,
        }
    )


handler = build(os.environ)
