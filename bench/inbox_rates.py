"""What the inbox's rate stands beside: messages through an empty function, and submits to slurmrestd itself."""

from __future__ import annotations

import io
import time
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.clients import alice_token, sides, stack_environment
from bench.inbox_faults import client, resource

_NOTHING = "def handler(event, context):\n    return {'batchItemFailures': []}\n"


def empty_function(messages: int) -> float:
    """Give messages a second through a queue and mapping as the inbox's, to a function that does nothing."""
    sqs, functions = client("sqs"), client("lambda")
    name = f"bench-{uuid.uuid4().hex[:8]}"
    like = functions.list_event_source_mappings(FunctionName=resource("InboxFunction"))["EventSourceMappings"][0]
    role = functions.get_function(FunctionName=resource("InboxFunction"))["Configuration"]["Role"]
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "360"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    functions.create_function(
        FunctionName=name, Runtime="python3.13", Role=role, Handler="nothing.handler", Code={"ZipFile": _zipped()}
    )
    mapping: dict[str, Any] = {}
    try:
        for first in range(0, messages, 10):
            entries = [{"Id": str(number), "MessageBody": "x"} for number in range(first, min(first + 10, messages))]
            sqs.send_message_batch(QueueUrl=url, Entries=entries)
        begin = time.monotonic()
        mapping = functions.create_event_source_mapping(
            EventSourceArn=arn, FunctionName=name, BatchSize=like["BatchSize"],
            ScalingConfig=like["ScalingConfig"], FunctionResponseTypes=like["FunctionResponseTypes"],
        )  # fmt: skip
        while _depth(sqs, url):
            time.sleep(0.05)
        return messages / (time.monotonic() - begin)
    finally:
        if mapping:
            functions.delete_event_source_mapping(UUID=mapping["UUID"])
        functions.delete_function(FunctionName=name)
        sqs.delete_queue(QueueUrl=url)


def slurmrestd(submits: int, clients: int) -> float:
    """Give submits a second to slurmrestd itself; the jobs are held, and named as the benchmarks' are."""
    environment = stack_environment()
    _, side = sides(environment, alice_token(environment))
    begin = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: side.submit(), range(submits)))
    return submits / (time.monotonic() - begin)


def _depth(sqs: Any, url: str) -> int:  # noqa: ANN401 (boto3 has no types)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def _zipped() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("nothing.py", _NOTHING)
    return data.getvalue()
