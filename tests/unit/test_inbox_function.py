"""The inbox function as it is deployed: AWS emulated, slurmrestd a stand-in."""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from botocore.exceptions import ClientError
from emulation import Aws, PublishedUsers
from event_samples import sample
from slurmrestd_stand_in import HANG_UP, StandIn, answer, refusal, slurmrestd
from templates_under_test import api_resource

from slurm_gateway import aws, inbox_redrive, logs, s3_object

SUBMIT = "POST /slurm/v0.0.42/job/submit"
JOBS = "/slurm/v0.0.42/jobs/"
BUCKET = "bucket"
Lines = Callable[[], list[dict[str, Any]]]
RULE = """\
version: 1
key: inbox/alice/*.txt
user: alice
script: |
  #!/bin/sh
  #SBATCH --time=5 --export=NONE
  true
environment: {GREETING: hello}
"""


class World:
    """The buckets, queues and tables around the function, and the function."""

    published: PublishedUsers

    def __init__(self, emulated: Aws, slurm: StandIn, session: Any, patch: pytest.MonkeyPatch) -> None:
        self.slurm = slurm
        self.s3, self.sqs, self.dynamodb = (aws.client(session, name) for name in ("s3", "sqs", "dynamodb"))
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        names = ("inbox", "dead", "orders")
        self.urls = {name: self.sqs.create_queue(QueueName=f"{name}-{uuid.uuid4()}")["QueueUrl"] for name in names}
        known = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        for table in ("JobsTable", "InboxTable"):
            properties = api_resource(table)["Properties"]
            made = {name: properties[name] for name in known if name in properties}
            self.dynamodb.create_table(TableName=table, **made)
        access = "version: 1\nrules: []\ninbox: [{rule: 'alice-*', users: [alice]}]\n"
        environ = {
            "KEYS_PARAMETER": emulated.parameter(emulated.key()),
            "ACCESS_PARAMETER": emulated.parameter(access),
            "DEFAULT_USER_SUDO": "true",
            "SLURMRESTD_URL": slurm.url,
            "SLURMRESTD_TLS_NAME": "",
            "CLUSTER_NAME": "parallelcluster",
            "WORKING_DIRECTORY": "/home/{user}",
            "INPUT_DIRECTORY": "/home/{user}/inbox",
            "JOBS_TABLE": "JobsTable",
            "JOB_RECORD_DAYS": "400",
            "INBOX_TABLE": "InboxTable",
            "BUCKET": BUCKET,
            "INBOX_QUEUE_URL": self.urls["inbox"],
            "DEAD_LETTERS_URL": self.urls["dead"],
            "HEAD_NODE_QUEUE_URL": self.urls["orders"],
            "LOG_LEVEL": "INFO",
        }
        slurm.speak("v0.0.42")
        slurm.answers[SUBMIT] = answer(job_id=12)
        for name, value in environ.items():
            patch.setenv(name, value)
        module = importlib.import_module("slurm_gateway.inbox_api")
        self.handler: Callable[..., dict[str, Any]] = module.build(os.environ)

    def close(self) -> None:
        versions = self.s3.list_object_versions(Bucket=BUCKET)
        for each in [*versions.get("Versions", ()), *versions.get("DeleteMarkers", ())]:
            self.s3.delete_object(Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"])
        self.s3.delete_bucket(Bucket=BUCKET)
        for table in ("JobsTable", "InboxTable"):
            self.dynamodb.delete_table(TableName=table)

    def rule(self, text: str = RULE, name: str = "alice-words") -> None:
        self.s3.put_object(Bucket=BUCKET, Key=f"rules/{name}.yaml", Body=text.encode())

    def write(self, key: str = "inbox/alice/hello.txt", content: bytes = b"hello") -> str:
        return str(self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)["VersionId"])

    def tell(self, *about: tuple[str, str], age: float = 0.0, **changes: Any) -> list[str]:
        """Send a batch of events; return the messages that come again."""
        records = []
        for key, version in about:
            [record] = sample("inbox-batch")["Records"]
            event = json.loads(record["body"])
            event["detail"]["object"] |= {"key": key, "version-id": version}
            body = json.dumps(event | changes)
            sent = int((time.time() - age) * 1000)
            self.sqs.send_message(QueueUrl=self.urls["inbox"], MessageBody=body)
            [message] = self.sqs.receive_message(QueueUrl=self.urls["inbox"], VisibilityTimeout=600)["Messages"]
            records.append(
                record
                | {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": body}
                | {"attributes": {"SentTimestamp": str(sent), "ApproximateFirstReceiveTimestamp": str(sent)}}
            )
        failed = self.handler({"Records": records})["batchItemFailures"]
        return [item["itemIdentifier"] for item in failed]

    def submitted(self) -> list[dict[str, Any]]:
        return [json.loads(body)["job"] for _, path, _, body in self.slurm.requests if path.endswith("/job/submit")]

    def messages(self, queue: str) -> list[dict[str, Any]]:
        found = self.sqs.receive_message(
            QueueUrl=self.urls[queue], MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
        )
        return list(found.get("Messages", ()))

    def reasons(self) -> list[str]:
        return [message["MessageAttributes"]["reason"]["StringValue"] for message in self.messages("dead")]

    def orders(self) -> list[dict[str, Any]]:
        return [json.loads(message["Body"]) for message in self.messages("orders")]


@pytest.fixture(scope="module")
def session(aws_environment: None) -> Any:
    return aws.session()


@pytest.fixture
def world(emulated: Aws, session: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with slurmrestd() as slurm, PublishedUsers.served() as published:
        # Reading botocore's descriptions takes long, and they are the same for each test.
        monkeypatch.setattr(aws, "session", lambda: session)
        monkeypatch.setattr(s3_object, "_url", lambda _bucket, key, _region: f"{published.url}/{key}")
        made = World(emulated, slurm, session, monkeypatch)
        made.published = published
        yield made
        made.close()


def test_an_object_becomes_a_held_job_of_the_rules_user_and_an_order_to_the_head_node(world: World) -> None:
    world.rule()
    version = world.write(content=b"hello world")

    assert world.tell(("inbox/alice/hello.txt", version)) == []

    [job] = world.submitted()
    [order] = world.orders()
    environment = dict(item.split("=", 1) for item in job["environment"])
    assert (job["hold"], job["time_limit"]["number"]) == (True, 5)
    assert order["path"].startswith("/home/alice/inbox/")
    assert order["path"].endswith("/hello.txt")
    assert {name: environment[name] for name in environment if name.startswith(("INPUT", "GREET"))} == {
        "INPUT_PATH": order["path"],
        "INPUT_KEY": "inbox/alice/hello.txt",
        "INPUT_VERSION": version,
        "INPUT_SIZE": "11",
        "GREETING": "hello",
    }
    assert order == {
        "kind": "input",
        "cluster": "parallelcluster",
        "job_id": "12",
        "user": "alice",
        "submitted": int(job["extra"].split(":")[1]),
        "marker": job["extra"],
        "bucket": BUCKET,
        "key": "inbox/alice/hello.txt",
        "version": version,
        "size": 11,
        "path": order["path"],
    }
    [sent] = [headers for method, path, headers, _ in world.slurm.requests if "submit" in path]
    assert sent["X-SLURM-USER-NAME"] == "alice"
    assert world.dynamodb.scan(TableName="JobsTable")["Count"] == 1


def audited(lines: Lines) -> list[dict[str, Any]]:
    return [line for line in lines() if line["name"] == logs.AUDIT]


def test_a_token_that_a_rule_gets_is_an_audit_line_at_every_log_level_and_its_submits_have_its_id(
    world: World, log_lines: Lines
) -> None:
    world.rule()
    logging.getLogger("slurm_gateway").setLevel("CRITICAL")
    version = world.write()

    world.tell(("inbox/alice/hello.txt", version))

    logging.getLogger("slurm_gateway").setLevel("INFO")
    world.tell(("inbox/alice/again.txt", world.write("inbox/alice/again.txt")))
    [line] = audited(log_lines)
    expected = {
        "message": "token minted", "principal": "inbox rule alice-words", "rule": "alice-words", "user": "alice",
        "lifespan": 120, "request_id": "N4N7GDK58NMKJ12R", "source_ip": "192.0.2.7",
        "object": f"inbox/alice/hello.txt (version {version})", "TokensMinted": 1,
    }  # fmt: skip
    assert expected.items() <= line.items()
    tokens = {headers["X-SLURM-USER-TOKEN"] for _, path, headers, _ in world.slurm.requests if "submit" in path}
    claims = [jwt.decode(token, options={"verify_signature": False}) for token in tokens]
    assert [claim["jti"] for claim in claims] == [line["jti"]]
    assert not any(part in str(log_lines()) for token in tokens for part in token.split("."))
    assert [each["jti"] for each in log_lines() if each["message"] == "job of an object"] == [line["jti"]]


@pytest.mark.parametrize(
    ("rule", "published", "told"),
    [
        (RULE.replace("user: alice", "user: bob"), {}, ("bob", "user-not-allowed", "TokensRefused")),
        (RULE, {"users": ["bob"]}, ("alice", "user-not-eligible", "TokensRefused")),
        (RULE, {"age": 3600}, ("alice", "unavailable", "TokensUnavailable")),
    ],
)
def test_a_token_that_a_rule_does_not_get_is_one_audit_line_with_its_reason(
    world: World, log_lines: Lines, rule: str, published: dict[str, Any], told: tuple[str, str, str]
) -> None:
    world.rule(rule)
    vars(world.published).update(published)

    world.tell(("inbox/alice/hello.txt", world.write()))

    [line] = audited(log_lines)
    user, reason, counted = told
    expected = {"message": "no token", "rule": "alice-words", "user": user, "reason": reason, counted: 1}
    assert expected.items() <= line.items()
    assert line["request_id"] == "N4N7GDK58NMKJ12R"


def test_an_event_that_comes_again_makes_no_second_job_and_no_second_order(world: World) -> None:
    world.rule()
    about = ("inbox/alice/hello.txt", world.write())

    assert world.tell(about, about) == []
    assert world.tell(about) == []

    assert len(world.submitted()) == len(world.orders()) == 1


def test_what_is_known_needs_neither_rule_nor_object_any_more(world: World) -> None:
    world.rule()
    about = ("inbox/alice/hello.txt", world.write())
    world.tell(about)
    world.s3.delete_object(Bucket=BUCKET, Key=about[0], VersionId=about[1])
    world.rule("nonsense")

    assert (world.tell(about), world.reasons()) == ([], [])


def test_an_object_that_is_written_over_is_two_versions_and_two_jobs(world: World) -> None:
    world.rule()
    first, second = world.write(), world.write()

    world.tell(("inbox/alice/hello.txt", first), ("inbox/alice/hello.txt", second))

    assert first != second
    assert len(world.submitted()) == 2
    assert len({order["path"] for order in world.orders()}) == 2


def test_an_order_that_could_not_be_sent_is_sent_when_the_event_comes_again(world: World) -> None:
    world.rule()
    about = ("inbox/alice/hello.txt", world.write())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slurm_gateway.head_node_orders.HeadNodeOrders.send", _fail)
        assert len(world.tell(about)) == 1

    assert world.tell(about) == []
    assert (len(world.submitted()), len(world.orders())) == (1, 1)


def _fail(*_: Any) -> None:
    raise aws.UnavailableError("it does not work: AWS answered 500")


def test_an_object_that_no_rule_fits_is_counted_and_left(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.rule()

    assert world.tell(("inbox/bob/hello.txt", world.write("inbox/bob/hello.txt"))) == []

    [line] = [line for text in capsys.readouterr().err.splitlines() if "_aws" in (line := json.loads(text))]
    assert line["InboxUnmatched"] == 1
    assert line["_aws"]["CloudWatchMetrics"] == [
        {
            "Namespace": "slurm-gateway",
            "Dimensions": [["Api"]],
            "Metrics": [{"Name": "InboxUnmatched", "Unit": "Count"}],
        }
    ]
    assert (world.submitted(), world.reasons(), world.orders()) == ([], [], [])


def test_counts_are_written_at_every_log_level(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("slurm_gateway").setLevel("CRITICAL")

    world.tell(("inbox/bob/hello.txt", world.write("inbox/bob/hello.txt")))

    assert '"InboxUnmatched":1' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("published", "again", "reasons"),
    [({"users": ["bob"]}, 0, 1), ({"age": 3600}, 1, 0), ({"status": 403}, 1, 0)],
)
def test_a_job_is_made_only_for_a_user_whom_the_head_node_knows(
    world: World, published: dict[str, Any], again: int, reasons: int
) -> None:
    world.rule()
    vars(world.published).update(published)

    assert len(world.tell(("inbox/alice/hello.txt", world.write()))) == again

    assert len(world.reasons()) == reasons
    assert all("The head node knows no user alice" in reason for reason in world.reasons())
    assert world.submitted() == []


def test_a_rule_that_was_there_before_the_object_counts_at_once(world: World) -> None:
    world.tell(("inbox/alice/early.txt", world.write("inbox/alice/early.txt")))
    world.rule()

    world.tell(("inbox/alice/late.txt", world.write("inbox/alice/late.txt")))

    assert [order["key"] for order in world.orders()] == ["inbox/alice/late.txt"]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (RULE.replace("user: alice", "user: root"), "The rule alice-words is not valid: line 3: root never gets"),
        (RULE.replace("user: alice", "user: bob"), "does not grant the rule alice-words the user bob. Add {rule:"),
        (RULE.replace("script: |", "scirpt: |"), "line 4: a rule has no 'scirpt'"),
        (RULE.replace("  true", "  true\n bad"), "No valid rule fits inbox/alice/hello.txt, and one cannot be read"),
        (RULE.replace("--time=5", "--tme=5"), "sbatch would not submit the job of the rule alice-words: line 2"),
        (RULE.replace("#!/bin/sh", "true"), "The script of the rule alice-words is not valid"),
    ],
)
def test_an_object_of_a_rule_that_is_wrong_waits_with_the_sentence(world: World, rule: str, sentence: str) -> None:
    world.rule(rule)
    about = ("inbox/alice/hello.txt", world.write())

    assert world.tell(about) == []

    [reason] = world.reasons()
    assert sentence in reason
    assert world.submitted() == []


def test_a_missing_script_is_named(world: World) -> None:
    world.rule(f"version: 1\nkey: inbox/**\nuser: alice\nscript_sha256: {'c' * 64}\n")

    world.tell(("inbox/alice/hello.txt", world.write()))

    assert f"alice has staged none with the SHA-256 {'c' * 64}" in world.reasons()[0]


def test_other_rules_go_on_beside_a_wrong_one(world: World) -> None:
    world.rule("no: rule", "alice-a")
    world.rule(RULE.replace("user: alice", "user: bob").replace("inbox/alice", "inbox/bob"), "alice-b")
    world.rule()

    world.tell(
        ("inbox/alice/hello.txt", world.write()), ("inbox/bob/hello.txt", world.write("inbox/bob/hello.txt"))
    )  # fmt: skip

    assert (len(world.submitted()), len(world.reasons())) == (1, 1)


def test_the_first_rule_by_name_decides(world: World) -> None:
    world.rule(RULE.replace("hello", "second"), "alice-b")
    world.rule(RULE.replace("hello", "first"), "alice-a")

    world.tell(("inbox/alice/hello.txt", world.write()))

    assert "GREETING=first" in world.submitted()[0]["environment"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"source": "someone"}, "not S3's event about an object that was written"),
        ({"detail-type": "Object Deleted"}, "not S3's event about an object that was written"),
        ({"detail": {"bucket": {"name": "other"}, "object": {"key": "inbox/x", "version-id": "1"}}}, "bucket other"),
        ({"detail": {"bucket": {"name": BUCKET}, "object": {"key": "rules/x", "version-id": "1"}}}, "not under inbox/"),
        ({"detail": {"bucket": {"name": BUCKET}, "object": {"key": "inbox/x"}}}, "names no version"),
        ({"detail": {"bucket": {"name": BUCKET}, "object": {"key": ["inbox/x"], "version-id": "1"}}}, "not under"),
        ({"detail": []}, "not an event of S3's"),
        (
            {"detail": {"bucket": {"name": BUCKET}, "object": {"key": "inbox/\ud800", "version-id": "1"}}},
            "not an event",
        ),
        (
            {"detail": {"bucket": {"name": BUCKET}, "object": {"key": "inbox/x", "version-id": "\udfff"}}},
            "not an event",
        ),
        (
            {"detail": {"bucket": {"name": BUCKET}, "object": {"key": "inbox/../rules/x", "version-id": "1"}}},
            "never wri",
        ),
        ({"detail": {"bucket": {"name": BUCKET}, "object": {"key": "inbox/x\0", "version-id": "1"}}}, "never written"),
        ({"detail": {"bucket": {"name": BUCKET}, "object": {"key": "inbox/x", "version-id": "null"}}}, "never written"),
    ],
)
def test_a_message_that_s3_did_not_cause_makes_no_job(world: World, changes: dict[str, Any], sentence: str) -> None:
    world.rule(RULE.replace("inbox/alice/*.txt", "inbox/**"))

    assert world.tell(("inbox/alice/hello.txt", "1"), **changes) == []

    assert sentence in world.reasons()[0]
    assert world.submitted() == []


@pytest.mark.parametrize(
    "body", ["[" * 100_000, "{" * 10, '{"detail": NaN}', '{"detail": {}, "detail": []}', "\0", "x"]
)
def test_a_message_that_is_a_bomb_waits_at_once(world: World, body: str) -> None:
    [record] = sample("inbox-batch")["Records"]

    assert world.handler({"Records": [record | {"body": body}]})["batchItemFailures"] == []

    assert "not an event of S3's" in world.reasons()[0]
    assert world.submitted() == []


# Each stands in a key of its own, and so in a path, a variable of the job's, an order and a line of the log.
ODD = [
    *(chr(code) for code in range(1, 0x80) if not chr(code).isalnum()),
    "\x80", "\x85", "\xa0", "\xad", "\xff", "\u00e4\u0308", "\u202e", "\u2028", "\ufeff", "\U0001f600",
    "%2e%2e%2f", "%00", "..", "$(id)", "`id`", "; id",
    "a=b", "' or '1'='1", "{user}", "-rf", "~root", "\r\nX: y", "&amp;", "+", "?versionId=x", "#x",
]  # fmt: skip


def test_whatever_characters_a_key_has_it_is_one_input_of_its_own_directory(world: World) -> None:
    world.rule(RULE.replace("inbox/alice/*.txt", "inbox/alice/**"))
    about = [(key, world.write(key)) for key in (f"inbox/alice/{odd}/a{odd}b" for odd in ODD)]
    for first in range(0, len(about), 10):
        assert world.tell(*about[first : first + 10]) == []

    # Here, for moto cannot list some of these names.
    for key, version in about:
        world.s3.delete_object(Bucket=BUCKET, Key=key, VersionId=version)
    assert len(about) > 90
    assert world.reasons() == []
    jobs = [dict(item.split("=", 1) for item in job["environment"]) for job in world.submitted()]
    assert [(job["INPUT_KEY"], job["INPUT_VERSION"]) for job in jobs] == about
    paths = [job["INPUT_PATH"] for job in jobs]
    assert len(set(paths)) == len(about)
    for path in paths:
        directory, name = path.removeprefix("/home/alice/inbox/").split("/")
        assert re.fullmatch("[0-9a-f]{16}", directory)
        assert name not in {"", ".", ".."}
        assert name.isprintable()


def test_a_message_about_a_version_that_was_never_written_makes_no_job(world: World) -> None:
    world.rule()
    world.write()

    world.tell(("inbox/alice/hello.txt", str(uuid.uuid4())))

    assert "it was removed since, or was never written" in world.reasons()[0]
    assert world.submitted() == []


def test_what_slurm_refuses_waits_with_slurms_words(world: World) -> None:
    world.rule()
    world.slurm.answers[SUBMIT] = refusal(2000, "Invalid partition name specified")

    world.tell(("inbox/alice/hello.txt", world.write()))

    assert "Slurm does not accept the job of the rule alice-words: Slurm said: " in world.reasons()[0]


def test_while_slurm_is_down_messages_come_again_and_the_rest_of_a_batch_is_not_tried(world: World) -> None:
    world.rule()
    world.slurm.answers[SUBMIT] = refusal(1800, "Unable to contact slurm controller")
    about = [(f"inbox/alice/{number}.txt", world.write(f"inbox/alice/{number}.txt")) for number in range(3)]

    assert len(world.tell(*about)) == 3
    assert len(world.submitted()) == 1
    assert world.reasons() == []


def test_slurm_is_asked_whether_it_answers_before_it_is_sent_anything_again(world: World) -> None:
    world.rule()
    world.slurm.answers[SUBMIT] = [HANG_UP, answer(job_id=12)]
    about = ("inbox/alice/hello.txt", world.write())
    other = ("inbox/alice/other.txt", world.write("inbox/alice/other.txt"))

    assert len(world.tell(about)) == 1
    assert len(world.tell(other)) == 1  # it does not: the stand-in has no such path
    assert len(world.submitted()) == 1


def test_a_job_that_was_made_unanswered_is_found_by_its_marker(world: World) -> None:
    world.rule()
    world.slurm.answers[SUBMIT] = HANG_UP
    about = ("inbox/alice/hello.txt", world.write())
    assert len(world.tell(about)) == 1
    marker = world.submitted()[0]["extra"]
    # By this it asks whether Slurm answers: no job ever has that id.
    world.slurm.answers[f"GET {JOBS.removesuffix('jobs/')}job/67043328"] = answer(jobs=[])
    world.slurm.answers[f"GET {JOBS}"] = answer(
        jobs=[{"job_id": 77, "user_name": "alice", "job_state": ["PENDING"], "extra": marker, "submit_time": 1}]
    )

    assert world.tell(about) == []

    assert len(world.submitted()) == 1
    assert [(order["job_id"], order["marker"]) for order in world.orders()] == [("77", marker)]


def test_a_job_whose_answer_was_not_kept_stays_held_until_it_is_found_and_its_answer_kept(world: World) -> None:
    world.rule()
    about = ("inbox/alice/hello.txt", world.write())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slurm_gateway.idempotency.IdempotencyTable.answered", _fail)
        assert len(world.tell(about)) == 1
    assert (len(world.submitted()), world.orders()) == (1, [])

    # The function that sent it has ended meanwhile.
    [item] = world.dynamodb.scan(TableName="InboxTable")["Items"]
    world.dynamodb.put_item(TableName="InboxTable", Item=item | {"sender_until": {"N": "0"}})
    marker = world.submitted()[0]["extra"]
    held = {"job_id": 12, "user_name": "alice", "job_state": ["PENDING"], "extra": marker, "submit_time": 1}
    world.slurm.answers[f"GET {JOBS}"] = answer(jobs=[held])

    assert world.tell(about) == []

    [item] = world.dynamodb.scan(TableName="InboxTable")["Items"]
    assert "answer" in item
    assert len(world.submitted()) == 1
    assert [(order["job_id"], order["marker"]) for order in world.orders()] == [("12", marker)]


@pytest.mark.parametrize(
    ("extra", "submitted", "jobs", "reasons"),
    [
        ("slurm-gateway:1795250000:" + "0" * 32 + ":", 1000, 2, 0),
        # Its user released it, and it ran: it is the object's job, and accounting's word for that is kept.
        ("{marker}", 1000, 1, 0),
        # Accounting has what it is told to keep: this may be any job, but not while Slurm has it without a marker.
        ("", 1000, 1, 1),
        ("", 2000, 2, 0),
    ],
)
def test_a_held_job_that_is_gone_may_have_come_to_any_end(
    world: World, extra: str, submitted: int, jobs: int, reasons: int
) -> None:
    world.rule()
    world.slurm.answers[SUBMIT] = [HANG_UP, answer(job_id=12)]
    about = ("inbox/alice/hello.txt", world.write())
    assert len(world.tell(about)) == 1
    marker = world.submitted()[0]["extra"]
    # Long ago, and its token has expired: Slurm forgets what ended by now.
    [item] = world.dynamodb.scan(TableName="InboxTable")["Items"]
    sent = int(time.time()) - 1000
    for name in ("sent_after", "token_expires_at"):
        item[name] = {"N": str(sent)}
    world.dynamodb.put_item(TableName="InboxTable", Item=item)
    nobodys = f"GET {JOBS.removesuffix('jobs/')}job/67043328"
    live = [{"job_id": 9, "user_name": "alice", "extra": "", "submit_time": {"set": True, "number": 2000}}]
    world.slurm.answers |= {nobodys: answer(jobs=[]), f"GET {JOBS}": answer(jobs=live)}
    window = f"users=alice&start_time={sent - 60}&end_time={sent + 60}&usage_time_as_submit_time=true&skip_steps=true"
    known = {"job_id": 9, "extra": extra.format(marker=marker), "time": {"submission": submitted}}
    world.slurm.answers[f"GET /slurmdb/v0.0.42/jobs/?{window}"] = answer(jobs=[known])

    assert world.tell(about) == []

    assert (len(world.submitted()), len(world.reasons())) == (jobs, reasons)
    assert [order["job_id"] for order in world.orders()] == ([] if reasons else ["9" if jobs == 1 else "12"])
    assert all("it may be one of alice's that have ended since" in reason for reason in world.reasons())


def test_a_message_comes_again_after_a_quarter_of_its_age(world: World) -> None:
    world.rule()
    world.slurm.answers[SUBMIT] = refusal(1800, "Unable to contact slurm controller")
    about = ("inbox/alice/hello.txt", world.write())
    delays: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            world.handler._sqs,  # type: ignore[attr-defined]
            "change_message_visibility",
            lambda **arguments: delays.append(arguments["VisibilityTimeout"]),
        )
        for age in (0, 400, 100_000):
            world.tell(about, age=age)

    assert [low <= delay <= high for delay, (low, high) in zip(delays, [(4, 14), (75, 127), (675, 1126)], strict=True)]


def test_what_waits_for_too_long_becomes_a_dead_letter_before_the_queue_forgets_it(world: World) -> None:
    world.rule()
    world.slurm.answers[SUBMIT] = refusal(1800, "Unable to contact slurm controller")

    assert world.tell(("inbox/alice/hello.txt", world.write()), age=11 * 24 * 3600) == []

    assert "No job could be made for too long. At last: Slurm said" in world.reasons()[0]


def test_the_redrive_tells_each_letter_and_sends_it_back(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.rule(RULE.replace("user: alice", "user: bob"))
    about = ("inbox/alice/hello.txt", world.write())
    world.tell(about)
    letters = inbox_redrive.DeadLetters(
        world.sqs, dead_letters_url=world.urls["dead"], queue_url=world.urls["inbox"]
    )  # fmt: skip
    capsys.readouterr()

    assert inbox_redrive.run(letters, show=True) == 1
    assert inbox_redrive.run(letters, only="no such object") == 0
    assert inbox_redrive.run(letters, only="hello") == 1

    told = capsys.readouterr().out
    assert told.count(f"inbox/alice/hello.txt (version {about[1]})") == 2
    assert told.count("does not grant the rule alice-words the user bob") == 2
    assert told.endswith("1 sent back to the queue, 0 left\n")
    assert world.messages("dead") == []
    assert len(world.messages("inbox")) == 1


@pytest.mark.parametrize("prefix", ["", "AWS.SimpleQueueService."])
def test_the_redrive_comes_to_its_end_also_where_letters_show_again_before_it_leaves_them(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    """As they do once more than a minute has passed over the others; moto does not mind."""

    def not_in_flight(**_: Any) -> None:
        raise ClientError({"Error": {"Code": f"{prefix}MessageNotInflight"}}, "ChangeMessageVisibility")

    world.rule(RULE.replace("user: alice", "user: bob"))
    keys = ("inbox/alice/one.txt", "inbox/alice/two.txt")
    world.tell(*((key, world.write(key)) for key in keys))
    monkeypatch.setattr(world.sqs, "change_message_visibility", not_in_flight)
    letters = inbox_redrive.DeadLetters(world.sqs, dead_letters_url=world.urls["dead"], queue_url=world.urls["inbox"])
    capsys.readouterr()

    assert inbox_redrive.run(letters, only="no such object") == 0

    assert capsys.readouterr().out == "0 sent back to the queue, 2 left\n"
