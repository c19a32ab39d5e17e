"""Each function's role, and the head node's, allows what it uses and nothing else, as does the key's."""

from __future__ import annotations

import functools
import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local import aws_emulator, cluster, principals, stacks
from local.aws_emulator import ACCOUNT, REGION, Credentials

pytestmark = [pytest.mark.any_release, pytest.mark.usefixtures("stack")]

RS256 = "RSASSA_PKCS1_V1_5_SHA_256"
TAG = "slurm-gateway:requirements-stack"
# Every later heartbeat of the cluster's is newer: the recorder takes it, and keeps nothing.
LATE_HEARTBEAT = json.dumps({
    "detail-type": "Slurm Heartbeat",
    "detail": {"cluster": "parallelcluster", "time": "2020-01-01T00:00:00Z", "daemons": {}, "lag_seconds": 0,
               "waiting": 0},
})  # fmt: skip

Client = Callable[[str], Any]
Call = Callable[[Client, dict[str, str]], object]

# A few for all calls: to make one takes longer than to call.
client_of = functools.cache(aws_emulator.client)


@pytest.fixture(autouse=True)
def no_jobs_left() -> None:
    """Nothing here makes a job, so none is looked for after each test."""


@pytest.fixture(scope="module")
def outputs() -> dict[str, str]:
    return stacks.outputs_of(stacks.REQUIREMENTS_STACK)


@pytest.fixture(scope="module")
def key_policy(outputs: dict[str, str]) -> str:
    kms = aws_emulator.client("kms", principals.administrator())
    return str(kms.get_key_policy(KeyId=outputs["SigningKeyArn"], PolicyName="default")["Policy"])


def api_resources() -> dict[str, str]:
    """The physical ids of what the API's stack made, by logical id."""
    cloudformation = aws_emulator.client("cloudformation", principals.administrator())
    resources = cloudformation.describe_stack_resources(StackName=stacks.API_STACK)["StackResources"]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}


def new_key(**properties: Any) -> dict[str, Any]:
    kms = aws_emulator.client("kms", principals.administrator())
    metadata: dict[str, Any] = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", **properties)["KeyMetadata"]
    return metadata


@pytest.fixture(scope="module")
def names(outputs: dict[str, str], key_policy: str, credentials: dict[str, Credentials]) -> Iterator[dict[str, str]]:
    """The resources of the calls below: the stack's own, and others of the same kinds."""
    administrator = principals.administrator()
    ssm, s3, kms = (aws_emulator.client(service, administrator) for service in ("ssm", "s3", "kms"))
    rotated = new_key(Policy=key_policy, Tags=[{"TagKey": TAG, "TagValue": stacks.REQUIREMENTS_STACK}])["KeyId"]
    untagged = new_key(Policy=key_policy)["KeyId"]
    ssm.put_parameter(Name="/other/parameter", Value="x", Type="String", Overwrite=True)
    s3.put_object(Bucket=outputs["BucketName"], Key="headnode/configure.sh", Body=b"#!/bin/sh\n")
    # The bucket's policy lets nobody else: not even the administrator.
    written = {"scripts/alice/x": "InboxFunction", "rules/not-one": "operator", "output/alice/x": "head node",
               "inbox/x": "pipeline"}  # fmt: skip
    versions = {
        key: aws_emulator.client("s3", credentials[who]).put_object(Bucket=outputs["BucketName"], Key=key, Body=b"x")
        for key, who in written.items()
    }
    api = stacks.outputs_of(stacks.API_STACK)
    yield {
        **outputs,
        **api_resources(),
        "InboxQueue": api["InboxQueueUrl"],
        "DeadLetters": api["InboxDeadLetterQueueUrl"],
        "InputVersion": versions["inbox/x"]["VersionId"],
        "RotatedKey": rotated,
        "UntaggedKey": untagged,
    }
    for key in (rotated, untagged):
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    ssm.delete_parameter(Name="/other/parameter")
    # The head node's role wrote a list of users here: whom that lacks, the canary's, would get no token for minutes.
    assert cluster.run(["systemctl", "restart", "slurm-gateway-users.service"]).returncode == 0


@pytest.fixture(scope="module")
def credentials(outputs: dict[str, str]) -> dict[str, Credentials]:
    cloudformation = aws_emulator.client("cloudformation", principals.administrator())
    resources = cloudformation.describe_stack_resources(StackName=stacks.API_STACK)["StackResources"]
    functions = {
        resource["LogicalResourceId"]: stacks.function_credentials(resource["PhysicalResourceId"])
        for resource in resources
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }
    head_node = stacks.head_node_environment(outputs)
    return {
        **functions,
        "head node": Credentials(
            head_node["AWS_ACCESS_KEY_ID"], head_node["AWS_SECRET_ACCESS_KEY"], head_node["AWS_SESSION_TOKEN"]
        ),
        "administrator": principals.administrator(),
        "operator": principals.credentials(principals.OPERATOR),
        "pipeline": principals.credentials(principals.PIPELINE_ROLE),
        "alice": principals.credentials("alice"),
    }


def get_parameter(output: str) -> Call:
    return lambda client, names: client("ssm").get_parameter(Name=names[output])


def put_object(key: str) -> Call:
    return lambda client, names: client("s3").put_object(Bucket=names["BucketName"], Key=key, Body=b"x")


def send(queue: str, body: str = "{}") -> Call:
    return lambda client, names: client("sqs").send_message(QueueUrl=names[queue], MessageBody=body)


def sign(key: str, algorithm: str = RS256) -> Call:
    return lambda client, names: client("kms").sign(
        KeyId=names[key], Message=b"x" * 32, MessageType="DIGEST", SigningAlgorithm=algorithm
    )


def get_public_key(key: str) -> Call:
    return lambda client, names: client("kms").get_public_key(KeyId=names[key])


def put_event(client: Client, names: dict[str, str], source: str) -> object:
    entry = {"EventBusName": names["EventBusName"], "Source": source, "DetailType": "Test", "Detail": "{}"}
    return client("events").put_events(Entries=[entry])


CALLS: dict[str, Call] = {
    "read the key list": get_parameter("KeysParameterName"),
    "read the access document": get_parameter("AccessParameterName"),
    "read another parameter": lambda client, _: client("ssm").get_parameter(Name="/other/parameter"),
    "change the key list": lambda client, names: client("ssm").put_parameter(
        Name=names["KeysParameterName"], Value="x", Type="StringList", Overwrite=True
    ),
    "change the access document": lambda client, names: client("ssm").put_parameter(
        Name=names["AccessParameterName"], Value="x", Overwrite=True
    ),
    "read the public key": get_public_key("SigningKeyArn"),
    "read a rotated public key": get_public_key("RotatedKey"),
    "read a public key without the tag": get_public_key("UntaggedKey"),
    "see how old the key is": lambda client, names: client("kms").describe_key(KeyId=names["SigningKeyArn"]),
    "see how old a key without the tag is": lambda client, names: client("kms").describe_key(
        KeyId=names["UntaggedKey"]
    ),
    "sign": sign("SigningKeyArn"),
    "sign with a rotated key": sign("RotatedKey"),
    "sign with a key without the tag": sign("UntaggedKey"),
    "sign with another algorithm": sign("SigningKeyArn", "RSASSA_PSS_SHA_256"),
    "make a key": lambda client, _: client("kms").create_key(Description="must not be"),
    "put a policy on the key": lambda client, names: client("kms").put_key_policy(
        KeyId=names["SigningKeyArn"], PolicyName="default", Policy="{}"
    ),
    "list the bucket": lambda client, names: client("s3").list_objects_v2(Bucket=names["BucketName"]),
    "list the head node's scripts": lambda client, names: client("s3").list_objects_v2(
        Bucket=names["BucketName"], Prefix="headnode/"
    ),
    "read the head node's scripts": lambda client, names: client("s3").get_object(
        Bucket=names["BucketName"], Key="headnode/configure.sh"
    ),
    "read the list of users": lambda client, names: client("s3").get_object(
        Bucket=names["BucketName"], Key="headnode-state/users.json"
    ),
    "write the list of users": lambda client, names: client("s3").put_object(
        Bucket=names["BucketName"], Key="headnode-state/users.json", Body=b'{"users":["alice","bob"]}'
    ),
    "read an earlier version of the access document": lambda client, names: client("ssm").get_parameter(
        Name=names["AccessParameterName"] + ":1"
    ),
    "read a user's script": lambda client, names: client("s3").get_object(
        Bucket=names["BucketName"], Key="scripts/alice/x"
    ),
    "write to the bucket": lambda client, names: client("s3").put_object(
        Bucket=names["BucketName"], Key="headnode/configure.sh", Body=b"evil"
    ),
    "tell of jobs": lambda client, names: put_event(client, names, "slurm-gateway"),
    "tell in another's name": lambda client, names: put_event(client, names, "somebody.else"),
    "read a rule": lambda client, names: client("s3").get_object(Bucket=names["BucketName"], Key="rules/not-one"),
    "list the rules": lambda client, names: client("s3").list_objects_v2(Bucket=names["BucketName"], Prefix="rules/"),
    "write a rule": put_object("rules/not-one"),
    "write a script": put_object("scripts/alice/x"),
    # What ends with a slash becomes no job.
    "write an object of the inbox": put_object("inbox/nobodys/"),
    "send to the inbox's queue": send("InboxQueue"),
    "send a dead letter": send("DeadLetters"),
    "take a dead letter": lambda client, names: client("sqs").receive_message(
        QueueUrl=names["DeadLetters"], VisibilityTimeout=0
    ),
    "read an input": lambda client, names: client("s3").get_object(
        Bucket=names["BucketName"], Key="inbox/x", VersionId=names["InputVersion"]
    ),
    "write output": lambda client, names: client("s3").put_object(
        Bucket=names["BucketName"], Key="output/alice/x", Body=b"x"
    ),
    "write live output": lambda client, names: client("s3").put_object(
        Bucket=names["BucketName"], Key="live/alice/x", Body=b"x"
    ),
    "read output": lambda client, names: client("s3").get_object(Bucket=names["BucketName"], Key="output/alice/x"),
    "order the head node": lambda client, names: client("sqs").send_message(
        QueueUrl=names["HeadNodeQueueUrl"], MessageBody="{}"
    ),
    "take an order": lambda client, names: client("sqs").receive_message(
        QueueUrl=names["HeadNodeQueueUrl"], VisibilityTimeout=0
    ),
    "keep a job's record": lambda client, names: client("dynamodb").update_item(
        TableName=names["JobsTable"],
        Key={"job": {"S": "test"}, "submitted": {"N": "0"}},
        UpdateExpression="SET a = :a",
        ExpressionAttributeValues={":a": {"S": "x"}},
    ),
    "read a job's record": lambda client, names: client("dynamodb").get_item(
        TableName=names["JobsTable"], Key={"job": {"S": "test"}, "submitted": {"N": "0"}}
    ),
    "keep a heartbeat": lambda client, names: client("dynamodb").put_item(
        TableName=names["HeartbeatsTable"], Item={"cluster": {"S": "test"}}
    ),
    "read a heartbeat": lambda client, names: client("dynamodb").get_item(
        TableName=names["HeartbeatsTable"], Key={"cluster": {"S": "test"}}
    ),
    "take from the records' queue": lambda client, names: client("sqs").receive_message(
        QueueUrl=names["RecordsQueue"], MaxNumberOfMessages=1, VisibilityTimeout=0
    ),
    "send to the records' queue": send("RecordsQueue", LATE_HEARTBEAT),
    "send what was not recorded": send("RecordsDeadLetterQueue", LATE_HEARTBEAT),
    "take what was not recorded": lambda client, names: client("sqs").receive_message(
        QueueUrl=names["RecordsDeadLetterQueue"], VisibilityTimeout=0
    ),
    "register a target": lambda client, names: client("elbv2").register_targets(
        TargetGroupArn=names["TargetGroupArn"], Targets=[{"Id": stacks.head_node_instance_id(names)}]
    ),
    "register a target for lists": lambda client, names: client("elbv2").register_targets(
        TargetGroupArn=names["ListsTargetGroupArn"], Targets=[{"Id": stacks.head_node_instance_id(names), "Port": 6831}]
    ),
    "see the target's health": lambda client, names: client("elbv2").describe_target_health(
        TargetGroupArn=names["TargetGroupArn"]
    ),
    "assume the token function's role": lambda client, _: client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{stacks.API_STACK}-token-{REGION}", RoleSessionName="test"
    ),
    "make a user": lambda client, _: client("iam").create_user(UserName="must-not-be"),
    "invoke a function": lambda client, _: client("lambda").invoke(FunctionName="must-not-be"),
    "write to a log of its own making": lambda client, _: client("logs").create_log_group(logGroupName="must-not-be"),
}

ALLOWED: dict[str, set[str]] = {
    "EdgeAuthorizerFunction": {"read the key list", "read the public key", "read a rotated public key"},
    "TokenFunction": {
        "read the key list",
        "read the access document",
        "read an earlier version of the access document",
        "read the list of users",
        "sign",
        "sign with a rotated key",
    },
    "JwksFunction": {"read the key list", "read the public key", "read a rotated public key"},
    "head node": {
        "read the key list",
        "read the public key",
        "read a rotated public key",
        "read the head node's scripts",
        "write the list of users",
        "register a target",
        "register a target for lists",
        "tell of jobs",
        "read an input",
        "write output",
        "write live output",
        "take an order",
    },
    "CanaryFunction": {"read the key list", "see how old the key is"},
    "InboxFunction": {
        "read the key list",
        "read the access document",
        "read an earlier version of the access document",
        "read the list of users",
        "sign",
        "sign with a rotated key",
        "read a user's script",
        "write a script",
        "read a rule",
        "list the rules",
        "read an input",
        "keep a job's record",
        "send a dead letter",
        "order the head node",
    },
    "operator": {
        "read a rule",
        "list the rules",
        "write a rule",
        "take a dead letter",
        "send to the inbox's queue",
        "take what was not recorded",
        "send to the records' queue",
    },
    "pipeline": {"write an object of the inbox"},
    "RecorderFunction": {"keep a job's record", "keep a heartbeat", "take from the records' queue"},
    "HealthFunction": {"read a heartbeat"},
    "alice": set(),
}
# What an administrator may do is everything but this; the calls that would do harm are left out.
DENIED_TO_ADMINISTRATOR = {
    "order the head node",
    "sign",
    "sign with a rotated key",
    "sign with a key without the tag",
    "sign with another algorithm",
    "assume the token function's role",
    "write a rule",
    "write a script",
    "write output",
    "write live output",
    "write the list of users",
    "send to the inbox's queue",
    "send a dead letter",
    "send to the records' queue",
    "send what was not recorded",
}


def decision(credentials: Credentials, call: Call, names: dict[str, str]) -> str:
    try:
        call(lambda service: client_of(service, credentials), names)
    except ClientError as exc:
        code = exc.response["Error"]["Code"]
        if code in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"):
            return "denied"
        raise
    return "allowed"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("who", ALLOWED)
def test_a_role_may_do_what_it_needs_and_nothing_else(
    who: str, call: str, credentials: dict[str, Credentials], names: dict[str, str]
) -> None:
    expected = "allowed" if call in ALLOWED[who] else "denied"

    assert expected == decision(credentials[who], CALLS[call], names)


@pytest.mark.parametrize("call", sorted(DENIED_TO_ADMINISTRATOR))
def test_a_resources_own_policy_keeps_even_an_administrator_out(
    call: str, credentials: dict[str, Credentials], names: dict[str, str]
) -> None:
    assert decision(credentials["administrator"], CALLS[call], names) == "denied"


def test_an_administrator_may_read_the_key_list(credentials: dict[str, Credentials], names: dict[str, str]) -> None:
    assert decision(credentials["administrator"], CALLS["read the key list"], names) == "allowed"


PROBE = """
import botocore.session

def handler(event, context):
    client = botocore.session.get_session().create_client("kms")
    try:
        client.sign(KeyId=event["key"], Message=b"x" * 32, MessageType="DIGEST",
                    SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256")
    except client.exceptions.ClientError as exc:
        return exc.response["Error"]["Code"]
    return "signed"
"""


@pytest.mark.parametrize(
    ("role", "expected"),
    [("token", "signed"), ("authorizer", "AccessDeniedException"), ("jwks", "AccessDeniedException")],
)
def test_a_running_function_is_bound_by_its_role(role: str, expected: str, outputs: dict[str, str]) -> None:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("probe.py", PROBE)
    functions = aws_emulator.client("lambda", principals.administrator())
    name = f"probe-{uuid.uuid4().hex[:8]}"
    functions.create_function(
        FunctionName=name,
        Role=f"arn:aws:iam::{ACCOUNT}:role/{stacks.API_STACK}-{role}-{REGION}",
        Runtime="python3.13",
        Handler="probe.handler",
        Timeout=10,
        Code={"ZipFile": package.getvalue()},
    )
    try:
        answer = functions.invoke(FunctionName=name, Payload=json.dumps({"key": outputs["SigningKeyArn"]}))
        assert expected == json.load(answer["Payload"])
    finally:
        functions.delete_function(FunctionName=name)


@pytest.mark.parametrize("access_key_id", ["test", ACCOUNT, "AKIAIOSFODNN7EXAMPLE"])
def test_a_key_that_nobody_was_given_opens_nothing(access_key_id: str) -> None:
    stranger = aws_emulator.client("sts", Credentials(access_key_id, "test"))

    with pytest.raises(ClientError, match=r"security token included in the request is invalid"):
        stranger.get_caller_identity()


def test_a_wrong_secret_opens_nothing() -> None:
    forged = Credentials(principals.credentials("alice").access_key_id, "not-her-secret")

    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        aws_emulator.client("sts", forged).get_caller_identity()


def test_an_unsigned_request_reads_no_object(names: dict[str, str]) -> None:
    from botocore import UNSIGNED
    from botocore.config import Config

    anonymous = boto3.client(
        "s3",
        endpoint_url=aws_emulator.endpoint(),
        region_name=REGION,
        config=Config(signature_version=UNSIGNED),
    )

    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        anonymous.get_object(Bucket=names["BucketName"], Key="headnode/configure.sh")
