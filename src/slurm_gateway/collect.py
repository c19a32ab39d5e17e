"""The files that a submit asks to have collected, beside those that its script names: they travel in the job's `extra`.

The head node reads them there when the job has ended (output_files.py), so they are the job's own from its first
moment, whatever its script is written in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .sbatch import Translation

LONGEST = 800
"""The most characters that all patterns together may take up: `extra` holds 1024, and the marker is in it too."""

_WORD = "slurm-gateway-collect:"
_PLAIN = "/*?[]!-_.~"


def is_pattern(value: object) -> bool:
    """Tell whether a value can be a pattern: a text that stays below where it begins."""
    return isinstance(value, str) and bool(value) and "\0" not in value and ".." not in value.split("/")


def word(patterns: Sequence[str]) -> str:
    """Return the patterns as they stand in `extra`."""
    return _WORD + ",".join(quote(pattern, safe=_PLAIN) for pattern in patterns)


def added(translation: Translation, patterns: Sequence[str]) -> Translation:
    """Return a translation whose first job asks to have the patterns' files collected."""
    if not patterns:
        return translation
    first, *others = translation.jobs
    extra = " ".join(filter(None, [str(first.get("extra") or ""), word(patterns)]))
    return replace(translation, jobs=(first | {"extra": extra}, *others))
