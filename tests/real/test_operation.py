"""What operators rely on: the canary, each alarm by what is really written, the dashboard's metrics, one id."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from bench import faults, mixed_load
from bench.fault_list import FAULTS, slurmrestd_pid
from bench.memory_limit import MemoryLimit
from local import aws_emulator, cluster, intrinsics, principals, stacks
from local.address import LISTS_PORT, LOG_DIRECTORY, SLURMRESTD_PORT, url
from slurm_gateway import metrics
from tests.real import alarm_evaluation
from tests.real.access import access_document_kept, put_access_document, start_cold
from tests.real.alarm_evaluation import Point, embedded, lasting
from tests.real.conftest import NATIVE_VERSION, ROOT, Stack, wait_for

pytestmark = pytest.mark.any_release

API = frozenset({("Api", stacks.API_STACK)})


@pytest.fixture(scope="module")
def api(stack: Stack) -> stacks.DeployedApi:
    return stacks.deploy_api()


def client(service: str) -> Any:
    return aws_emulator.client(service, principals.administrator())


def log_lines(since: float, function: str | None = None) -> list[str]:
    """Give the lines of the functions' logs since a moment."""
    logs = client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    lines: list[str] = []
    for group in groups:
        if "/aws/lambda/" in group and group.endswith(function or ""):
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=int(since * 1000))
            lines += [event["message"].strip() for page in pages for event in page["events"]]
    return lines


def points_since(since: float, **counts: int) -> list[Point]:
    """Give what was emitted since a moment, as soon as there is at least so much of each metric."""

    def all_of_them() -> list[Point]:
        points = [point for point in embedded(log_lines(since)) if point.time >= since - 0.001]
        seen = Counter(point.name for point in points if point.dimensions == API)
        if all(seen[name] >= count for name, count in counts.items()):
            return points
        # The emulator keeps a line that came late until the function's next call.
        for function in client("lambda").list_functions()["Functions"]:
            client("lambda").invoke(FunctionName=function["FunctionArn"], Payload=b"{}")
        return []

    # The head node's heartbeat comes every 15 s, and may have to wait for its own turn.
    return list(wait_for(all_of_them, f"the logs to tell of {counts}", 60))


def run_canary(api: stacks.DeployedApi) -> dict[str, Any]:
    event = json.loads((ROOT / "events/canary.json").read_text()) | {"id": str(uuid.uuid4())}
    answer = client("lambda").invoke(FunctionName=api.functions["CanaryFunction"], Payload=json.dumps(event).encode())
    assert "FunctionError" not in answer, answer
    seen: dict[str, Any] = json.loads(answer["Payload"].read())
    return seen


def alarm(api: stacks.DeployedApi, name: str, **changed: Any) -> dict[str, Any]:
    """Give an alarm's properties as deployed, such as a lower threshold where they are changed."""
    properties = api.template["Resources"][name]["Properties"]
    return dict(intrinsics.resolve(properties, api.references, name)) | changed


def state(alarm: dict[str, Any], points: list[Point]) -> str:
    """Tell the alarm's state if what was seen went on."""
    now = time.time()
    return alarm_evaluation.state(alarm, lasting(alarm, points, now), now)


@contextmanager
def slurmrestd_stopped(stack: Stack) -> Iterator[None]:
    assert cluster.run(["systemctl", "stop", "slurmrestd"]).returncode == 0
    try:
        yield
    finally:
        assert cluster.run(["systemctl", "start", "slurmrestd"]).returncode == 0
        wait_for(lambda: stack.slurm("alice", "GET", "nodes/").status_code == 200, "slurmrestd to answer")


def healthy_hosts(api: stacks.DeployedApi) -> Point:
    """Count the targets that answer the target group's own health check now, as the load balancer's metric does."""
    group = stacks.target_group()
    lowest, highest = (int(code) for code in group["Matcher"]["HttpCode"].split("-"))
    try:
        answer = httpx.get(url(SLURMRESTD_PORT) + group["HealthCheckPath"], timeout=5, trust_env=False)
        healthy = lowest <= answer.status_code <= highest
    except httpx.HTTPError:
        healthy = False
    dimensions = frozenset((item["Name"], item["Value"]) for item in alarm(api, "HeadNodeGoneAlarm")["Dimensions"])
    return Point("AWS/ApplicationELB", "HealthyHostCount", dimensions, time.time(), int(healthy))


def gateway_faults(api: stacks.DeployedApi, ids: set[str]) -> list[Point]:
    """Count the gateway's 5xx among some requests from its access log, as API Gateway's metric does."""
    lines = [json.loads(line) for line in (LOG_DIRECTORY / "access.log").read_text().splitlines()]
    dimensions = frozenset({("ApiId", api.api_id)})
    return [
        Point("AWS/ApiGateway", "5xx", dimensions, time.time(), 1)
        for line in lines
        if line["requestId"] in ids and int(line["status"]) >= 500
    ]


def queue_point(alarm: dict[str, Any], queue: str, value: float) -> Point:
    """Give what SQS would tell CloudWatch of a queue for an alarm's metric."""
    dimensions = frozenset({("QueueName", queue.rpartition("/")[2])})
    return Point("AWS/SQS", alarm["MetricName"], dimensions, time.time(), value)


def put_aside_an_object() -> None:
    """Send, as an operator might, a message about another bucket's object, and take its dead letter away."""
    outputs = stacks.outputs_of(stacks.API_STACK)
    about = {"bucket": {"name": "another"}, "object": {"key": "inbox/a", "version-id": str(uuid.uuid4())}}
    body = json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": about})
    sqs = aws_emulator.client("sqs", principals.credentials(principals.OPERATOR))
    letters = outputs["InboxDeadLetterQueueUrl"]
    sqs.send_message(QueueUrl=outputs["InboxQueueUrl"], MessageBody=body)

    def letter() -> Any:
        taken = sqs.receive_message(QueueUrl=letters).get("Messages", [])
        return next((one for one in taken if one["Body"] == body), None)

    sqs.delete_message(QueueUrl=letters, ReceiptHandle=wait_for(letter, "the dead letter")["ReceiptHandle"])


# ---- the canary ---------------------------------------------------------------------------------------------------


def test_the_canary_comes_through_as_a_user_without_privileges(stack: Stack, api: stacks.DeployedApi) -> None:
    begin = time.time()

    seen = run_canary(api)

    assert "failed" not in seen, seen
    assert seen["user"] == "slurm-canary"
    assert list(seen["steps"]) == ["token", "check", "submit", "read", "native", "cancel"]
    points = points_since(begin, CanaryFailures=1, SigningKeyAgeDays=1, SlurmrestdLatency=1)
    assert [point.value for point in points if point.name == "CanaryFailures"] == [0]
    healthy = [*points, healthy_hosts(api)]
    for name in ("CanaryFailsAlarm", "SlurmUnreachableAlarm", "SlurmrestdSlowAlarm", "HeadNodeGoneAlarm"):
        assert (name, state(alarm(api, name), healthy)) == (name, "OK")
    assert state(alarm(api, "SigningKeyOldAlarm"), healthy) == "OK"
    shown = cluster.run(["squeue", "--noheader", "--user=slurm-canary", "--states=PENDING,RUNNING"]).stdout
    assert shown.strip() == ""


# ---- each alarm fires by its metric -------------------------------------------------------------------------------


def test_slurmrestd_down_fires_the_alarms_that_are_about_it(stack: Stack, api: stacks.DeployedApi) -> None:
    stack.token("alice")
    begin, ids = time.time(), set()
    with slurmrestd_stopped(stack):
        for number in range(6):
            # Not one whose end is recorded: that needs no Slurm.
            answer = stack.http.get(f"{stack.api}/jobs/{60_000_000 + number}", headers=stack.headers("alice"))
            assert answer.status_code in (502, 503), answer.text
            ids.add(answer.headers["apigw-requestid"])
            answer = stack.slurm("alice", "GET", "nodes/")
            assert answer.status_code in (502, 503), answer.text
            ids.add(answer.headers["apigw-requestid"])
        failed = run_canary(api)
        seen = [
            *points_since(begin, Faults=6, SlurmrestdFailures=6, CanaryFailures=1),
            *gateway_faults(api, ids),
            healthy_hosts(api),
        ]

    assert failed["failed"] in ("check", "submit"), failed
    fired = {name: state(alarm(api, name), seen) for name in (
        "CanaryFailsAlarm", "ApiFaultsAlarm", "FunctionFaultsAlarm", "SlurmUnreachableAlarm", "HeadNodeGoneAlarm"
    )}  # fmt: skip
    assert set(fired.values()) == {"ALARM"}, fired


def test_a_hung_slurmctld_fires_the_alarm_of_slowness(stack: Stack, api: stacks.DeployedApi) -> None:
    stack.token("alice")
    begin = time.time()
    cluster.run(["systemctl", "kill", "--kill-who=main", "--signal=STOP", "slurmctld"])
    try:
        # The table answers for a job that it knows.
        answer = stack.http.get(f"{stack.api}/jobs/67000000", headers=stack.headers("alice"))
    finally:
        cluster.run(["systemctl", "kill", "--kill-who=main", "--signal=CONT", "slurmctld"])

    assert answer.status_code == 503, answer.text
    assert state(alarm(api, "SlurmrestdSlowAlarm"), points_since(begin, SlurmrestdLatency=1)) == "ALARM"
    wait_for(lambda: stack.slurm("alice", "GET", "nodes/").status_code == 200, "slurmctld to answer")


def test_many_refusals_fire_their_alarm_and_few_do_not(stack: Stack, api: stacks.DeployedApi) -> None:
    begin = time.time()
    for number in range(5):
        headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": f"no-token-{number}-{begin}"}
        assert stack.http.get(f"{stack.api}/jobs", headers=headers).status_code == 403
    seen = points_since(begin, Refusals=5)

    assert state(alarm(api, "RefusalsAlarm", Threshold="5"), seen) == "ALARM"
    assert state(alarm(api, "RefusalsAlarm"), seen) == "OK"


def test_an_old_key_fires_its_alarm(stack: Stack, api: stacks.DeployedApi) -> None:
    begin = time.time()
    run_canary(api)
    seen = points_since(begin, SigningKeyAgeDays=1)
    [age] = [point for point in seen if point.name == "SigningKeyAgeDays"]
    limit = float(alarm(api, "SigningKeyOldAlarm")["Threshold"])

    # In days, of which a new key has none yet.
    assert 0 <= age.value < limit
    assert state(alarm(api, "SigningKeyOldAlarm"), [replace(age, value=limit + 1)]) == "ALARM"


def test_a_feed_that_is_behind_fires_its_alarm(stack: Stack, api: stacks.DeployedApi) -> None:
    # The heartbeat comes every 15 s: the last one will do.
    seen = points_since(time.time() - 20, FeedLag=1)
    told = [point for point in seen if point.name == "FeedLag"]
    limit = float(alarm(api, "FeedBehindAlarm")["Threshold"])

    assert state(alarm(api, "FeedBehindAlarm"), told) == "OK"
    assert state(alarm(api, "FeedBehindAlarm"), [replace(told[0], value=told[0].value + limit)]) == "ALARM"


def test_a_broken_access_document_fires_its_alarm_until_it_is_mended(stack: Stack, api: stacks.DeployedApi) -> None:
    with access_document_kept(stack):
        put_access_document(principals.ACCESS_DOCUMENT + "  - {name: broken, users: [root]}\n")
        begin = time.time()
        start_cold("TokenFunction")
        wait_for(lambda: stack.signed("alice", "POST", "/token").status_code == 200, "the token function to start")
        assert (
            state(alarm(api, "AccessDocumentNotValidAlarm"), points_since(begin, AccessDocumentNotValid=1)) == "ALARM"
        )
    begin = time.time()
    start_cold("TokenFunction")
    wait_for(lambda: stack.signed("alice", "POST", "/token").status_code == 200, "the token function to start")
    assert state(alarm(api, "AccessDocumentNotValidAlarm"), points_since(begin, TokensMinted=1)) == "OK"


def test_an_object_that_becomes_no_job_fires_its_alarm(stack: Stack, api: stacks.DeployedApi) -> None:
    begin = time.time()
    assert state(alarm(api, "InboxDeadLettersAlarm"), []) == "OK"
    put_aside_an_object()
    assert state(alarm(api, "InboxDeadLettersAlarm"), points_since(begin, InboxDeadLetters=1)) == "ALARM"


def test_an_inbox_that_nobody_empties_fires_its_alarm(api: stacks.DeployedApi) -> None:
    sqs, functions = client("sqs"), client("lambda")
    queue = stacks.outputs_of(stacks.API_STACK)["InboxQueueUrl"]
    asked = alarm(api, "InboxWaitsAlarm", Threshold=2)  # seconds, for 1800
    [inbox] = functions.list_event_source_mappings(FunctionName=api.functions["InboxFunction"])["EventSourceMappings"]

    def oldest() -> list[Point]:
        """Give the age of the oldest message, as SQS counts it, and none where there is none."""
        seen = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0, MessageSystemAttributeNames=["SentTimestamp"])
        ages = [time.time() - int(one["Attributes"]["SentTimestamp"]) / 1000 for one in seen.get("Messages", [])]
        return [queue_point(asked, queue, age) for age in ages]

    functions.update_event_source_mapping(UUID=inbox["UUID"], Enabled=False)
    try:
        wait_for(lambda: not oldest(), "the inbox to be empty")
        assert state(asked, oldest()) == "OK"
        operator = aws_emulator.client("sqs", principals.credentials(principals.OPERATOR))
        operator.send_message(QueueUrl=queue, MessageBody="{}")
        wait_for(lambda: state(asked, oldest()) == "ALARM", "the alarm")
    finally:
        sqs.purge_queue(QueueUrl=queue)
        functions.update_event_source_mapping(UUID=inbox["UUID"], Enabled=True)


@pytest.mark.parametrize(
    ("name", "stack_name", "output"),
    [
        ("RecordsDeadLettersAlarm", stacks.API_STACK, "RecordsDeadLetterQueueUrl"),
        ("HeadNodeDeadLettersAlarm", stacks.REQUIREMENTS_STACK, "HeadNodeDeadLetterQueueUrl"),
    ],
)
def test_what_is_put_aside_fires_its_alarm(api: stacks.DeployedApi, name: str, stack_name: str, output: str) -> None:
    sqs = client("sqs")
    queue = stacks.outputs_of(stack_name)[output]
    asked = alarm(api, name)

    def visible() -> list[Point]:
        told = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
        return [queue_point(asked, queue, int(told["ApproximateNumberOfMessages"]))]

    assert state(asked, visible()) == "OK"
    # SQS alone puts anything there, after ten tries or more: the policy that keeps others out is lifted meanwhile.
    policy = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
    try:
        sqs.send_message(QueueUrl=queue, MessageBody="{}")
        wait_for(lambda: state(asked, visible()) == "ALARM", "the alarm")
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=policy)
        sqs.purge_queue(QueueUrl=queue)


def test_silence_of_what_always_speaks_is_an_alarm_and_no_other_silence(
    api: stacks.DeployedApi,
) -> None:
    silent = {
        name
        for name, resource in api.template["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm" and state(alarm(api, name), []) == "ALARM"
    }

    assert silent == {"CanaryFailsAlarm", "HeadNodeGoneAlarm", "FeedBehindAlarm"}


# ---- the dashboard's metrics are really emitted -------------------------------------------------------------------


def test_every_metric_of_our_own_on_the_dashboard_and_in_alarms_is_really_emitted(
    stack: Stack, api: stacks.DeployedApi
) -> None:
    begin = time.time()
    run_canary(api)
    stack.http.get(f"{stack.api}/jobs/999999", headers=stack.headers("alice"))
    cluster.run(["systemctl", "stop", "slurmrestd"])
    try:
        assert stack.http.get(f"{stack.api}/jobs/999999", headers=stack.headers("alice")).status_code == 502
    finally:
        cluster.run(["systemctl", "start", "slurmrestd"])
    wait_for(
        lambda: stack.http.get(f"{stack.api}/jobs/999999", headers=stack.headers("alice")).status_code == 404,
        "slurmrestd to answer",
    )
    put_aside_an_object()
    with access_document_kept(stack):
        put_access_document("version: 1\nrules: []\n")
        start_cold("TokenFunction")
        wait_for(lambda: stack.signed("alice", "POST", "/token").status_code == 403, "alice to be refused")
        put_access_document("version: 1\nrules: ]\n")
        start_cold("TokenFunction")
        wait_for(lambda: stack.signed("alice", "POST", "/token").status_code < 500, "the token function to start")
    # The canary's job has ended too.
    points_since(begin, FeedLag=1, JobEnds=1, InboxDeadLetters=1, TokensRefused=1, AccessDocumentNotValid=1, Faults=1)
    emitted = {(point.name, frozenset(name for name, _ in point.dimensions)) for point in embedded(log_lines(0))}
    dashboard = json.loads(
        client("cloudwatch").get_dashboard(DashboardName=f"{stacks.API_STACK}-us-east-1")["DashboardBody"]
    )
    text = json.dumps(dashboard)
    # By their fixed words, so that a metric that is only spelled like one is found out.
    shown = {name for name in metrics.UNITS if f'"{name}"' in text.replace("\\", "")}
    alarmed = {
        alarm(api, name)["MetricName"]
        for name, resource in api.template["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm" and alarm(api, name)["Namespace"] == metrics.NAMESPACE
    }
    # Whose objects are in test_inbox.py.
    shown -= {"InboxJobs", "InboxRetries"}

    assert alarmed <= shown
    assert {name for name, dimensions in emitted if dimensions == {"Api"}} >= shown
    assert {name for name, dimensions in emitted if dimensions == {"Api", "Reason"}} == {"Refusals", "Faults"}


# ---- one id -------------------------------------------------------------------------------------------------------


def test_one_id_leads_from_the_gateway_to_the_function_slurmrestds_call_and_the_job(
    stack: Stack,
) -> None:
    begin = time.time()
    answer = stack.http.post(f"{stack.api}/jobs?hold=true", content="#!/bin/sh\ntrue\n", headers=stack.headers("alice"))
    assert answer.status_code == 201, answer.text
    request = answer.headers["apigw-requestid"]

    def logged() -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        lines = [json.loads(line) for line in log_lines(begin, "-jobs") if line.startswith("{") and request in line]
        told = [line for line in lines if line.get("message") == "answered"]
        calls = [line for line in lines if "SlurmrestdLatency" in line]
        if told and calls:
            return told[0], calls
        # The emulator keeps a line that came late until the function's next call.
        stack.http.get(f"{stack.api}/jobs?limit=1", headers=stack.headers("alice"))
        return None

    told, calls = wait_for(logged, "the lines of the request and of its calls")
    extra = stack.job("alice", int(answer.json()["id"]))["extra"]

    assert (told["job"], told["user"]) == (answer.json()["id"], "alice")
    assert told["marker"] == extra
    assert {call["request_id"] for call in calls} == {request}
    access = [json.loads(line) for line in (LOG_DIRECTORY / "access.log").read_text().splitlines()]
    assert [line["status"] for line in access if line["requestId"] == request] == ["201"]


def test_no_line_of_any_log_has_a_token(stack: Stack) -> None:
    stack.submit("alice", hold=True)
    parts = stack.token("alice").split(".")

    lines = [*log_lines(0), *(LOG_DIRECTORY / "access.log").read_text().splitlines()]

    # Longer than API Gateway's request ids, which are random base64 and now and then hold a token's first letters.
    assert [line for line in lines if re.search(r"eyJ[\w-]{20}", line)] == []
    assert [line for line in lines if any(part in line for part in parts)] == []


# ---- faults and load, small ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["slurmrestd out of memory", "DynamoDB throttled", "KMS throttled"])
def test_a_fault_loses_nothing_and_heals(stack: Stack, name: str) -> None:
    [fault] = [fault for fault in FAULTS if fault.name == name]

    row = faults.suffer(fault, seconds=1)

    assert row.lost == "", row.lines()
    assert row.healed < faults.HEALED_WITHIN


def test_there_are_twenty_faults_at_least_and_each_has_its_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 20


def test_a_mixed_load_beside_lists_loses_and_doubles_nothing(stack: Stack) -> None:
    load = mixed_load.run(clients=8, seconds=5, listed_jobs=100, apart=0.2)

    assert load.is_exact(), load.lines()
    assert load.unwanted == {}, load.lines()
    assert load.lists["200"] > 0
    assert load.peak < 2 << 30


def test_a_list_too_large_for_its_memory_ends_lists_and_nothing_else(stack: Stack) -> None:
    # A list takes 275 KB for each.
    job = [stack.submit("alice", hold=True) for _ in range(10)][-1]
    stack.token("alice")
    before = slurmrestd_pid()
    # One that has answered lists before would have memory left over from them.
    assert cluster.run(["systemctl", "restart", "slurmrestd-lists"]).returncode == 0
    with MemoryLimit("1M", lambda: slurmrestd_pid(LISTS_PORT)) as limit:
        refused = wait_for(
            lambda: answer if (answer := stack.slurm("alice", "GET", "jobs")).status_code != 200 else None,
            "a list to find no memory", 60,
        )  # fmt: skip
        assert refused.status_code in (429, 502, 503)
        wait_for(
            lambda: stack.slurm("alice", "GET", "jobs").status_code and limit.kills() > 0, "the limit to end it", 60
        )
        accounts = f"{stack.api}/slurmdb/{NATIVE_VERSION}/jobs"
        assert stack.http.get(accounts, headers=stack.headers("alice")).status_code in (429, 502, 503)
        assert stack.job("alice", job)["job_state"] == ["PENDING"]
        assert slurmrestd_pid() == before
    wait_for(lambda: stack.slurm("alice", "GET", "jobs").status_code == 200, "lists to be answered again")
