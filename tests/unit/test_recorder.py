"""What becomes of the head node's events: one record a job, and the last heartbeat."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.session import Session
from moto import mock_aws
from templates_under_test import api_resource

from local.address import CHECKOUT
from slurm_gateway import heartbeat, job_event
from slurm_gateway.errors import EventNotValidError, UnavailableError
from slurm_gateway.health_endpoint import HealthEndpoint
from slurm_gateway.heartbeat import Heartbeat, HeartbeatTable
from slurm_gateway.job import rfc3339
from slurm_gateway.job_table import Filters, JobTable
from slurm_gateway.recording import Recording

SUBMITTED = 1_795_250_000
DETAIL = {
    "version": 1, "event_id": "0" * 32, "change": "submitted", "previous_state": None, "seen_at": SUBMITTED * 1000,
    "submitted": SUBMITTED, "array_job_id": None, "array_task_id": None, "het_job_id": None, "het_job_offset": None,
    "id": "12", "cluster": "c", "name": "job", "user": "alice", "account": "", "partition": "queue1",
    "state": "PENDING", "state_flags": [], "state_reason": None, "held": False, "exit_code": None, "signal": None,
    "submit_time": rfc3339(SUBMITTED), "start_time": None, "end_time": None, "time_limit": None, "nodes": 1,
    "node_list": None, "cpus": 1, "working_directory": "/home/alice", "stdout": None, "stderr": None, "restarts": 0,
    "tasks": None, "components": None,
}  # fmt: skip
BEAT = {
    "version": 1, "cluster": "c", "time": rfc3339(SUBMITTED), "daemons": {"slurmctld": "UP", "slurmdbd": "UP"},
    "lag_seconds": 0.5, "waiting": 2,
}  # fmt: skip


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = Session().create_client("dynamodb", region_name="us-east-1")
        for table in ("JobsTable", "HeartbeatsTable"):
            properties = api_resource(table)["Properties"]
            known = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
            client.create_table(TableName=table, **{name: properties[name] for name in known if name in properties})
        yield client


@pytest.fixture
def table(dynamodb: Any) -> JobTable:
    return JobTable(dynamodb, "JobsTable", cluster="c", keep_days=90)


def event(seconds: float, state: str = "PENDING", **more: Any) -> job_event.JobEvent:
    """An event of the job, so many seconds after its submit."""
    over = {} if state in {"PENDING", "RUNNING"} else {"end_time": rfc3339(SUBMITTED + int(seconds)), "exit_code": 0}
    return job_event.read({**DETAIL, "seen_at": int((SUBMITTED + seconds) * 1000), "state": state, **over, **more})


def tell(table: JobTable, told: job_event.JobEvent) -> bool:
    return table.tell(told.job, seen_at=told.seen_at, submitted=told.submitted)


def state(table: JobTable, user: str = "alice") -> str | None:
    kept = table.read("12", user)
    return kept and kept.job["state"]


def test_events_in_any_order_and_any_number_make_one_record(table: JobTable, dynamodb: Any) -> None:
    told = [event(0), event(1, "RUNNING"), event(5, "FAILED", exit_code=7)]
    for each in (told[2], told[0], told[1], told[2], told[0]):
        tell(table, each)

    [item] = dynamodb.scan(TableName="JobsTable")["Items"]
    assert json.loads(item["document"]["S"])["exit_code"] == 7
    assert item["expires_at"]["N"] == str(SUBMITTED + 5 + 90 * 24 * 3600)
    assert [job["state"] for job in table.page("alice", Filters(), limit=10).jobs] == ["FAILED"]


def test_event_does_not_overrule_what_slurm_answered_later(table: JobTable) -> None:
    table.refresh(event(10, "RUNNING").job, seen_at=(SUBMITTED + 10) * 1000)

    assert not tell(table, event(9))
    assert state(table) == "RUNNING"


def test_event_does_not_overrule_the_end_that_slurm_answered(table: JobTable) -> None:
    answered = event(10, "FAILED", exit_code=7, state_reason="NonZeroExitCode")
    table.refresh(answered.job, seen_at=answered.seen_at)

    assert not tell(table, event(10.9, "FAILED", exit_code=0))
    kept = table.read("12", "alice")
    assert kept is not None
    assert kept.job["exit_code"] == 7


def test_end_is_news_although_a_clock_is_behind(table: JobTable) -> None:
    table.refresh(event(10, "RUNNING").job, seen_at=(SUBMITTED + 12) * 1000)

    assert tell(table, event(10, "COMPLETED"))
    assert state(table) == "COMPLETED"


def test_end_of_an_earlier_run_is_no_news_of_a_later_one(table: JobTable) -> None:
    tell(table, event(12, restarts=1))

    assert not tell(table, event(10, "COMPLETED"))
    assert state(table) == "PENDING"


def test_nobodys_record_becomes_anothers(table: JobTable) -> None:
    tell(table, event(0))

    assert not tell(table, event(100, user="bob", restarts=9))
    assert (state(table), state(table, "bob")) == ("PENDING", None)


def test_script_of_a_submit_is_kept_whichever_comes_first(table: JobTable) -> None:
    tell(table, event(1, "RUNNING"))

    beside = table.refresh(event(0).job, seen_at=SUBMITTED * 1000, submitted=SUBMITTED, script="a" * 64)
    assert beside.script == "a" * 64
    tell(table, event(5, "COMPLETED"))

    kept = table.read("12", "alice")
    assert kept is not None
    assert (kept.job["state"], kept.beside.script) == ("COMPLETED", "a" * 64)


def test_event_names_no_script(table: JobTable) -> None:
    told = job_event.read({**DETAIL, "script": "b" * 64, "links": {"script": "/scripts/x"}, "output": "output/bob/x"})
    tell(table, told)

    [job] = table.page("alice", Filters(), limit=1).jobs
    assert (job["script"], job["output"]) == (None, None)
    assert job["links"] == {"self": "/jobs/12", "output": "/jobs/12/output"}
    assert "output/bob" not in json.dumps(job)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 2), ("id", "12#13"), ("id", "x"), ("user", "../bob"), ("user", "a b"), ("user", ""),
        ("state", "<b>"), ("submit_time", "now"), ("end_time", "soon"), ("exit_code", "0"), ("nodes", None),
        ("held", 1), ("restarts", True), ("submitted", 0), ("submitted", 1e9), ("seen_at", 10**14), ("name", None),
    ],
)  # fmt: skip
def test_event_that_is_none_is_refused(name: str, value: object) -> None:
    with pytest.raises(EventNotValidError, match=name):
        job_event.read({**DETAIL, name: value})


def test_the_sample_batch_is_recorded(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"JOBS_TABLE": "JobsTable", "HEARTBEATS_TABLE": "HeartbeatsTable", "JOB_RECORD_DAYS": "90"}
    for name, value in {**environment, "CLUSTER_NAME": "parallelcluster", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    from slurm_gateway import recorder

    batch = json.loads((CHECKOUT / "events" / "recorder.json").read_text())

    assert recorder.build(os.environ)(batch) == {"batchItemFailures": []}
    [item] = dynamodb.scan(TableName="JobsTable")["Items"]
    assert (item["job"]["S"], item["state"]["S"]) == ("parallelcluster#12_3", "FAILED")
    assert dynamodb.scan(TableName="HeartbeatsTable")["Count"] == 1

    monkeypatch.setenv("CLUSTER_NAME", "another")
    assert len(recorder.build(os.environ)(batch)["batchItemFailures"]) == 2


def test_what_is_told_of_the_future_is_not_recorded(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then nothing that is true would replace it: no record, and no heartbeat."""
    environ = {
        "JOBS_TABLE": "JobsTable", "HEARTBEATS_TABLE": "HeartbeatsTable", "JOB_RECORD_DAYS": "90", "CLUSTER_NAME": "c",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1",
    }  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    from slurm_gateway import recorder

    output = {
        "version": 1, "cluster": "c", "id": "12", "user": "alice", "submitted": SUBMITTED, "stdout": None,
        "stderr": None, "files": {"count": 0, "size": 0}, "problems": [], "more_problems": 0,
    }  # fmt: skip

    def batch(ahead: int) -> dict[str, Any]:
        at = rfc3339(SUBMITTED + ahead)
        details = (
            ("Slurm Job State Change", {**DETAIL, "seen_at": (SUBMITTED + ahead) * 1000}),
            ("Slurm Heartbeat", {**BEAT, "time": at}),
            ("Slurm Job Output", {**output, "collected_at": at.replace("Z", ".000000Z")}),
        )
        bodies = [json.dumps({"detail-type": kind, "detail": detail}) for kind, detail in details]
        return {"Records": [{"messageId": str(number), "body": body} for number, body in enumerate(bodies)]}

    recording = recorder.build(os.environ, now=lambda: SUBMITTED)

    assert len(recording(batch(301))["batchItemFailures"]) == 3
    assert [dynamodb.scan(TableName=table)["Count"] for table in ("JobsTable", "HeartbeatsTable")] == [0, 0]
    assert recording(batch(299)) == {"batchItemFailures": []}
    assert [dynamodb.scan(TableName=table)["Count"] for table in ("JobsTable", "HeartbeatsTable")] == [1, 1]


def test_ends_are_counted_by_state_and_a_part_of_a_job_is_none(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"JOBS_TABLE": "JobsTable", "HEARTBEATS_TABLE": "HeartbeatsTable", "JOB_RECORD_DAYS": "90"}
    for name, value in {**environment, "CLUSTER_NAME": "c", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    from slurm_gateway import recorder

    told = [
        {"change": "started", "id": "12", "state": "RUNNING"},
        {"change": "ended", "id": "12", "state": "TIMEOUT"},
        {"change": "ended", "id": "13_1", "state": "FAILED"},
        {"change": "ended", "id": "13", "state": "FAILED"},
        {"change": "changed", "id": "13", "state": "FAILED"},
        {"change": "ended", "id": "14", "state": "NO_SUCH_STATE"},
    ]
    bodies = [json.dumps({"detail-type": job_event.DETAIL_TYPE, "detail": {**DETAIL, **each}}) for each in told]
    batch = {"Records": [{"messageId": str(number), "body": body} for number, body in enumerate(bodies)]}
    assert recorder.build(os.environ)(batch) == {"batchItemFailures": []}

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"JobEnds"' in line]
    assert [(line["JobEnds"], line["job"], line["State"]) for line in lines] == [
        (1, "12", "TIMEOUT"), (1, "13", "FAILED"), (1, "14", "OTHER"),
    ]  # fmt: skip


def test_a_message_that_fails_does_not_hold_up_the_others() -> None:
    done: list[Any] = []

    def record(detail: Any) -> None:
        if detail == {"fails": 1}:
            raise UnavailableError("the table is away")
        done.append(detail)

    bodies = ["{", json.dumps({"detail-type": "Other", "detail": {}}), '{"detail-type": "Job", "detail": {"fails": 1}}']
    bodies += ['{"detail-type": "Job", "detail": []}', '{"detail-type": "Job", "detail": {"good": 1}}']
    batch = {"Records": [{"messageId": str(number), "body": body} for number, body in enumerate(bodies)]}

    answer = Recording({"Job": record})(batch)

    assert (done, [item["itemIdentifier"] for item in answer["batchItemFailures"]]) == ([{"good": 1}], list("0123"))


def test_last_heartbeat_is_kept(dynamodb: Any) -> None:
    kept = HeartbeatTable(dynamodb, "HeartbeatsTable")
    assert kept.last("c") is None

    kept.keep(heartbeat.read({**BEAT, "time": rfc3339(SUBMITTED + 15)}))
    kept.keep(heartbeat.read(BEAT))

    assert kept.last("c") == heartbeat.read({**BEAT, "time": rfc3339(SUBMITTED + 15)})


@pytest.mark.parametrize(
    "wrong", [{"time": "now"}, {"daemons": 1}, {"lag_seconds": None}, {"cluster": None, "time": 1}]
)
def test_heartbeat_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EventNotValidError):
        heartbeat.read({**BEAT, **wrong})


def health(beat: Heartbeat | None, after: float = 10) -> dict[str, Any]:
    return HealthEndpoint(lambda: beat, now=lambda: SUBMITTED + after)({"requestContext": {"requestId": "r"}})


def test_health_is_the_last_heartbeats() -> None:
    answer = health(heartbeat.read(BEAT))

    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (200, "ok")


@pytest.mark.parametrize(
    ("beat", "after", "says"),
    [
        (None, 0, "not been heard of yet"),
        (heartbeat.read(BEAT), 61, "last heard of 61 s ago"),
        (heartbeat.read({**BEAT, "daemons": {"slurmctld": "DOWN", "slurmdbd": "UP"}}), 1, "slurmctld did not answer"),
    ],
)
def test_what_is_not_well_is_503_with_retry_after(beat: Heartbeat | None, after: float, says: str) -> None:
    answer = health(beat, after)

    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "15")
    assert says in json.loads(answer["body"])["detail"]


def test_health_reads_the_table_once_in_five_seconds() -> None:
    reads: list[float] = []
    clock = [float(SUBMITTED)]

    def last() -> Heartbeat:
        reads.append(clock[0])
        return heartbeat.read(BEAT)

    endpoint = HealthEndpoint(last, now=lambda: clock[0])
    for _ in range(11):
        endpoint({})
        clock[0] += 0.5

    assert len(reads) == 2


def test_health_without_its_table_is_503() -> None:
    def last() -> Heartbeat:
        raise UnavailableError("away")

    assert HealthEndpoint(last)({})["statusCode"] == 503
