"""Patterns of keys, claims and names: what they mean, and that no text makes them slow."""

from __future__ import annotations

import random
import re
import time

import pytest

from slurm_gateway import patterns
from slurm_gateway.inbox_rule import KeyPattern

MEANING = {"**": "(?:.|\n)*", "*": "[^/]*", "?": "[^/]"}


def plain(pattern: str) -> str:
    """Return the regular expression that says what a key's pattern means, however slow it is."""
    return "".join(MEANING.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", pattern))


def test_a_pattern_means_what_it_says_however_its_stars_stand() -> None:
    dice = random.Random(17)
    fitting = 0
    for _ in range(15_000):
        pattern = "".join(dice.choice(["a", "b", "/", "*", "**", "?", "a", "b"]) for _ in range(dice.randint(1, 7)))
        key = "".join(dice.choice("aab/b\n") for _ in range(dice.randint(0, 9)))
        expected = re.fullmatch(plain(pattern), key) is not None
        assert KeyPattern(pattern).fits(key) is expected, (pattern, key)
        # To the access document a star is any text, and a question mark itself.
        anything = re.sub(r"\*+", "**", pattern).replace("?", "a")
        assert patterns.fits(anything.replace("**", "*"), key) is bool(re.fullmatch(plain(anything), key)), pattern
        fitting += expected
    assert fitting > 500


@pytest.mark.parametrize(
    "pattern", ["inbox/" + "*-" * 8 + "*.gz", "inbox/" + "**-" * 8 + "*.gz", "inbox/**" + "*-" * 8 + "**/-*-*.gz"]
)
def test_a_long_key_that_nearly_fits_is_told_at_once(pattern: str) -> None:
    begin = time.monotonic()

    assert not KeyPattern(pattern).fits("inbox/" + "-" * 1018)
    assert not patterns.fits("repo" + "*:" * 12 + "x", "repo" + ":" * 1000)
    assert time.monotonic() - begin < 2
