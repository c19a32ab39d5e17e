"""How often the feed looks at the queue."""

from __future__ import annotations

import pytest
from slurm_gateway_node import feed


@pytest.mark.parametrize(
    ("taken", "expected"),
    [(0.0, 2.0), (0.1, 1.9), (1.0, 2.0), (3.0, 6.0), (9.5, 10.0), (60.0, 10.0)],
)
def test_slurm_is_left_alone_most_of_the_time_and_never_for_long(taken: float, expected: float) -> None:
    assert feed.pause(taken) == pytest.approx(expected)
