from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slurm_gateway.cached import FRESH_FOR, USABLE_FOR, Cached
from slurm_gateway.errors import UnavailableError

if TYPE_CHECKING:
    from emulation import Clock


class Source:
    """Counts readings; fails while `broken`."""

    def __init__(self) -> None:
        self.readings = 0
        self.broken = False

    def read(self) -> int:
        self.readings += 1
        if self.broken:
            raise UnavailableError("SSM is down")
        return self.readings


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def cached(source: Source, clock: Clock) -> Cached[int]:
    return Cached(source.read, clock=clock, wall_clock=lambda: 0.0)


def test_a_young_value_is_not_read_again(cached: Cached[int], clock: Clock) -> None:
    cached.get()
    clock.seconds += FRESH_FOR - 0.1

    assert cached.get() == 1


def test_an_old_value_is_read_again(cached: Cached[int], clock: Clock) -> None:
    cached.get()
    clock.seconds += FRESH_FOR

    assert cached.get() == 2


def test_a_failing_source_leaves_the_last_value_in_force_for_a_bounded_time(
    cached: Cached[int], source: Source, clock: Clock
) -> None:
    cached.get()
    source.broken = True
    clock.seconds += USABLE_FOR - 0.1
    assert cached.get() == 1

    clock.seconds += 0.1
    with pytest.raises(UnavailableError, match="SSM is down"):
        cached.get()


def test_a_dropped_key_is_dead_within_a_minute_though_the_gateway_holds_its_answers_for_30_seconds() -> None:
    assert USABLE_FOR + 30 < 60


def test_a_failing_source_is_asked_once_a_second(cached: Cached[int], source: Source, clock: Clock) -> None:
    source.broken = True
    for _ in range(5):
        with pytest.raises(UnavailableError, match="SSM is down"):
            cached.get()
    assert source.readings == 1

    clock.seconds += 1
    with pytest.raises(UnavailableError):
        cached.get()
    assert source.readings == 2


def test_a_source_that_recovers_is_believed_again(cached: Cached[int], source: Source, clock: Clock) -> None:
    source.broken = True
    with pytest.raises(UnavailableError):
        cached.get()
    source.broken = False
    clock.seconds += 1

    assert cached.get() == 2


def test_age_counts_from_the_beginning_of_a_slow_reading(clock: Clock) -> None:
    def slow() -> float:
        clock.seconds += 10
        return clock.seconds

    cached = Cached(slow, clock=clock, wall_clock=lambda: 0.0)
    first = cached.get()
    clock.seconds += FRESH_FOR - 10

    assert cached.get() > first


def test_a_monotonic_clock_that_stood_still_in_a_frozen_environment_does_not_keep_a_value_young(
    source: Source, clock: Clock
) -> None:
    cached = Cached(source.read, clock=lambda: 0.0, wall_clock=clock)
    cached.get()
    clock.seconds += 3600

    assert cached.get() == 2


def test_a_value_that_is_older_than_asked_for_is_read_again(source: Source, clock: Clock) -> None:
    cached = Cached(source.read, clock=clock, wall_clock=clock)
    cached.get()
    clock.seconds += 1

    assert [cached.get(clock.seconds - 1), cached.get(clock.seconds), cached.get(clock.seconds)] == [1, 2, 2]


def test_a_value_that_is_older_than_asked_for_does_not_stand_in_for_one_that_cannot_be_read(
    source: Source, clock: Clock
) -> None:
    cached = Cached(source.read, clock=clock, wall_clock=clock)
    cached.get()
    clock.seconds += 1
    source.broken = True

    with pytest.raises(UnavailableError):
        cached.get(clock.seconds)
    assert cached.get() == 1
