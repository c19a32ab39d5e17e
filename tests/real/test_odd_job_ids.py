"""Requests of which some release's daemons die: the load balancer refuses them, and the daemons live on."""

from __future__ import annotations

import pytest
from conftest import Stack, slurm

REQUESTS = [
    ("GET", "/slurm/v0.0.42/job/1.x", None, 400),
    ("GET", "/slurm/v0.0.42/job/1%2ex", None, 400),
    ("DELETE", "/slurm/v0.0.42/job/1.x", None, 400),
    ("GET", "/slurmdb/v0.0.42/job/1.x", None, 400),
    ("GET", "/slurm/v0.0.42/jobs/state?job_id=1.x", None, 400),
    ("GET", "/slurm/v0.0.42/jobs/state?job_id=1%2Ex", None, 400),
    ("GET", "/slurm/v0.0.42/jobs/state?job_id=1&job_id=2.x", None, 400),
    ("DELETE", "/slurm/v0.0.42/jobs/", {"jobs": ["1.x"]}, 403),
    ("DELETE", "/slurm/v0.0.42/jobs", {"jobs": ["1"]}, 403),
    ("GET", "/slurm/v0.0.42/%6aob/1.x", None, 400),
    ("DELETE", "/slurm/v0.0.42/%6Aobs", {"jobs": ["1.x"]}, 400),
    ("DELETE", "/slurm/v0.0.42/job%73/", {"jobs": ["1.x"]}, 400),
]


def daemons() -> dict[str, str]:
    """Give the process ids of the daemons that could die."""
    return {
        unit: slurm("systemctl", "show", "--property=MainPID", "--value", unit).strip()
        for unit in ("slurmctld.service", "slurmrestd.service")
    }


def test_what_kills_daemons_is_refused_before_them(stack: Stack) -> None:
    before = daemons()

    answers = [
        stack.http.request(method, f"{stack.api}{path}", json=body, headers=stack.headers("alice")).status_code
        for method, path, body, _ in REQUESTS
    ]

    assert answers == [status for *_, status in REQUESTS]
    assert daemons() == before


@pytest.mark.parametrize("path", ["/slurm/v0.0.42/jobs/state?job_id=1", "/slurm/v0.0.42/nodes/?update_time=1"])
def test_ordinary_ids_and_queries_pass(stack: Stack, path: str) -> None:
    assert stack.http.get(f"{stack.api}{path}", headers=stack.headers("alice")).status_code == 200
