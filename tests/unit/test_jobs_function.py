"""The function behind /jobs as it is deployed: DynamoDB emulated, slurmrestd a stand-in, whole answers compared."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from event_samples import sample
from slurmrestd_stand_in import NO_PATH, StandIn, answer, refusal, slurmrestd
from templates_under_test import api_resource
from test_job import component, number, record, task, waiting_tasks

from slurm_gateway import aws, marker
from slurm_gateway import cursor as cursors
from slurm_gateway import job as jobs
from slurm_gateway.errors import UnavailableError
from slurm_gateway.job import rfc3339, submitted
from slurm_gateway.job_id import JobId
from slurm_gateway.job_table import Beside, Filters, JobTable, Page

JOB = "/slurm/v0.0.42/job"
CLUSTER = "parallelcluster"
TOMORROW = int(time.time()) + 24 * 3600
SHA256 = "c" * 64
Call = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture(scope="module")
def session(aws_environment: None) -> Any:
    return aws.session()


@pytest.fixture(scope="module")
def dynamodb(session: Any) -> Any:
    return aws.client(session, "dynamodb")


@pytest.fixture
def table(dynamodb: Any) -> Iterator[JobTable]:
    known = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    properties = api_resource("JobsTable")["Properties"]
    dynamodb.create_table(TableName="jobs", **{name: properties[name] for name in known})
    yield JobTable(dynamodb, "jobs", cluster=CLUSTER, keep_days=400)
    dynamodb.delete_table(TableName="jobs")


@pytest.fixture
def slurm() -> Iterator[StandIn]:
    with slurmrestd() as stand_in:
        stand_in.speak("v0.0.41", "v0.0.42")
        yield stand_in


@pytest.fixture
def call(slurm: StandIn, table: JobTable, session: Any) -> Call:
    environ = {
        "SLURMRESTD_URL": slurm.url,
        "SLURMRESTD_TLS_NAME": "",
        "CLUSTER_NAME": CLUSTER,
        "WORKING_DIRECTORY": "/home/{user}",
        "JOBS_TABLE": "jobs",
        "JOB_RECORD_DAYS": "400",
        "SUBMISSIONS_TABLE": "submissions",
        "BUCKET": "bucket",
        "READ_LOG_PERCENT": "100",
        "HEAD_NODE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/orders",
        "LOG_LEVEL": "INFO",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        # Reading botocore's descriptions takes long, and they are the same for each test.
        patch.setattr(aws, "session", lambda: session)
        handler = importlib.import_module("slurm_gateway.jobs_api").build(os.environ)

    def send(
        name: str, *, user: str = "alice", query: str = "", body: str | None = None, id: str = "12",  # noqa: A002
        expires_at: int = TOMORROW, sees_everyone: bool = False, **headers: str,
    ) -> tuple[int, dict[str, str], Any]:  # fmt: skip
        event = sample(name)
        event["requestContext"]["authorizer"]["lambda"] = {
            "user": user, "expires_at": expires_at, "jti": "a-token", "sees_everyones_jobs": sees_everyone,
        }  # fmt: skip
        event["rawQueryString"] = query
        event["headers"] |= {key.replace("_", "-"): value for key, value in headers.items()}
        if "pathParameters" in event and "id" in event["pathParameters"]:
            event["pathParameters"]["id"] = id
        if body is not None:
            event |= {"body": body, "isBase64Encoded": False}
        response = handler(event)
        text = response["body"]
        return response["statusCode"], response["headers"], json.loads(text) if text else None

    return send


def keep(table: JobTable, job_id: int, *, user: str = "alice", at: int = 1795250000, **changes: Any) -> None:
    sent = {"name": "test", "partition": "queue1"}
    job = submitted(job_id, user=user, cluster=CLUSTER, descriptions=[sent], submitted_at=at)
    table.refresh(job | changes, seen_at=at * 1000, script=SHA256)


# ---- GET /jobs/{id} ----------------------------------------------------------------------------------------------


def test_a_job_is_asked_of_slurm_in_the_newest_version_and_its_record_kept(
    call: Call, slurm: StandIn, table: JobTable
) -> None:
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record()])

    status, headers, job = call("jobs-read")

    assert (status, job["state"], job["script"]) == (200, "RUNNING", None)
    assert job["links"] == {"self": "/jobs/12", "output": "/jobs/12/output"}
    assert headers["content-type"] == "application/json"
    kept = table.read("12", "alice")
    assert kept is not None
    assert kept.job | {"script": None, "output": None, "links": job["links"]} == job


def test_a_read_is_one_round_trip_to_slurm_once_the_versions_are_known(call: Call, slurm: StandIn) -> None:
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record()])
    call("jobs-read")
    slurm.requests.clear()

    call("jobs-read")

    assert slurm.paths() == [f"GET {JOB}/12"]


def test_a_job_of_this_gateways_keeps_its_record_and_script_through_a_requeue(
    call: Call, slurm: StandIn, table: JobTable
) -> None:
    mark = marker.new(1795250000, SHA256)
    keep(table, 12)
    of_the_user = marker.new(1700000000, "d" * 64)
    again = record(extra=f"{of_the_user} {mark}", submit_time=number(1795259999), restart_cnt=1)
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[again])

    _, _, job = call("jobs-read")

    assert (job["script"], job["links"]["script"]) == (SHA256, f"/scripts/{SHA256}")
    assert [each["restarts"] for each in table.page("alice", Filters(), limit=10).jobs] == [1]


def test_what_slurm_forgot_is_answered_from_its_record_to_its_owner_only(
    call: Call, slurm: StandIn, table: JobTable
) -> None:
    slurm.answers[f"GET {JOB}/12"] = refusal(2017, "Invalid job id specified", 404)
    keep(table, 12, state="COMPLETED")

    assert call("jobs-read")[2]["state"] == "COMPLETED"
    assert call("jobs-read", user="bob")[0] == 404


def test_no_record_is_answered_once_the_token_has_expired(call: Call, slurm: StandIn, table: JobTable) -> None:
    slurm.answers[f"GET {JOB}/12"] = refusal(2017, "Invalid job id specified", 404)
    keep(table, 12)
    past = int(time.time()) - 1

    assert call("jobs-read", expires_at=past)[0] == 401
    assert call("jobs-list", expires_at=past)[0] == 401


def test_while_slurm_is_down_only_what_is_final_is_answered(call: Call, slurm: StandIn, table: JobTable) -> None:
    slurm.answers[f"GET {JOB}/12"] = slurm.answers[f"GET {JOB}/13"] = (503, b"Service Unavailable")
    keep(table, 12, state="COMPLETED")
    keep(table, 13)

    assert call("jobs-read")[0] == 200
    status, headers, problem = call("jobs-read", id="13")
    assert (status, headers["retry-after"], problem["type"]) == (
        503,
        "5",
        "urn:slurm-gateway:problem:slurm-unreachable",
    )


def test_a_job_that_has_not_changed_is_not_sent_again(call: Call, slurm: StandIn) -> None:
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record()])
    _, headers, _ = call("jobs-read")

    status, _, body = call("jobs-read", if_none_match=f'"other", {headers["etag"]}')

    assert (status, body) == (304, None)
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record(job_state=["COMPLETED"])])
    assert call("jobs-read", if_none_match=headers["etag"])[0] == 200


def test_who_polls_is_told_how_long_is_polite_until_the_job_is_final(call: Call, slurm: StandIn) -> None:
    since = int(time.time())
    for age, state, least, most in ((300, "PENDING", 30, 31), (3000, "PENDING", 60, 60), (50, "RUNNING", 5, 6),
                                    (3000, "RUNNING", 8, 8)):  # fmt: skip
        times = {"submit_time": number(since - age), "start_time": number(since - age)}
        slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record(job_state=[state], **times)])
        assert least <= int(call("jobs-read")[1]["retry-after"]) <= most

    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record(job_state=["COMPLETED"])])
    assert "retry-after" not in call("jobs-read")[1]


def test_arrays_and_heterogeneous_jobs_are_read_whole_and_in_part(call: Call, slurm: StandIn) -> None:
    array = answer(jobs=[waiting_tasks("2,5"), task(1, 15)])
    slurm.answers |= {f"GET {JOB}/12": array, f"GET {JOB}/12_1": array, f"GET {JOB}/12_9": array}
    slurm.answers[f"GET {JOB}/20%2B1"] = answer(jobs=[component(1) | {"het_job_id": number(20)}])

    assert call("jobs-read")[2]["tasks"] == "1-2,5"
    assert call("jobs-read", id="12_1")[2]["state"] == "RUNNING"
    assert call("jobs-read", id="12_9")[0] == 404
    assert call("jobs-read", id="20+1")[2]["id"] == "20+1"


# Whatever is read while the tests run is older than this end.
START, END = int(time.time()) + 1000, int(time.time()) + 2000
FAILED = {"exit_code": {"return_code": number(7), "signal": {"id": number(None)}}, "job_state": ["FAILED"]}
TASKS = [
    task(0, 13, end_time=number(START + 5), start_time=number(START), **FAILED),
    task(1, 14, end_time=number(END - 9), start_time=number(START + 6), job_state=["COMPLETED"]),
    task(2, 12, end_time=number(END), start_time=number(START + 9), job_state=["COMPLETED"]),
]


def last_running(**changes: Any) -> dict[str, Any]:
    return TASKS[2] | {"job_state": ["RUNNING"]} | changes


def told(table: JobTable, *records: dict[str, Any], seconds: float = END + 0.5, **changes: Any) -> bool:
    """Have the head node tell of the whole array."""
    job = jobs.read(records or TASKS, JobId(12), CLUSTER)
    assert job is not None
    return table.tell(job | {"state_reason": None} | changes, seen_at=int(seconds * 1000), submitted=1795250000)


def listing(slurm: StandIn, *records: dict[str, Any]) -> None:
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=list(records))


def test_an_array_whose_early_task_failed_has_failed_though_slurm_has_forgotten_that_task(
    call: Call, slurm: StandIn, table: JobTable
) -> None:
    told(table, waiting_tasks("0-2"), seconds=time.time() - 100)
    listing(slurm, *TASKS[:2], last_running())
    assert call("jobs-read")[2]["tasks"] == "0-2"
    listing(slurm, *TASKS[1:2], last_running())
    _, _, job = call("jobs-read")
    assert (job["state"], job["tasks"], job["start_time"]) == ("RUNNING", "0-2", rfc3339(START))

    # It has ended, and nobody has told how task 0 did: Slurm alone does not know.
    listing(slurm, *TASKS[1:])
    _, headers, job = call("jobs-read")
    assert (job["state"], job["exit_code"], job["end_time"], "retry-after" in headers) == ("RUNNING", None, None, True)
    assert told(table)
    tags = set()
    for remembered in (TASKS[1:], TASKS[2:], []):
        listing(slurm, *remembered)
        _, headers, job = call("jobs-read")
        tags.add(headers["etag"])
        assert (job["state"], job["exit_code"], job["tasks"]) == ("FAILED", 7, "0-2")
        assert (job["start_time"], job["end_time"]) == (rfc3339(START), rfc3339(END))
    assert len(tags) == 1
    assert [each["state"] for each in table.page("alice", Filters(), limit=10).jobs] == ["FAILED"]


def test_how_an_array_ended_is_the_head_nodes_to_tell_whatever_was_read_before(
    call: Call, slurm: StandIn, table: JobTable
) -> None:
    # There is no record yet, and Slurm has forgotten task 0.
    end = int(time.time()) - 100
    ended = [each | {"end_time": number(end)} for each in TASKS]
    listing(slurm, *ended[1:])
    assert call("jobs-read")[2]["state"] == "COMPLETED"

    assert told(table, *ended, seconds=end + 0.5)

    assert call("jobs-read")[2]["state"] == "FAILED"


def test_a_task_that_was_requeued_counts_as_it_is_now(call: Call, slurm: StandIn, table: JobTable) -> None:
    told(table)
    again = task(0, 13, restart_cnt=1, submit_time=number(END + 60), start_time=number(END + 61))
    listing(slurm, again, TASKS[2])
    _, _, job = call("jobs-read")
    assert (job["state"], job["exit_code"], job["tasks"]) == ("RUNNING", None, "0-2")

    again |= {"job_state": ["COMPLETED"], "end_time": number(END + 90)}
    listing(slurm, again, TASKS[2])
    assert call("jobs-read")[2]["state"] == "RUNNING"
    told(table, again, *TASKS[1:], seconds=END + 91)
    _, _, job = call("jobs-read")
    assert (job["state"], job["exit_code"], job["restarts"]) == ("COMPLETED", 0, 1)


def test_an_end_before_a_requeue_is_not_the_end(call: Call, slurm: StandIn, table: JobTable) -> None:
    told(table)
    again = task(0, 13, restart_cnt=1, submit_time=number(END + 60), job_state=["COMPLETED"], end_time=number(END + 90))
    listing(slurm, again, TASKS[2])

    assert call("jobs-read")[2]["state"] == "RUNNING"
    assert call("jobs-read")[2]["state"] == "RUNNING"


def test_a_task_that_was_cancelled_before_its_start_is_none_of_the_arrays_at_its_end(
    call: Call, slurm: StandIn, table: JobTable
) -> None:
    told(table, waiting_tasks("0-3"), seconds=time.time() - 100)
    listing(slurm, *TASKS)
    assert call("jobs-read")[2]["state"] == "RUNNING"

    told(table)

    _, _, job = call("jobs-read")
    assert (job["state"], job["tasks"], job["state_flags"]) == ("FAILED", "0-2", [])


def test_an_arrays_rest_that_slurm_does_not_name_any_more_is_an_array(
    call: Call, slurm: StandIn, table: JobTable
) -> None:
    told(table)
    rest = waiting_tasks("") | {"job_state": ["CANCELLED"], "array_task_id": number(None), "end_time": number(END)}
    listing(slurm, rest)

    _, _, job = call("jobs-read")

    assert (job["state"], job["exit_code"], job["tasks"]) == ("FAILED", 7, "0-2")


def test_the_end_of_an_array_is_not_told_without_its_record(
    call: Call, slurm: StandIn, table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise UnavailableError("away")

    monkeypatch.setattr(JobTable, "read", away)
    listing(slurm, last_running())
    assert call("jobs-read")[2]["state"] == "RUNNING"
    listing(slurm, *TASKS)
    assert call("jobs-read")[0] == 503


def test_a_read_by_a_parts_own_number_makes_no_job_in_the_list(call: Call, slurm: StandIn, table: JobTable) -> None:
    slurm.answers |= {f"GET {JOB}/15": answer(jobs=[task(1, 15)]), f"GET {JOB}/13": answer(jobs=[component(1)])}

    assert call("jobs-read", id="15")[2]["links"] == {"self": "/jobs/12_1", "output": "/jobs/12_1/output"}
    assert call("jobs-read", id="13")[2]["id"] == "12+1"
    assert table.page("alice", Filters(), limit=10).jobs == []


def test_slurms_own_404_and_a_version_that_is_gone_are_told_apart(call: Call, slurm: StandIn) -> None:
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record()])
    call("jobs-read")
    slurm.answers[f"GET {JOB}/12"] = NO_PATH
    slurm.speak("v0.0.43", release="25.05.1")
    slurm.answers["GET /slurm/v0.0.43/job/12"] = answer(release="25.05.1", jobs=[record(name="after the upgrade")])

    assert call("jobs-read")[2]["name"] == "after the upgrade"


def test_how_a_job_ended_that_slurm_forgot_is_not_made_up(call: Call, slurm: StandIn, table: JobTable) -> None:
    slurm.answers[f"GET {JOB}/12"] = refusal(2017, "Invalid job id specified", 404)
    keep(table, 12, state="RUNNING")

    _, _, job = call("jobs-read")

    assert (job["state"], job["state_reason"]) == ("UNKNOWN", "SlurmForgotIt")


def test_a_task_that_is_cancelled_before_its_start_is_remembered_though_slurm_forgets_it_at_once(
    call: Call, slurm: StandIn
) -> None:
    slurm.answers[f"GET {JOB}/12_5"] = [answer(jobs=[waiting_tasks("4,5")]), *[answer(jobs=[waiting_tasks("4")])] * 2]
    slurm.answers[f"DELETE {JOB}/12_5"] = (200, b'{"status": []}')

    assert call("jobs-read", id="12_5")[2]["state"] == "PENDING"
    assert call("jobs-cancel", id="12_5")[2]["state"] == "CANCELLED"
    assert call("jobs-read", id="12_5")[2]["state"] == "CANCELLED"


# ---- GET /jobs ---------------------------------------------------------------------------------------------------


def test_a_list_is_the_callers_own_newest_first_and_never_asks_slurm(
    call: Call, slurm: StandIn, table: JobTable
) -> None:
    for job_id in (1, 2, 3):
        keep(table, job_id, at=1795250000 + job_id)
    keep(table, 4, user="bob")

    status, _, page = call("jobs-list")

    assert status == 200
    assert page["next"] is None
    assert slurm.requests == []
    _, _, page = call("jobs-list", query="")
    assert [job["id"] for job in page["jobs"]] == ["3", "2", "1"]
    assert page["jobs"][0]["script"] == SHA256


def test_pages_leave_nothing_out_and_show_nothing_twice_whatever_comes_meanwhile(call: Call, table: JobTable) -> None:
    for job_id in range(1, 8):
        keep(table, job_id, at=1795250000 + job_id // 3)
    seen, cursor = [], ""
    while True:
        _, _, page = call("jobs-list", query=f"limit=2{cursor}")
        seen += [job["id"] for job in page["jobs"]]
        keep(table, 100 + len(seen), at=1795260000 + len(seen))
        keep(table, int(seen[-1]), at=1795250000 + int(seen[-1]) // 3, state="COMPLETED")
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert seen == ["7", "6", "5", "4", "3", "2", "1"]


def test_filters_narrow_a_list_and_its_pages(call: Call, table: JobTable) -> None:
    for job_id in range(1, 7):
        state, name = ("RUNNING", "a") if job_id % 2 else ("FAILED", "b")
        keep(table, job_id, at=1795250000 + job_id, state=state, name=name)

    def ids(query: str) -> list[str]:
        return [job["id"] for job in call("jobs-list", query=query)[2]["jobs"]]

    assert ids("state=running") == ["5", "3", "1"]
    assert ids("name=b&partition=queue1") == ["6", "4", "2"]
    assert ids("partition=other") == []
    assert ids("since=2026-11-21T08:33:25Z") == ["6", "5"]
    _, _, page = call("jobs-list", query="state=FAILED&limit=2")
    assert [job["id"] for job in page["jobs"]] == ["6", "4"]
    assert ids(f"state=FAILED&limit=2&cursor={page['next']}") == ["2"]


@pytest.mark.parametrize("one_in", [1, 2, 30])
def test_a_filtered_page_reads_about_what_it_shows(
    call: Call, table: JobTable, monkeypatch: pytest.MonkeyPatch, one_in: int
) -> None:
    for job_id in range(240):
        keep(table, job_id, at=1795250000 + job_id, state="RUNNING" if job_id % one_in else "FAILED")
    read: list[int] = []
    query = table._query
    monkeypatch.setattr(
        table, "_query", lambda *arguments: read.append((answer := query(*arguments))["ScannedCount"]) or answer
    )
    seen, cursor = [], ""
    while True:
        before = len(read)
        page = table.page("alice", Filters(state="FAILED"), limit=8, cursor=cursor)
        seen += [int(job["id"]) for job in page.jobs]
        assert len(read) - before <= 3
        cursor = page.next or ""
        if not cursor:
            break

    assert seen == [job_id for job_id in reversed(range(240)) if not job_id % one_in]
    if one_in == 1:
        assert set(read) <= {8, 0}


def test_a_page_is_short_rather_than_too_large_for_an_answer(call: Call, table: JobTable) -> None:
    # DynamoDB reads 1 MB at a time; quotes take twice their room in the answer, which is a JSON text in another.
    for job_id in range(1, 13):
        keep(table, job_id, at=1795250000 + job_id, working_directory='"' * 150_000 if job_id % 2 else "n" * 300_000)
    seen, cursor, pages = [], "", 0
    while True:
        _, _, page = call("jobs-list", query=f"limit=500{cursor}")
        assert len(json.dumps({"body": json.dumps(page)})) < 6_000_000
        seen += [job["id"] for job in page["jobs"]]
        pages += 1
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert seen == [str(job_id) for job_id in range(12, 0, -1)]
    assert pages > 1


def test_a_cursor_is_good_for_its_user_and_filters_only(call: Call, table: JobTable) -> None:
    for job_id in (1, 2):
        keep(table, job_id)
    _, _, page = call("jobs-list", query="limit=1")

    assert call("jobs-list", query=f"limit=1&cursor={page['next']}")[0] == 200
    assert call("jobs-list", query=f"limit=1&cursor={page['next']}", user="bob")[0] == 400
    assert call("jobs-list", query=f"limit=1&state=FAILED&cursor={page['next']}")[0] == 400
    assert call("jobs-list", query=f"cursor={page['next']}x")[0] == 400
    assert call("jobs-list", query="cursor=%C3%A9")[0] == 400


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "limit=1&limit=2",
        "since=yesterday",
        "since=2025-11-21",
        "state=%00",
        "users=bob",
    ],
)
def test_a_query_that_asks_for_what_does_not_exist_is_refused(call: Call, query: str) -> None:
    status, headers, problem = call("jobs-list", query=query)

    assert (status, headers["content-type"]) == (422, "application/problem+json")
    assert problem["detail"]


def test_a_forged_cursor_from_before_the_first_place_gives_nothing(table: JobTable) -> None:
    keep(table, 12)
    filters = Filters(since=1795260000)
    forged = cursors.make("0000000001#0000000001", user="alice", filters=filters.key())

    assert table.page("alice", filters, limit=10, cursor=forged) == Page([], None)


def test_a_submit_time_leads_to_the_users_own_jobs_of_that_second(table: JobTable) -> None:
    for job_id, user, at in ((11, "alice", 1795250000), (12, "alice", 1795250000), (13, "alice", 1795250001),
                             (14, "bob", 1795250000)):  # fmt: skip
        keep(table, job_id, user=user, at=at)

    assert table.submitted_at("alice", 1795250000) == ["12", "11"]
    assert table.submitted_at("alice", 1795249999) == []


def test_older_news_never_replaces_newer(table: JobTable) -> None:
    job = submitted(12, user="alice", cluster=CLUSTER, descriptions=[{}], submitted_at=1795250000)
    table.refresh(job | {"state": "RUNNING"}, seen_at=2000)

    table.refresh(job | {"state": "PENDING"}, seen_at=1999)

    kept = table.read("12", "alice")
    assert kept is not None
    assert kept.job["state"] == "RUNNING"


def test_nobodys_record_becomes_another_users(table: JobTable) -> None:
    keep(table, 12)
    stolen = submitted(12, user="mallory", cluster=CLUSTER, descriptions=[{}], submitted_at=1795250000)

    beside = table.refresh(stolen, seen_at=1795259999000)

    assert beside == Beside()
    assert table.read("12", "alice") is not None
    assert table.read("12", "mallory") is None


def test_an_id_that_was_given_twice_names_the_newest_job(table: JobTable) -> None:
    keep(table, 12, at=1795250000, name="old")
    keep(table, 12, at=1795251111, name="new")

    kept = table.read("12", "alice")
    assert kept is not None
    assert kept.job["name"] == "new"
    assert len(table.page("alice", Filters(), limit=10).jobs) == 2


# ---- DELETE and PATCH --------------------------------------------------------------------------------------------


def failed(number_: int, words: str) -> dict[str, Any]:
    return {"error": {"code": number_, "message": words}, "step_id": "12"}


def test_a_cancelled_job_is_shown_as_it_is_now(call: Call, slurm: StandIn) -> None:
    slurm.answers[f"DELETE {JOB}/12"] = (200, json.dumps({"status": [], "errors": [], "warnings": []}).encode())
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record(job_state=["CANCELLED", "COMPLETING"])])

    status, _, job = call("jobs-cancel")

    assert (status, job["state"], job["state_flags"]) == (202, "CANCELLED", ["COMPLETING"])


@pytest.mark.parametrize(
    ("number_", "words", "query", "status"),
    [
        (2017, "Invalid job id specified", "", 404),
        (2010, "Invalid user id", "", 403),
        (2021, "Job/step already completing or completed", "", 202),
        (2021, "Job/step already completing or completed", "signal=USR1", 409),
        (9999999, "Something new", "", 502),
    ],
)
def test_what_a_cancel_says_of_a_job_decides(
    call: Call, slurm: StandIn, number_: int, words: str, query: str, status: int
) -> None:
    body = json.dumps({"status": [failed(number_, words)], "errors": [], "warnings": []}).encode()
    slurm.answers[f"DELETE {JOB}/12"] = slurm.answers[f"DELETE {JOB}/12?signal=USR1"] = (200, body)
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record(job_state=["COMPLETED"])])

    answered, _, document = call("jobs-cancel", query=query)

    assert answered == status
    if status >= 400:
        assert document["slurm"]["error"] == words


@pytest.mark.parametrize("sample", [("jobs-cancel", {}), ("jobs-change", {"body": '{"hold": true}'})])
def test_a_job_that_is_not_shown_is_not_touched(call: Call, slurm: StandIn, sample: tuple[str, dict[str, str]]) -> None:
    name, arguments = sample
    slurm.answers[f"GET {JOB}/12"] = refusal(2017, "Invalid job id specified", 404)

    status, _, problem = call(name, **arguments)

    assert (status, problem["type"], "slurm" in problem) == (404, "urn:slurm-gateway:problem:job-not-found", False)
    assert {path.partition(" ")[0] for path in slurm.paths()} == {"GET"}


def test_ones_own_job_that_slurm_has_forgotten_is_cancelled_already_and_cannot_be_changed(
    call: Call, slurm: StandIn, table: JobTable
) -> None:
    slurm.answers[f"GET {JOB}/12"] = slurm.answers[f"GET {JOB}/13"] = refusal(2017, "Invalid job id specified", 404)
    keep(table, 12, state="COMPLETED")
    keep(table, 13)

    status, _, job = call("jobs-cancel")
    assert (status, job) == (202, call("jobs-read")[2])
    for answered in (call("jobs-cancel", query="signal=USR1"), call("jobs-change", body='{"hold": true}')):
        assert (answered[0], answered[2]["type"]) == (409, "urn:slurm-gateway:problem:job-ended")
    # Nobody else is told that there was such a job; and of what has not ended Slurm alone can tell.
    for whose in ({"user": "bob"}, {"user": "bob", "sees_everyone": True}, {"id": "13"}):
        assert call("jobs-cancel", **whose)[0] == 404
        assert call("jobs-change", body='{"hold": true}', **whose)[0] == 404
    assert call("jobs-cancel", expires_at=int(time.time()) - 1)[0] == 401
    assert {path.partition(" ")[0] for path in slurm.paths()} == {"GET"}


@pytest.mark.parametrize("query", ["signal=NOPE", "signal=", "signal=99", "signal=USR1&signal=USR2", "force=1"])
def test_a_signal_that_is_none_is_not_sent(call: Call, slurm: StandIn, query: str) -> None:
    assert call("jobs-cancel", query=query)[0] == 422
    assert slurm.paths() == []


@pytest.mark.parametrize(
    ("body", "change"),
    [
        ('{"hold": true}', {"hold": True}),
        ('{"hold": false}', {"hold": False}),
        ('{"time_limit": 61}', {"time_limit": {"set": True, "infinite": False, "number": 2}}),
        ('{"time_limit": null}', {"time_limit": {"set": False, "infinite": True, "number": 0}}),
    ],
)
def test_a_change_is_sent_in_slurms_words(call: Call, slurm: StandIn, body: str, change: dict[str, Any]) -> None:
    slurm.answers[f"POST {JOB}/12"] = answer()
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record()])

    assert call("jobs-change", body=body)[0] == 202
    assert [json.loads(sent) for method, _, _, sent in slurm.requests if method == "POST"] == [change]


def test_a_part_of_a_job_is_changed_by_the_number_that_is_its_own(call: Call, slurm: StandIn) -> None:
    slurm.answers[f"GET {JOB}/12%2B1"] = answer(jobs=[component(1)])
    slurm.answers[f"POST {JOB}/13"] = answer()
    slurm.answers[f"GET {JOB}/12_5"] = answer(jobs=[waiting_tasks("5")])

    assert call("jobs-change", id="12+1", body='{"hold": true}')[0] == 202
    assert call("jobs-change", id="12_5", body='{"hold": true}')[0] == 409


def posts(slurm: StandIn) -> list[tuple[str, Any]]:
    return [(path.removeprefix(f"{JOB}/"), json.loads(sent)) for method, path, _, sent in slurm.requests
            if method == "POST"]  # fmt: skip


def test_a_whole_array_is_changed_in_every_part_that_goes_on(call: Call, slurm: StandIn) -> None:
    ended = task(0, 13, job_state=["COMPLETED"])
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[waiting_tasks("3-5"), ended, task(1, 14), task(2, 15)])
    slurm.answers |= {f"POST {JOB}/{own}": answer() for own in (12, 14, 15)}
    minutes = {"set": True, "infinite": False, "number": 10}

    assert call("jobs-change", body='{"time_limit": 600}')[0] == 202
    assert posts(slurm) == [(own, {"time_limit": minutes}) for own in ("12", "14", "15")]
    assert slurm.paths().count(f"GET {JOB}/12") == 2  # once before the change, and once after it

    slurm.requests.clear()
    assert call("jobs-change", body='{"hold": true, "time_limit": 600}')[0] == 202
    running = {"time_limit": minutes}
    assert posts(slurm) == [("12", {"hold": True, "time_limit": minutes}), ("14", running), ("15", running)]


@pytest.mark.parametrize("hold", [True, False])
def test_a_heterogeneous_job_that_waits_is_held_and_released_in_all_its_components(
    call: Call, slurm: StandIn, hold: bool
) -> None:
    waiting = [component(offset, job_state=["PENDING"], nodes="") for offset in (0, 1)]
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=waiting)
    slurm.answers |= {f"POST {JOB}/{own}": answer() for own in (12, 13)}

    assert call("jobs-change", body=json.dumps({"hold": hold}))[0] == 202
    assert posts(slurm) == [(own, {"hold": hold}) for own in ("12", "13")]


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ({12: answer(), 13: refusal(2021, "Job/step already completing or completed")}, 202),
        ({12: refusal(2002, "Access/permission denied"), 13: answer()}, 403),
        ({12: refusal(2021, "Job/step already completing or completed"), 13: refusal(2002, "Access denied")}, 403),
        (dict.fromkeys((12, 13), refusal(2021, "Job/step already completing or completed")), 409),
    ],
)
def test_a_refusal_for_one_part_does_not_keep_the_others_from_being_tried(
    call: Call, slurm: StandIn, answers: dict[int, Any], status: int
) -> None:
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[component(0), component(1)])
    slurm.answers |= {f"POST {JOB}/{own}": given for own, given in answers.items()}

    assert call("jobs-change", body='{"time_limit": 600}')[0] == status
    assert [own for own, _ in posts(slurm)] == ["12", "13"]


def test_a_requeue_goes_where_an_api_version_has_it_and_is_refused_elsewhere(call: Call, slurm: StandIn) -> None:
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record()])

    status, _, problem = call("jobs-change", body='{"requeue": true}')
    assert (status, problem["type"]) == (422, "urn:slurm-gateway:problem:requeue-not-carried")


def test_what_a_requeue_says_of_a_job_decides(call: Call, slurm: StandIn) -> None:
    path = "/slurm/v0.0.45/job/12"
    slurm.speak("v0.0.45", release="26.05.5")
    part = {"job_id": 12, "step_id": "12", "error": "Job is pending execution", "error_code": 2024, "why": ""}
    done = {**part, "error": "No error", "error_code": 0}
    slurm.answers[f"GET {path}/requeue"] = [
        (200, json.dumps({"status": [part]}).encode()),
        (200, json.dumps({"status": [done]}).encode()),
    ]
    slurm.answers[f"GET {path}"] = (200, json.dumps({"jobs": [record()]}).encode())

    status, _, problem = call("jobs-change", body='{"requeue": true}')
    assert (status, problem["slurm"]["error_number"]) == (409, 2024)
    assert call("jobs-change", body='{"requeue": true}')[0] == 202


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ('{"hold": true, "hold": false}', 400),
        ("[]", 422),
        ("{}", 422),
        ('{"hold": 1}', 422),
        ('{"time_limit": 0}', 422),
        ('{"time_limit": true}', 422),
        ('{"requeue": false}', 422),
        ('{"priority": 1}', 422),
        (json.dumps({"hold": "x" * 5000}), 413),
    ],
)
def test_a_change_that_is_none_is_refused(call: Call, slurm: StandIn, body: str, status: int) -> None:
    assert call("jobs-change", body=body)[0] == status
    assert slurm.paths() == []


# ---- all routes --------------------------------------------------------------------------------------------------


def test_the_document_describes_every_route_of_the_template_that_is_this_functions(call: Call) -> None:
    from templates_under_test import integration_name, operations

    status, _, document = call("jobs-openapi")

    assert status == 200
    described = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == {route for route, item in operations().items() if integration_name(item) == "Jobs"}


def test_a_request_that_the_edge_did_not_verify_is_refused(call: Call) -> None:
    status, _, problem = call("jobs-read", user="")

    assert (status, problem["type"]) == (401, "urn:slurm-gateway:problem:caller-unknown")


# ---- everyone's jobs ----------------------------------------------------------------------------------------------


def test_a_list_of_another_users_is_refused_to_who_does_not_see_everyones(call: Call, table: JobTable) -> None:
    keep(table, 12, user="bob")

    status, _, problem = call("jobs-list", query="user=bob")

    assert (status, problem["type"]) == (403, "urn:slurm-gateway:problem:jobs-of-another")


def test_a_list_of_another_users_is_shown_without_scripts_to_who_sees_everyones(call: Call, table: JobTable) -> None:
    keep(table, 12, user="bob")
    keep(table, 13, user="alice")

    status, _, page = call("jobs-list", query="user=bob", sees_everyone=True)

    assert (status, [(job["id"], job["user"], job["script"]) for job in page["jobs"]]) == (200, [("12", "bob", None)])
    assert page["jobs"][0]["links"] == {"self": "/jobs/12"}


def test_ones_own_list_is_ones_own_also_by_name_and_also_for_who_sees_everyones(call: Call, table: JobTable) -> None:
    keep(table, 12, user="bob")
    keep(table, 13, user="alice")

    for query, sees in (("user=alice", False), ("user=alice", True), ("", True)):
        _, _, page = call("jobs-list", query=query, sees_everyone=sees)
        assert [job["id"] for job in page["jobs"]] == ["13"]
        assert page["jobs"][0]["script"] == SHA256


def test_a_user_who_can_be_none_is_not_looked_for(call: Call) -> None:
    status, _, _ = call("jobs-list", query="user=*", sees_everyone=True)

    assert status == 422


@pytest.mark.parametrize("state", ["PENDING", "COMPLETED"])
def test_another_users_record_is_shown_as_it_was_last_known_to_who_sees_everyones_only(
    call: Call, slurm: StandIn, table: JobTable, state: str
) -> None:
    slurm.answers[f"GET {JOB}/12"] = refusal(2017, "Invalid job id specified", status=500)
    keep(table, 12, user="bob", state=state)

    status, _, job = call("jobs-read", sees_everyone=True)

    assert (status, job["user"], job["state"], job["script"]) == (200, "bob", state, None)
    assert call("jobs-read")[0] == 404
    kept = table.read("12", "bob")
    assert kept is not None
    assert (kept.job["state"], kept.beside.script) == (state, SHA256)
