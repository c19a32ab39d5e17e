"""Orders to the head node: whose turn it is where more is asked than can be done at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from slurm_gateway_node.orders import InputOrder, Orders, WatchOrder

from slurm_gateway import head_node_orders

INPUT = head_node_orders.InputOrder(
    cluster="c", job_id="12", user="alice", submitted=1795250000, marker=f"slurm-gateway:1795250000:{'a' * 32}:",
    bucket="bucket", key="inbox/a", version="v", size=3, path="/home/alice/inbox/a",
)  # fmt: skip
WATCH = head_node_orders.WatchOrder("c", "13", "bob", 1795250000, "stdout", 0)


class World:
    """SQS, and what orders are carried out by; copies go on until they are let go."""

    def __init__(self) -> None:
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self.hidden: list[tuple[str, int]] = []
        self.deleted: set[str] = set()
        self.begun: list[str] = []
        self.watched: list[str] = []
        self.let_go = threading.Event()
        self.news = threading.Condition()

    def put(self, name: str, body: str) -> None:
        self.messages.put({"ReceiptHandle": name, "Body": body, "Attributes": {"ApproximateReceiveCount": "1"}})

    def until(self, condition: Callable[[], bool]) -> None:
        with self.news:
            assert self.news.wait_for(condition, 20), (self.begun, self.watched, self.deleted)

    def tell(self, change: Callable[[], object]) -> None:
        with self.news:
            change()
            self.news.notify_all()

    def receive_message(self, **_: object) -> dict[str, Any]:
        try:
            return {"Messages": [self.messages.get(timeout=0.01)]}
        except queue.Empty:
            return {}

    def delete_message(self, *, ReceiptHandle: str, **_: object) -> None:  # noqa: N803 - as SQS has it
        self.tell(lambda: self.deleted.add(ReceiptHandle))

    def change_message_visibility(self, *, ReceiptHandle: str, VisibilityTimeout: int, **_: object) -> None:  # noqa: N803
        self.tell(lambda: self.hidden.append((ReceiptHandle, VisibilityTimeout)))

    def copy(self, order: InputOrder, **_: object) -> None:
        self.tell(lambda: self.begun.append(order.user))
        assert self.let_go.wait(20)

    def watch(self, order: WatchOrder) -> None:
        self.tell(lambda: self.watched.append(order.user))


@pytest.fixture
def world() -> Iterator[World]:
    made, ending = World(), threading.Event()
    sqs, inputs, live = (cast("Any", made) for _ in range(3))
    thread = threading.Thread(target=Orders(sqs, "url", "c", inputs, live).run, args=(ending,))
    thread.start()
    yield made
    ending.set()
    made.let_go.set()
    thread.join(20)
    assert not thread.is_alive()


def test_one_users_copies_hold_up_no_others_and_no_readers(world: World) -> None:
    for number in range(10):
        world.put(f"alice-{number}", head_node_orders.body(replace(INPUT, path=f"/home/alice/{number}")))
    world.put("watch", head_node_orders.body(WATCH))
    world.put("bob", head_node_orders.body(replace(INPUT, user="bob")))

    world.until(lambda: "bob" in world.begun and world.watched == ["bob"])

    assert sorted(world.begun) == ["alice", "alice", "alice", "bob"]
    world.until(
        lambda: {f"alice-{number}" for number in range(3, 10)} <= {name for name, time in world.hidden if time == 120}
    )

    world.let_go.set()
    world.until(lambda: len(world.deleted) == 12)


@pytest.mark.parametrize("body", ["{}", "[" * 100_000], ids=["empty", "deep"])
def test_what_is_no_order_is_left_to_the_dead_letters(world: World, body: str) -> None:
    world.put("bad", body)

    world.until(lambda: ("bad", 2) in world.hidden)
    assert not world.deleted
