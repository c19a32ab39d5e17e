"""JSON in a request's body, and what is wrong with it where it is none."""

from __future__ import annotations

import json
from typing import Any

from . import strict_json
from .problem import Problem

LARGEST = 4096
"""The most bytes of a body that asks for little."""


def read(body: bytes, *, advice: str, largest: int | None = LARGEST) -> Any:  # noqa: ANN401 - it is whatever the text says
    """Return what a body says. `advice` is a sentence on what should be sent instead.

    Raises Problem: 413 for more than `largest` bytes (None: there may be any number); 400 for what is not JSON, with
    line and column.
    """
    if largest is not None and len(body) > largest:
        raise Problem(
            413,
            "body-too-long",
            title="Body too long",
            detail=f"The body has {len(body)} bytes; such a request has {largest} at most.",
        )
    try:
        return strict_json.loads(body)
    except json.JSONDecodeError as exc:
        raise not_json(f"line {exc.lineno}, column {exc.colno}: {exc.msg}", advice) from exc
    except ValueError as exc:
        raise not_json(str(exc), advice) from exc


def not_json(what: str, advice: str) -> Problem:
    """Return the 400 for a body that is not JSON."""
    return Problem(400, "body-not-json", title="Body is not JSON", detail=f"{what[0].upper()}{what[1:]}. {advice}")
