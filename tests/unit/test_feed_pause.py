"""When the feed asks Slurm, and what it does where there is no answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from slurm_gateway_node import feed
from slurm_gateway_node.feed import Feed
from slurm_gateway_node.journal import Journal
from slurm_gateway_node.settings import Settings
from slurm_gateway_node.slurm_queue import Accounted, QueuedState, QueueError, parse_states
from slurm_gateway_node.store import Store
from slurm_gateway_node.tracker import Tracker
from test_tracker import SUBMITTED, record

SETTINGS = Settings(
    region="r", cluster="c", event_bus="b", slurm_prefix=Path("/opt/slurm"), slurm_etc=Path("/opt/slurm/etc"),
    slurmrestd_address="127.0.0.1", slurmrestd_port=6830, accounting=True,
)  # fmt: skip


class Slurm:
    """A queue and slurmdbd with a clock; `hanging` are the questions that get no answer for a minute."""

    def __init__(self) -> None:
        self.clock = float(SUBMITTED + 2)
        self.lines = "5|RUNNING|5"
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.accounted: list[Accounted] = []

    def answer(self, question: str) -> None:
        self.asked.append(question)
        if question in self.hanging:
            self.clock += 60
            raise QueueError(f"{question}: it took longer than 60 s")

    def states(self) -> tuple[float, list[QueuedState]]:
        self.answer("states")
        return self.clock, list(parse_states(self.lines))

    def jobs(self, numbers: Sequence[int]) -> tuple[float, list[dict[str, Any]]]:
        self.answer("jobs")
        return self.clock, [record(number, "RUNNING") for number in numbers]

    def accounts(self, numbers: Sequence[int]) -> list[Accounted]:  # noqa: ARG002 - as the queue has it
        self.answer("accounts")
        return self.accounted


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    slurm = Slurm()
    monkeypatch.setattr(feed.time, "monotonic", lambda: slurm.clock)
    monkeypatch.setattr(feed.time, "time", lambda: slurm.clock)
    return slurm


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "feed.db")


@pytest.fixture
def service(slurm: Slurm, store: Store, tmp_path: Path) -> Feed:
    tracker = Tracker(store, "c", ended=lambda _: None, now=lambda: slurm.clock)
    return Feed(SETTINGS, store, tracker, Journal(tmp_path), slurm)  # type: ignore[arg-type]


@pytest.fixture
def work(slurm: Slurm, service: Feed) -> Callable[[float], None]:
    """Look as the service does, for so many seconds."""

    def work_for(seconds: float) -> None:
        until = slurm.clock + seconds
        while slurm.clock < until:
            slurm.clock += service.look_at_queue()
            service.look_for_missing()

    return work_for


def state(store: Store) -> str:
    return str(next(iter(store.parts())).job["state"])


@pytest.mark.parametrize(
    ("taken", "expected"),
    [(0.0, 2.0), (0.1, 1.9), (1.0, 2.0), (3.0, 6.0), (9.5, 10.0), (60.0, 10.0)],
)
def test_slurm_is_left_alone_most_of_the_time_and_never_for_long(taken: float, expected: float) -> None:
    assert feed.pause(taken) == pytest.approx(expected)


def test_only_the_cheap_question_is_asked_again_at_once(slurm: Slurm, service: Feed) -> None:
    slurm.hanging = {"states"}
    assert service.look_at_queue() == pytest.approx(2)

    slurm.hanging = {"jobs"}
    assert service.look_at_queue() == pytest.approx(10)


def test_accounting_that_hangs_is_asked_seldom_and_hides_nothing_else(
    slurm: Slurm, service: Feed, work: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    work(1)
    slurm.lines, slurm.hanging = "", {"accounts"}

    work(1800)

    assert slurm.asked.count("accounts") < 8
    assert slurm.asked.count("states") > 500
    assert slurm.clock - service.queue_seen_at < 70
    slurm.hanging = set()
    work(700)
    said = [line.getMessage().partition(":")[0] for line in caplog.records]
    assert said[0] == "Slurm's accounting cannot be seen"
    assert said.count("Slurm's accounting cannot be seen") == said.count("Slurm's accounting is seen again") == 1
    assert not any("queue" in line for line in said)


def test_an_end_is_found_once_accounting_answers_again(
    slurm: Slurm, store: Store, work: Callable[[float], None]
) -> None:
    work(1)
    slurm.lines, slurm.hanging = "", {"accounts"}
    work(600)
    assert state(store) == "RUNNING"

    slurm.hanging = set()
    slurm.accounted = [Accounted("5", 5, "alice", "TIMEOUT", 0, 0, SUBMITTED, SUBMITTED, SUBMITTED + 9, 1, 1, "n1")]
    work(700)

    assert state(store) == "TIMEOUT"


def test_an_end_is_given_up_though_accounting_never_answers(
    slurm: Slurm, store: Store, work: Callable[[float], None]
) -> None:
    work(1)
    slurm.lines, slurm.hanging = "", {"accounts"}

    work(5000)

    assert state(store) == "UNKNOWN"
