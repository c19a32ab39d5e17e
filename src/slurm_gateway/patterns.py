"""Patterns of the access document: `*` stands for any text, slashes and nothing among it; all else for itself.

Whoever is tried by a pattern chooses the text. So a star takes the shortest text that its next part follows, and never
another one later (an atomic group): stars that try all ways together would take hours over a long text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def fits(pattern: str, text: str) -> bool:
    """Tell whether a whole text is what a pattern says, small and capital letters told apart."""
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(joined(pattern.split("*"), ".", re.escape, re.escape), re.DOTALL)


def joined(parts: Sequence[str], letter: str, of_part: Callable[[str], str], of_last: Callable[[str], str]) -> str:
    """Return the regular expression of parts with a star between each two; `letter` is what a star takes many of.

    `of_part` gives that of a part, `of_last` that of the last, which has to reach the end and so is tried everywhere.
    """
    first, *others = parts
    if not others:
        return of_last(first)
    middle = "".join(f"(?>{letter}*?{of_part(part)})" for part in others[:-1])
    return f"{of_part(first)}{middle}{letter}*{of_last(others[-1])}"
