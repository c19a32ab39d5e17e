"""Patterns of the access document: `*` stands for any text, slashes and nothing among it; all else for itself.

Who is compared with one chooses the text, such as a branch's name: no text may take long, as some do with a regular
expression of several wildcards.
"""

from __future__ import annotations


def fits(pattern: str, text: str) -> bool:
    """Tell whether a whole text is what a pattern says, small and capital letters told apart."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    place, end = len(first), len(text) - len(last)
    if end < place or not (text.startswith(first) and text.endswith(last)):
        return False
    for part in middle:
        # The first place will do: what comes before it, and after it, is any text.
        place = text.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return True
