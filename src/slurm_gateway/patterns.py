"""Patterns of the access document: `*` stands for any text, slashes and nothing among it; all else for itself."""

from __future__ import annotations

import re


def fits(pattern: str, text: str) -> bool:
    """Tell whether a whole text is what a pattern says, small and capital letters told apart."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
