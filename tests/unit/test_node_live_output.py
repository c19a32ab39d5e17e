"""Which streams are watched, where more readers ask than can be served."""

from __future__ import annotations

from typing import Any, cast

import pytest
from slurm_gateway_node import job_user
from slurm_gateway_node.job_user import JobUser
from slurm_gateway_node.live_output import LiveOutput
from slurm_gateway_node.orders import WatchOrder
from slurm_gateway_node.slurm_job import SlurmJob, job_of


class Slurm:
    """Every job runs; those from 1000 on are bob's."""

    def find(self, job_id: str) -> SlurmJob:
        user = "alice" if int(job_id) < 1000 else "bob"
        record = {"job_id": int(job_id), "user_name": user, "job_state": ["RUNNING"], "submit_time": 7}
        return job_of({**record, "current_working_directory": "/home", "standard_output": "/home/out"})


def watch(live: LiveOutput, user: str, numbers: range) -> None:
    for number in numbers:
        live.watch(WatchOrder("c", str(number), user, 7, "stdout", 0))


def test_one_users_jobs_leave_room_for_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(job_user, "find", lambda name: JobUser(name, 1001, 1001, ()))
    live = LiveOutput(cast("Any", None), cast("Any", Slurm()), cast("Any", None), cast("Any", None), cast("Any", None))

    watch(live, "alice", range(1, 100))
    watch(live, "bob", range(1000, 1001))
    # Who is watched already stays so.
    watch(live, "alice", range(1, 17))

    refused = [record.getMessage() for record in caplog.records]
    assert len(refused) == 99 - 16
    assert all("live/alice/" in line for line in refused)
