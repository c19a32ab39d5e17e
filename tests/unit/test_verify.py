"""Checks of deploy/verify.py whose failure must be told from success by more than a status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from slurmrestd_stand_in import StandIn, slurmrestd

from deploy.verify import Api, CheckFailedError, escaped_path, missing_script

NATIVE = "GET /slurm/v0.0.45/job"
SCRIPT = f"GET /scripts/{'0' * 64}"


def component(offset: int) -> dict[str, Any]:
    return {"job_id": 20 + offset, "het_job_id": {"set": True, "number": 20}, "het_job_offset": {"number": offset}}


def document(status: int, **fields: Any) -> tuple[int, bytes]:
    return status, json.dumps(fields).encode()


@pytest.fixture
def api_stand_in() -> Iterator[StandIn]:
    with slurmrestd() as stand_in:
        stand_in.answers = {"POST /jobs": document(201, id="20"), "DELETE /jobs/20": document(202, id="20")}
        yield stand_in


def api(stand_in: StandIn) -> Api:
    return Api(stand_in.url, session=None, headers={"X-SLURM-USER-NAME": "alice"}, version="v0.0.45")


def test_an_escaped_path_is_asked_for_as_it_is_written_and_gives_the_component(api_stand_in: StandIn) -> None:
    api_stand_in.answers[f"{NATIVE}/20%2B1"] = document(200, jobs=[component(1)])

    assert escaped_path(api(api_stand_in)) == "job 20+1"
    assert api_stand_in.paths() == ["POST /jobs", f"{NATIVE}/20%2B1", "DELETE /jobs/20"]
    assert b"#SBATCH hetjob\n#SBATCH --hold" in api_stand_in.requests[0][3]


@pytest.mark.parametrize(
    "answered",
    [(400, b"a bare + is no character of a path"), document(200, jobs=[]), document(200, jobs=[component(0)])],
    ids=["refused", "no job", "another component"],
)
def test_a_path_that_came_otherwise_fails_and_leaves_no_job(api_stand_in: StandIn, answered: tuple[int, bytes]) -> None:
    api_stand_in.answers[f"{NATIVE}/20%2B1"] = answered

    with pytest.raises(CheckFailedError, match="job/20%2B1"):
        escaped_path(api(api_stand_in))
    assert api_stand_in.paths()[-1] == "DELETE /jobs/20"


def test_a_script_that_is_not_there_is_404_and_no_failure_of_s3(api_stand_in: StandIn) -> None:
    api_stand_in.answers[SCRIPT] = document(404, title="No such script")
    assert missing_script(api(api_stand_in)) == "404 No such script"

    api_stand_in.answers[SCRIPT] = document(503, title="Unavailable")
    with pytest.raises(CheckFailedError, match="503 instead of 404"):
        missing_script(api(api_stand_in))
