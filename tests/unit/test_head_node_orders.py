"""Orders to the head node: what stands in a message, and where an input goes."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from slurm_gateway.errors import UnavailableError
from slurm_gateway.head_node_orders import HeadNodeOrders, InputOrder, WatchOrder, input_path

INPUT = InputOrder(
    cluster="parallelcluster",
    job_id="12",
    user="alice",
    submitted=1795250000,
    marker=f"slurm-gateway:1795250000:{'a' * 32}:{'c' * 64}",
    bucket="bucket",
    key="inbox/run/data.csv",
    version="v1",
    size=3,
    path="/home/alice/inbox/0123456789abcdef/data.csv",
)
WATCH = WatchOrder("parallelcluster", "12_3", "alice", 1795250000, "stdout", 4096)


def path_of(key: str, version: str = "v1") -> str:
    return input_path("/home/{user}/inbox", user="alice", bucket="bucket", key=key, version=version)


@pytest.fixture
def sqs(aws_environment: None) -> Any:
    return boto3.client("sqs", region_name="us-east-1")


def test_an_order_is_one_message_with_its_kind(sqs: Any) -> None:
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    orders = HeadNodeOrders(sqs, url)

    orders.send(INPUT)
    orders.send(WATCH)

    received = [json.loads(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"]) for _ in range(2)]
    shown = {each.pop("kind"): each for each in received}
    assert (InputOrder(**shown["input"]), WatchOrder(**shown["watch"])) == (INPUT, WATCH)


def test_an_order_that_may_not_have_been_sent_says_so(sqs: Any) -> None:
    with pytest.raises(UnavailableError, match="cannot send an order to the head node") as raised:
        HeadNodeOrders(sqs, "https://sqs.us-east-1.amazonaws.com/123456789012/nowhere").send(WATCH)

    assert isinstance(raised.value.__cause__, ClientError)


def test_an_input_has_a_directory_of_its_own_by_version_and_keeps_its_name() -> None:
    first, second = path_of("inbox/run/data.csv"), path_of("inbox/run/data.csv", "v2")

    assert (first.rpartition("/")[2], second.rpartition("/")[2]) == ("data.csv", "data.csv")
    assert first.startswith("/home/alice/inbox/")
    assert first != second
    assert first == path_of("inbox/run/data.csv")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("inbox/a b.csv", "a b.csv"),
        ("inbox/größe.csv", "größe.csv"),
        ("inbox/../../etc/passwd", "passwd"),
        ("inbox/..", "input"),
        ("inbox/directory/", "input"),
        ("inbox/line\nbreak", "line_break"),
        ("inbox/" + "ä" * 300, "ä" * 100),
    ],
)
def test_an_input_is_called_as_a_file_can_be(key: str, name: str) -> None:
    assert path_of(key).split("/")[5:] == [name]
