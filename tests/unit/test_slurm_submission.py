"""How a job is found by its marker: by its record, where that leads to it, and by Slurm's list where it must be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from slurmrestd_stand_in import StandIn, answer, refusal, slurmrestd
from test_job import number, record

from slurm_gateway import marker as markers
from slurm_gateway import sbatch
from slurm_gateway.api_version import ApiVersions
from slurm_gateway.caller import Caller
from slurm_gateway.errors import UnavailableError
from slurm_gateway.slurm_errors import SlurmUnreachable
from slurm_gateway.slurm_submission import SlurmSubmission
from slurm_gateway.slurmrestd import Slurmrestd
from slurm_gateway.submission import Claim

ALICE = Caller("alice", "token", int(time.time()) + 900)
SENT = 1795250000
MARKER = str(markers.new(SENT, "c" * 64))
CLAIM = Claim(
    user="alice", key="key", request="", marker=MARKER, sender="", sent_after=SENT, sender_until=0,
    token_expires_at=SENT + 900,
)  # fmt: skip
ACCOUNTS = f"users=alice&start_time={SENT - 60}&end_time={SENT + 660}&usage_time_as_submit_time=true&skip_steps=true"
ONE, ALL = "GET /slurm/v0.0.42/job", "GET /slurm/v0.0.42/jobs/"


@pytest.fixture
def slurm() -> Iterator[StandIn]:
    with slurmrestd() as stand_in:
        stand_in.speak("v0.0.42")
        yield stand_in


def submission(
    slurm: StandIn, recorded: Any = None, clock: Callable[[], float] = time.time, translate: Any = None
) -> SlurmSubmission:
    daemon = Slurmrestd(slurm.url)
    return SlurmSubmission(
        daemon, ApiVersions(daemon), ALICE, translate or (lambda _: pytest.fail("it submits")),
        cluster="parallelcluster", ends_at=clock() + 30, clock=clock, recorded=recorded,
    )  # fmt: skip


def translated(versions: tuple[str, ...]) -> sbatch.Translation:
    script = sbatch.Script("#!/bin/sh\ntrue\n")
    return sbatch.translate(script, (), sbatch.Submission(working_directory="/tmp"), api_versions_of_cluster=versions)


def job(job_id: int, extra: str = MARKER, user: str = "alice") -> tuple[int, bytes]:
    return answer(jobs=[record(job_id=job_id, extra=extra, user_name=user, submit_time=number(1795250000))])


def test_a_record_leads_to_the_job_and_slurms_list_is_not_read(slurm: StandIn) -> None:
    """Of the records of that second, those of other submits and of jobs that Slurm forgot are passed over."""
    asked: list[int] = []

    def recorded(submitted: int) -> Sequence[str]:
        asked.append(submitted)
        return ["14", "13", "12", "11"]

    slurm.answers |= {
        f"{ONE}/14": refusal(2017, "Invalid job id specified"),
        f"{ONE}/13": job(13, str(markers.new(1795250000, "c" * 64))),
        f"{ONE}/12": job(12, f"mine {MARKER}"),
    }

    found = submission(slurm, recorded).glimpse(MARKER)

    assert found is not None
    assert (found["id"], found["script"], asked) == ("12", "c" * 64, [1795250000])
    assert not any("/jobs" in line or line.endswith("/11") for line in slurm.paths())


def test_anothers_job_with_the_marker_is_not_the_callers(slurm: StandIn) -> None:
    slurm.answers[f"{ONE}/12"] = job(12, user="bob")

    assert submission(slurm, lambda _: ["12"]).glimpse(MARKER) is None


def test_without_records_nothing_is_known_until_slurms_list_is_read(slurm: StandIn) -> None:
    def unavailable(_: int) -> Sequence[str]:
        raise UnavailableError("the table does not answer")

    slurm.answers[ALL] = job(12)

    for recorded in (unavailable, lambda _: ()):
        looking = submission(slurm, recorded)
        assert looking.glimpse(MARKER) is None
        found = looking.find(MARKER)
        assert found is not None
        assert found["id"] == "12"
    without = submission(slurm, None).glimpse(MARKER)
    assert without is not None
    assert without["id"] == "12"


@pytest.mark.parametrize(("token_lives", "until"), [(900, 600), (300, 300)])
def test_accounting_is_asked_for_jobs_until_the_token_can_have_made_none_any_more(
    slurm: StandIn, token_lives: int, until: int
) -> None:
    """A submit that a frozen slurmctld has in its socket becomes a job when it thaws: here 200 s later."""
    sent = SENT
    claim = replace(CLAIM, token_expires_at=sent + token_lives)
    slurm.answers[ALL] = answer(jobs=[])
    window = f"start_time={sent - 60}&end_time={sent + until + 60}"
    query = f"users=alice&{window}&usage_time_as_submit_time=true&skip_steps=true"
    slurm.answers[f"GET /slurmdb/v0.0.42/jobs/?{query}"] = [
        answer(jobs=[{"job_id": 12, "time": {"submission": sent + 200}, "extra": extra}])
        for extra in (MARKER, str(markers.new(sent)))
    ]

    asking = submission(slurm, clock=lambda: sent + 600)

    assert [asking.may_have_forgotten(claim) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("ended", "number"),
    [
        ({"job_id": 12, "extra": f"mine {MARKER}"}, "12"),
        ({"job_id": 14, "extra": MARKER, "array": {"job_id": 12}, "het": {"job_id": 0}}, "12"),
        ({"job_id": 12, "extra": MARKER, "array": {"job_id": 0}, "het": {"job_id": 12}}, "12"),
        ({"job_id": 12, "extra": str(markers.new(1795250000))}, None),
        ({"job_id": 12, "extra": ""}, None),
    ],
)
def test_accounting_that_keeps_markers_tells_which_job_slurm_forgot(
    slurm: StandIn, ended: dict[str, Any], number: str | None
) -> None:
    slurm.answers[f"GET /slurmdb/v0.0.42/jobs/?{ACCOUNTS}"] = answer(jobs=[ended])

    found = submission(slurm, clock=lambda: SENT + 600, translate=translated).accounted(CLAIM)

    assert (found and (found["id"], found["script"])) == (number and (number, "c" * 64))


def test_accounting_that_does_not_answer_is_no_accounting_that_is_not_there(slurm: StandIn) -> None:
    """Without slurmdbd slurmrestd has no such path; with one that is away it answers like this."""
    asking = submission(slurm, clock=lambda: SENT + 600)

    assert asking.accounted(CLAIM) is None
    slurm.answers[f"GET /slurmdb/v0.0.42/jobs/?{ACCOUNTS}"] = refusal(7000, "Unable to connect to database", status=502)
    with pytest.raises(SlurmUnreachable, match="Unable to connect to database"):
        asking.accounted(CLAIM)
