"""Events that are forged by who may put them on the bus make no job another's, and hold until Slurm is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bench.inbox_faults import client, outputs
from bench.job_records import event_tap
from tests.real.conftest import Stack, wait_for
from tests.real.test_feed import is_listed, listed, one, sbatch


def tell(*details: dict[str, Any]) -> None:
    """Put events of jobs on the bus as an administrator may, in the head node's name."""
    entry = {
        "EventBusName": outputs()["EventBusName"],
        "Source": "slurm-gateway",
        "DetailType": "Slurm Job State Change",
    }
    answer = client("events").put_events(Entries=[{**entry, "Detail": json.dumps(detail)} for detail in details])
    assert answer["FailedEntryCount"] == 0, answer


def test_a_forged_event_gives_nobody_anothers_job_and_holds_until_slurm_is_asked(
    stack: Stack, report: Callable[[str], None]
) -> None:
    with event_tap() as tap:
        job = sbatch("bob", "--hold", "--job-name=of bob")
        true = wait_for(lambda: next((each for each in tap.details if each["id"] == job), None), "its event", 30)
    wait_for(is_listed(stack, "bob", job, "PENDING"), "the job to be listed", 30)
    at = true["submit_time"]
    over = {"change": "ended", "state": "COMPLETED", "exit_code": 0, "held": False, "start_time": at, "end_time": at}

    def later(by: int, **changes: Any) -> dict[str, Any]:
        return true | {"seen_at": true["seen_at"] + by} | changes

    stolen = [
        later(1, user="alice"),
        later(2, user="alice", restarts=7),
        later(3, user="alice", **over),
        later(4, user="alice", restarts=8, stdout="/home/bob/.ssh/id_rsa", **over),
    ]
    tell(*stolen, *stolen)
    # The last that is sent, and of the owner's: once it shows, so would what came before it.
    tell(later(5, **over))
    wait_for(is_listed(stack, "bob", job, "COMPLETED"), "the forged end to be in the index", 60)

    assert one(stack, "bob", job).json()["state"] == "PENDING"
    assert listed(stack, "bob")[job]["state"] == "PENDING"
    assert listed(stack, "bob")[job]["restarts"] == 0
    assert one(stack, "alice", job).status_code == 404
    for path in (f"/jobs/{job}/output", f"/jobs/{job}/output?list=true"):
        assert stack.http.get(stack.api + path, headers=stack.headers("alice")).status_code == 404
    assert job not in listed(stack, "alice")
    report(f"forged events: {2 * len(stolen) + 1} told, 0 jobs given to another")
