"""What the head node tells of output: read with suspicion, and kept beside the job without touching it."""

from __future__ import annotations

from typing import Any

import pytest
from test_jobs_function import dynamodb, keep, session, table  # noqa: F401 - fixtures

from slurm_gateway import output_facts
from slurm_gateway.errors import EventNotValidError, UnavailableError
from slurm_gateway.job_table import JobTable, with_links

TOLD = {
    "version": 1,
    "event_id": "x",
    "cluster": "parallelcluster",
    "id": "12",
    "user": "alice",
    "submitted": 1795250000,
    "collected_at": "2026-11-21T08:33:27.000001Z",
    "stdout": {"size": 5},
    "stderr": None,
    "files": {"count": 1, "size": 2},
    "problems": [{"path": "/tmp/x", "problem": "not-shared"}],
    "more_problems": 0,
}


def test_what_is_told_stands_in_the_record_of_the_job(table: JobTable) -> None:  # noqa: F811
    keep(table, 12, state="COMPLETED")

    table.tell_output(output_facts.read(TOLD))

    kept = table.read("12", "alice")
    assert kept is not None
    assert with_links(kept.job, kept.beside)["output"] == {
        name: TOLD[name] for name in ("collected_at", "stdout", "stderr", "files", "problems", "more_problems")
    }
    assert kept.job["state"] == "COMPLETED"


def test_of_a_job_that_goes_on_nothing_is_shown_of_an_earlier_run(table: JobTable) -> None:  # noqa: F811
    keep(table, 12, state="RUNNING")
    table.tell_output(output_facts.read(TOLD))

    kept = table.read("12", "alice")

    assert kept is not None
    assert with_links(kept.job, kept.beside)["output"] is None


def test_news_of_the_job_keeps_what_is_known_of_its_output(table: JobTable) -> None:  # noqa: F811
    keep(table, 12)
    table.tell_output(output_facts.read(TOLD))
    there = table.read("12", "alice")
    assert there is not None

    beside = table.refresh(there.job | {"state": "COMPLETED"}, seen_at=1795260000000)

    assert beside.output == there.beside.output is not None


def test_older_facts_and_those_of_anothers_job_change_nothing(table: JobTable) -> None:  # noqa: F811
    keep(table, 12)
    table.tell_output(output_facts.read(TOLD))

    table.tell_output(output_facts.read(TOLD | {"collected_at": "2026-11-21T08:33:26.000001Z", "stdout": None}))
    table.tell_output(output_facts.read(TOLD | {"user": "bob", "collected_at": "2026-11-21T09:00:00.000001Z"}))

    kept = table.read("12", "alice")
    assert kept is not None
    assert kept.beside.output is not None
    assert kept.beside.output["stdout"] == {"size": 5}


def test_facts_that_come_before_their_job_come_again(table: JobTable) -> None:  # noqa: F811
    with pytest.raises(UnavailableError, match="no record of job 12 yet"):
        table.tell_output(output_facts.read(TOLD))


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"id": "../12"},
        {"id": 12},
        {"user": "alice/../bob"},
        {"submitted": "1"},
        {"submitted": 0},
        {"submitted": True},
        {"collected_at": "now"},
        {"stdout": "output/bob/x"},
        {"stdout": {"size": -1}},
        {"files": []},
        {"files": {"count": 1}},
        {"problems": "many"},
        {"problems": [{"path": 5, "problem": "x"}]},
        {"problems": [{}] * 11},
        {"more_problems": None},
    ],
)
def test_facts_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EventNotValidError):
        output_facts.read(TOLD | wrong)
