"""Lists of an array's tasks, read and written as the head node does."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from slurm_gateway_node import task_lists as head_nodes

from slurm_gateway import task_lists


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([3, 1, 2, 2, 9], "1-3,9"),
        (range(0, 101, 10), "0-100:10"),
        ([1, 3, 4, 5], "1,3-5"),
        ([1, 3, 5, 6], "1-5:2,6"),
    ],
)
def test_a_list_is_written_as_the_head_node_writes_it(tasks: Iterable[int], text: str) -> None:
    assert task_lists.text(tasks) == head_nodes.text(tasks) == text
    assert task_lists.parse(text) == set(tasks)


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("[1-7:3%2]", {1, 4, 7}),
        ("1-3,...", {1, 2, 3}),
        ("1,x,5-,3-2,\N{SUPERSCRIPT TWO}", {1, 5}),
        ("1-4:0", {1, 2, 3, 4}),
    ],
)
def test_of_a_list_what_it_does_not_say_is_not_known(text: str, tasks: set[int]) -> None:
    assert task_lists.parse(text) == tasks


def test_lists_that_are_joined_stay_cut_short() -> None:
    assert task_lists.joined(["1,3", "2,4-6"]) == "1-6"
    assert task_lists.joined(["1,3", "2,..."]) == "1-3,..."
    assert task_lists.joined(["", "..."]) == "..."
