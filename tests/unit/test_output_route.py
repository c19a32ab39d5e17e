"""GET /jobs/{id}/output as it is deployed: S3 and SQS emulated, slurmrestd a stand-in, the head node played here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from slurmrestd_stand_in import HANG_UP, StandIn, answer, refusal
from test_job import record, task, waiting_tasks
from test_jobs_function import CLUSTER, JOB, Call, call, dynamodb, keep, session, slurm, table  # noqa: F401 - fixtures

from slurm_gateway import output_route
from slurm_gateway.job_output import BLOCK

NOW = int(time.time())
OUTPUT = f"output/alice/{CLUSTER}/12-{NOW - 20}/"
LIVE = f"live/alice/{CLUSTER}/12-{NOW - 20}/stdout/"
MANIFEST = {
    "version": 1, "cluster": CLUSTER, "id": "12", "user": "alice", "submitted": NOW - 20, "ended_at": NOW - 5,
    "collected_at": "2026-11-21T08:33:27.000001Z", "stdout": {"size": 10}, "stderr": None, "one_stream": False,
    "files": [{"name": "results/a b.csv", "size": 3}], "problems": [{"path": "/x", "problem": "missing"}],
    "more_problems": 0,
}  # fmt: skip


def number(value: int) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": value}


def job(*states: str, **changes: Any) -> tuple[int, bytes]:
    times = {"submit_time": number(NOW - 20), "start_time": number(NOW - 19), "end_time": number(NOW - 5)}
    return answer(jobs=[record(job_state=list(states), **times, **changes)])


@pytest.fixture
def s3(call: Call) -> Any:  # noqa: F811
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="bucket")
    yield client
    for item in client.list_objects_v2(Bucket="bucket").get("Contents", []):
        client.delete_object(Bucket="bucket", Key=item["Key"])
    client.delete_bucket(Bucket="bucket")


@pytest.fixture
def queue(call: Call) -> Iterator[Callable[[], list[dict[str, Any]]]]:  # noqa: F811
    sqs = boto3.client("sqs", region_name="us-east-1")
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]

    def orders() -> list[dict[str, Any]]:
        answered = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answered.get("Messages", [])]

    yield orders
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def put(s3: Any) -> Callable[..., None]:
    def store(key: str, body: bytes | dict[str, Any]) -> None:
        s3.put_object(Bucket="bucket", Key=key, Body=json.dumps(body) if isinstance(body, dict) else body)

    return store


@pytest.fixture
def output(call: Call, slurm: StandIn) -> Callable[..., tuple[int, dict[str, str], Any]]:  # noqa: F811
    def read(query: str = "", **more: Any) -> tuple[int, dict[str, str], Any]:
        return call("jobs-output", query=query, **more)

    return read


def state(*, size: int, problem: str = "", age: float = 0, until: float = 60, **more: Any) -> dict[str, Any]:
    now = time.time()
    ranges = [[0, min(size, 16 * BLOCK)]]
    return {"size": size, "seen_at": now - age, "until": now + until, "ranges": ranges, "problem": problem, **more}


# ---- ended -------------------------------------------------------------------------------------------------------


def test_an_ended_jobs_output_is_a_redirect_that_lives_no_longer_than_its_token(
    output: Any, slurm: StandIn, put: Any  # noqa: F811
) -> None:  # fmt: skip
    slurm.answers[f"GET {JOB}/12"] = job("COMPLETED")
    put(OUTPUT + "manifest.json", MANIFEST)

    for lifespan, expected in ((3600, 300), (120, 120)):
        status, headers, told = output(expires_at=int(time.time()) + lifespan)
        url = urlsplit(headers["location"])
        assert (status, told["url"], told["size"]) == (302, headers["location"], 10)
        assert url.path.endswith(OUTPUT + "stdout")
        assert expected - 2 <= int(parse_qs(url.query)["X-Amz-Expires"][0]) <= expected


def test_files_are_had_by_their_names_in_the_manifest_and_by_no_other(
    output: Any, slurm: StandIn, put: Any  # noqa: F811
) -> None:  # fmt: skip
    slurm.answers[f"GET {JOB}/12"] = job("COMPLETED")
    put(OUTPUT + "manifest.json", MANIFEST)

    _, _, told = output("list=true")
    assert told["files"] == [{"name": "results/a b.csv", "size": 3, "link": "/jobs/12/output?file=results/a%20b.csv"}]
    assert output("file=results/a%20b.csv")[1]["location"].partition("?")[0].endswith("files/results/a%20b.csv")
    for name in ("results/b.csv", "../stdout", "../../13-1/stdout", "/etc/passwd"):
        assert output(f"file={name}")[0] == 404
    status, _, problem = output("stream=stderr")
    assert (status, problem["problems"]) == (404, MANIFEST["problems"])


@pytest.mark.parametrize(
    ("states", "manifest", "status"),
    [
        (["COMPLETED"], None, 503),
        (["COMPLETED"], MANIFEST | {"ended_at": NOW - 300}, 503),  # an earlier run's
        (["COMPLETED"], MANIFEST, 302),
    ],
)
def test_output_that_is_on_its_way_is_waited_for(
    output: Any, slurm: StandIn, put: Any, states: list[str], manifest: Any, status: int  # noqa: F811
) -> None:  # fmt: skip
    slurm.answers[f"GET {JOB}/12"] = job(*states)
    if manifest:
        put(OUTPUT + "manifest.json", manifest)

    answered, headers, _ = output()

    assert (answered, headers.get("retry-after")) == (status, "2" if status == 503 else None)


def test_to_ask_for_output_too_early_counts_as_no_fault(
    output: Any, slurm: StandIn, s3: Any, capsys: Any, caplog: Any  # noqa: F811
) -> None:  # fmt: skip
    slurm.answers[f"GET {JOB}/12"] = job("COMPLETED")

    assert output()[0] == 503

    assert '"Faults"' not in capsys.readouterr().err
    [answered] = [line for line in caplog.records if line.getMessage() == "answered"]
    assert (answered.levelname, answered.reason) == ("INFO", "output-not-there-yet")


def test_output_that_will_not_come_any_more_is_not_waited_for(
    output: Any, slurm: StandIn, s3: Any  # noqa: F811
) -> None:  # fmt: skip
    old = {"submit_time": number(NOW - 9000), "start_time": number(NOW - 9000), "end_time": number(NOW - 8000)}
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record(job_state=["COMPLETED"], **old)])

    assert output()[0] == 404


@pytest.mark.parametrize("kept", ["CANCELLED", "RUNNING"])
def test_output_of_a_job_that_never_started_or_was_lost_is_not_waited_for(
    output: Any, slurm: StandIn, s3: Any, table: Any, kept: str  # noqa: F811
) -> None:  # fmt: skip
    keep(table, 12, state=kept)
    slurm.answers[f"GET {JOB}/12"] = refusal(2017, "Invalid job id specified", 404)

    status, _, problem = output()

    assert (status, problem["type"]) == (404, "urn:slurm-gateway:problem:output-not-kept")


def test_nobody_elses_output_is_answered_whatever_slurm_shows(
    output: Any, slurm: StandIn, put: Any  # noqa: F811
) -> None:  # fmt: skip
    slurm.answers[f"GET {JOB}/12"] = job("COMPLETED")
    put(OUTPUT + "manifest.json", MANIFEST)

    assert output(user="bob")[0] == 404
    assert output(expires_at=NOW - 1)[0] == 401
    slurm.answers[f"GET {JOB}/12"] = refusal(2017, "Invalid job id specified", 404)
    assert output(user="bob")[0] == 404
    assert output()[0] == 302  # Slurm forgot it; the record that the first answer left is its owner's.


def test_an_id_that_begins_again_leads_to_nobody_elses_output(
    output: Any, slurm: StandIn, put: Any  # noqa: F811
) -> None:  # fmt: skip
    slurm.answers[f"GET {JOB}/12"] = job("COMPLETED")
    put(OUTPUT + "manifest.json", MANIFEST)
    assert output()[0] == 302

    # Slurm lost its state, and gave the number to a job of bob's that has ended as well.
    times = {"submit_time": number(NOW - 10), "start_time": number(NOW - 9), "end_time": number(NOW - 5)}
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[record(job_state=["COMPLETED"], user_name="bob", **times)])
    for query in ("", "list=true", "offset=0", "file=results/a%20b.csv"):
        status, headers, told = output(query, user="bob")
        assert (status, "location" in headers) == (503, False)
        assert MANIFEST["files"][0]["name"] not in json.dumps(told)
    own = OUTPUT.replace("alice", "bob").replace(f"12-{NOW - 20}", f"12-{NOW - 10}")
    put(own + "manifest.json", {**MANIFEST, "user": "bob", "submitted": NOW - 10, "files": []})
    assert urlsplit(output(user="bob")[1]["location"]).path.endswith(own + "stdout")

    # To alice Slurm shows no such job: her own is the one of her record.
    slurm.answers[f"GET {JOB}/12"] = refusal(2017, "Invalid job id specified", 404)
    assert urlsplit(output()[1]["location"]).path.endswith(OUTPUT + "stdout")


def test_an_array_refers_to_its_tasks(output: Any, slurm: StandIn) -> None:  # noqa: F811
    slurm.answers[f"GET {JOB}/12"] = answer(jobs=[waiting_tasks("2,5"), task(1, 15)])

    status, _, problem = output()

    assert (status, "/jobs/12_1/output" in problem["detail"]) == (404, True)


@pytest.mark.parametrize(
    "query",
    ["stream=stdin", "offset=-1", "offset=x", "offset=1&offset=2", "list=false", "file=", "file=a&list=true", "tail=1",
     "stream=stdout&file=a"],
)  # fmt: skip
def test_a_query_that_means_nothing_is_refused(output: Any, query: str) -> None:
    assert output(query)[0] == 422


# ---- running -----------------------------------------------------------------------------------------------------


def test_a_pending_job_has_printed_nothing(output: Any, slurm: StandIn, s3: Any) -> None:  # noqa: F811
    slurm.answers[f"GET {JOB}/12"] = job("PENDING")

    status, headers, body = output()

    assert (status, headers["output-next-offset"], headers["output-complete"], body) == (200, "0", "false", None)
    assert int(headers["retry-after"]) >= 1


def test_files_and_lists_are_there_when_the_job_has_ended(output: Any, slurm: StandIn, s3: Any) -> None:  # noqa: F811
    slurm.answers[f"GET {JOB}/12"] = job("RUNNING")

    assert (output("list=true")[0], output("file=a")[0]) == (409, 409)


def test_the_head_node_is_asked_twice_and_its_silence_is_told(
    output: Any, slurm: StandIn, s3: Any, queue: Any, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr(output_route, "_LONGEST_WAIT", 1.0)
    monkeypatch.setattr(output_route, "_ASKED_AGAIN", 0.1)
    slurm.answers[f"GET {JOB}/12"] = job("RUNNING")

    status, headers, problem = output("offset=7")

    assert (status, headers["retry-after"], problem["title"]) == (503, "5", "The head node does not answer")
    asked = {"kind": "watch", "cluster": CLUSTER, "job_id": "12", "user": "alice", "submitted": NOW - 20,
             "stream": "stdout", "offset": 7}  # fmt: skip
    assert queue() == [asked, asked]


def test_a_job_that_ends_while_the_head_node_is_asked_is_answered_as_ended(
    output: Any, slurm: StandIn, put: Any, queue: Any, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr(output_route, "_DOUBTED", 0.1)
    # The second look finds Slurm away, which says nothing of the job.
    slurm.answers[f"GET {JOB}/12"] = [job("RUNNING"), HANG_UP, job("COMPLETED")]
    put(OUTPUT + "manifest.json", MANIFEST)

    status, headers, told = output()

    assert (status, headers["location"], told["size"]) == (302, told["url"], 10)


def test_a_file_that_the_head_node_cannot_read_is_told(
    output: Any, slurm: StandIn, put: Any, queue: Any  # noqa: F811
) -> None:  # fmt: skip
    slurm.answers[f"GET {JOB}/12"] = job("RUNNING")
    put(LIVE + "state", state(size=0, problem="symbolic-link"))

    status, _, problem = output()

    assert (status, "symbolic-link" in problem["detail"]) == (404, True)
