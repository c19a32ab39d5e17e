"""JSON that can be read in one way only.

Two readers that differ over a duplicate key or a stray NaN would see two different tokens: here the edge,
there Slurm.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


def loads(data: bytes) -> Any:  # noqa: ANN401 - it is whatever the text says
    """Return what UTF-8 JSON text says.

    Raises ValueError on what is not JSON (json.JSONDecodeError where line and column are known), on a
    duplicate key, on NaN and Infinity, and on nesting too deep to follow.
    """
    # json.loads would guess UTF-16 and UTF-32 from bytes.
    text = data.decode("utf-8")
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse_constant)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} stands twice")
        result[key] = value
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
