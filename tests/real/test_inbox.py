"""Objects of the inbox on the running stack: from S3 to Slurm, from the template, with everything in between."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bench import inbox_faults
from bench.inbox_faults import client, inputs_by_job, jobs_named, outputs, queue_depth, resource, rule, write
from local import cluster, principals
from tests.real.conftest import ROOT, Stack, wait_for

pytestmark = [pytest.mark.usefixtures("stack")]

RULE = inbox_faults.RULE


@pytest.fixture
def name() -> str:
    return f"alice-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def put_rule() -> Iterator[Callable[[str, str], None]]:
    """Write rules as an operator does; they are removed in the end."""
    names: set[str] = set()
    bucket = outputs()["BucketName"]

    def put(name: str, text: str) -> None:
        names.add(name)
        client("s3", principals.OPERATOR).put_object(Bucket=bucket, Key=f"rules/{name}.yaml", Body=text.encode())

    yield put
    for each in names:
        client("s3", principals.OPERATOR).delete_object(Bucket=bucket, Key=f"rules/{each}.yaml")


@pytest.fixture
def no_letters() -> Iterator[None]:
    """Begin and end without dead letters."""
    empty_dead_letters()
    yield
    empty_dead_letters()


def empty_dead_letters() -> None:
    client("sqs").purge_queue(QueueUrl=outputs()["InboxDeadLetterQueueUrl"])


def redrive(*arguments: str) -> str:
    command = [ROOT / "local/inbox-redrive", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_until_empty(timeout: float = 60) -> None:
    wait_for(lambda: queue_depth() == (0, 0), "the inbox's queue to be empty", timeout)


def test_many_objects_under_faults_are_one_job_each(no_letters: None, release: str) -> None:
    # A tenth of what `make soak` does; on the other release as many as are still on their way when Slurm is stopped.
    objects = 500 if release == cluster.DEFAULT_RELEASE else 150
    result = inbox_faults.run(objects, stop_after=3, stop_for=12, kills=2, deadline=900)

    assert result.is_exact(), "\n".join(result.lines())


@pytest.mark.any_release
def test_ten_poison_objects_and_rules_wait_with_their_sentences_while_200_good_ones_run(
    stack: Stack, name: str, put_rule: Callable[[str, str], None], no_letters: None
) -> None:
    good = RULE.format(name=name)

    def other(suffix: str, *changes: tuple[str, str]) -> str:
        text = RULE.format(name=f"{name}-{suffix}")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        put_rule(f"{name}-{suffix}", text)
        return f"inbox/{name}-{suffix}/object"

    put_rule(name, good)
    staged = f"version: 1\nkey: inbox/{name}-script/*\nuser: alice\nscript_sha256: {'c' * 64}\n"
    put_rule(f"{name}-script", staged)
    poison = {
        other("option", ("time: 1", "tme: 1")): "sbatch would not submit the job of the rule",
        other("partition", ("time: 1", "partition: nowhere")): "Slurm does not accept the job of the rule",
        other("forbidden", ("user: alice", "user: root")): "line 3: root never gets a token",
        other("ungranted", ("user: alice", "user: bob")): f"does not grant the rule {name}-ungranted the user bob",
        other("member", ("script:", "scirpt:")): "line 5: a rule has no 'scirpt'",
        other("shebang", ("#!/bin/sh", "true")): "The script of the rule",
        f"inbox/{name}-script/object": "is missing: alice has staged none with the SHA-256",
        other("yaml", ("version: 1", "version: [")): "cannot be read far enough to tell whether it does",
    }
    objects = {f"inbox/{name}/{number}": f"inbox/{name}/{number}" for number in range(200)}
    keys = list(objects)
    for key in poison:
        keys.insert(len(keys) // 2, key)
    write({key: key for key in keys})
    # Two that S3 never wrote: only an operator can put them into the queue.
    version = str(uuid.uuid4())
    poison |= {
        forge(f"inbox/{name}/never", version): "it was removed since, or was never written",
        forge(f"inbox/{name}/elsewhere", version, bucket="another-bucket"): "about the bucket another-bucket",
    }
    wait_for(lambda: queue_depth("InboxDeadLetterQueueUrl")[0] >= len(poison), "ten dead letters", 120)
    wait_until_empty(120)

    listed = redrive("--list")
    assert len(poison) == 10
    assert listed.endswith("10 dead letters\n"), listed
    told = dict(zip(listed.splitlines()[:-1:2], listed.splitlines()[1::2], strict=True))
    for key, sentence in poison.items():
        assert any(about.startswith(f"{key} (") and sentence in reason for about, reason in told.items()), listed
    assert len(jobs_named(name)) == 200
    alarms = client("cloudwatch").describe_alarms(AlarmNames=[resource("InboxDeadLettersAlarm")])["MetricAlarms"]
    assert [alarm["StateValue"] for alarm in alarms] == ["ALARM"]

    # Mended: the rules, and the script that was missing. The two that were never written stay what they are.
    for suffix in ("option", "partition", "forbidden", "ungranted", "member", "shebang", "yaml", "script"):
        put_rule(f"{name}-{suffix}", RULE.format(name=f"{name}-{suffix}"))
    assert redrive("--only", f"inbox/{name}-").endswith("8 sent back to the queue, 2 left\n")
    wait_until_empty()
    assert redrive("--list").endswith("2 dead letters\n")
    assert len(inputs_by_job(f"inbox/{name}-")) == 8
    assert len(inputs_by_job(f"inbox/{name}/")) == 200


def forge(key: str, version: str, bucket: str = "") -> str:
    """Send a message as an operator might, and nobody else; give its object's key."""
    outs = outputs()
    detail = {"bucket": {"name": bucket or outs["BucketName"]}, "object": {"key": key, "version-id": version}}
    body = json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail})
    client("sqs", principals.OPERATOR).send_message(QueueUrl=outs["InboxQueueUrl"], MessageBody=body)
    return key


@pytest.mark.any_release
def test_an_object_that_is_written_over_is_two_jobs_and_one_that_no_rule_fits_is_left(
    stack: Stack, name: str, no_letters: None
) -> None:
    with rule(name, RULE.format(name=name)):
        for content in ("one", "two"):
            write({f"inbox/{name}/same": content})
        write({f"inbox/no-rule-for-{name}": "x"})
        wait_for(lambda: len(jobs_named(name)) == 2, "two jobs")
        wait_until_empty()

    assert sum(queue_depth("InboxDeadLetterQueueUrl")) == 0


@pytest.mark.any_release
@pytest.mark.parametrize("who", ["alice", principals.PIPELINE_ROLE, principals.ADMINISTRATOR])
@pytest.mark.parametrize("queue", ["InboxQueueUrl", "InboxDeadLetterQueueUrl"])
def test_nobody_puts_a_message_of_his_own_into_the_inboxs_queues(who: str, queue: str) -> None:
    with pytest.raises(ClientError, match="not authorized"):
        client("sqs", who).send_message(QueueUrl=outputs()[queue], MessageBody="{}")


@pytest.mark.any_release
@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        (principals.PIPELINE_ROLE, {"inbox/"}),
        (principals.OPERATOR, {"rules/"}),
        # An administrator's own policies allow all of it; the bucket's keep him from what names users.
        (principals.ADMINISTRATOR, {"inbox/", "headnode/"}),
        ("alice", set()),
    ],
)
def test_who_writes_one_prefix_of_the_bucket_writes_no_other(who: str, allowed: set[str]) -> None:
    prefixes = (
        "inbox/", "rules/", "scripts/alice/", "output/alice/", "live/alice/", "headnode/", "headnode-state/",
    )  # fmt: skip
    bucket, s3 = outputs()["BucketName"], client("s3", who)

    def may_write(prefix: str) -> bool:
        try:
            # What ends with a slash is a folder of a console's, and becomes no job.
            s3.put_object(Bucket=bucket, Key=f"{prefix}written-by-a-test/", Body=b"")
        except ClientError as exc:
            if exc.response["Error"]["Code"] != "AccessDenied":
                raise
            return False
        return True

    assert {prefix for prefix in prefixes if may_write(prefix)} == allowed


@pytest.mark.any_release
def test_the_queues_policy_is_what_lets_the_rule_send(stack: Stack, name: str) -> None:
    """With the emulator as with AWS: a queue that does not name the rule hears nothing of it."""
    sqs, events = client("sqs"), client("events")
    url = sqs.create_queue(QueueName=f"deaf-{name}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_targets(Rule=resource("InboxRule"), Targets=[{"Id": "deaf", "Arn": arn}])
    try:
        write({f"inbox/no-rule-for-{name}": "x"})
        wait_for(lambda: known_to_function(name), "the inbox's own queue to have heard of the object")
        heard: dict[str, Any] = sqs.receive_message(QueueUrl=url)
        assert "Messages" not in heard
    finally:
        events.remove_targets(Rule=resource("InboxRule"), Ids=["deaf"])
        sqs.delete_queue(QueueUrl=url)


def known_to_function(name: str) -> bool:
    statistics = client("cloudwatch").list_metrics(MetricName="InboxUnmatched")["Metrics"]
    return bool(statistics) and queue_depth() == (0, 0)
