"""Strict reading of JSON: what is not known by name is refused with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from local.gateway.errors import ConfigurationError

Json = Mapping[str, Any]

TAG_VALUE = "x-amazon-apigateway-tag-value"


def only(part: Json, known: Iterable[str], place: str) -> None:
    """Refuse any key of an object that is not among the known ones."""
    if not isinstance(part, Mapping):
        raise ConfigurationError(place, "an object is expected")
    for key in part:
        if key not in known:
            raise ConfigurationError(f"{place}.{key}", "this key is unknown to the local gateway")


def ignored(part: Json, keys: Iterable[str], place: str) -> None:
    """Pass over documentation, but not over an API Gateway extension hidden in it."""
    for key in keys:
        for where, name in _extensions(part.get(key), f"{place}.{key}"):
            if name != TAG_VALUE:
                raise ConfigurationError(where, f"the extension {name} is unknown to the local gateway")


def _extensions(part: object, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(part, Mapping):
        for key, value in part.items():
            if str(key).startswith("x-amazon-apigateway-"):
                yield f"{place}.{key}", key
            yield from _extensions(value, f"{place}.{key}")
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from _extensions(value, f"{place}[{index}]")


def refuse_intrinsics(part: object, place: str) -> None:
    """Refuse what is left of CloudFormation: Ref, Fn::..., Condition."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if len(part) == 1 and (key in ("Ref", "Condition") or str(key).startswith("Fn::")):
                raise ConfigurationError(place, f"unresolved intrinsic {key}: {value!r}")
            refuse_intrinsics(value, f"{place}.{key}")
    elif isinstance(part, list):
        for index, value in enumerate(part):
            refuse_intrinsics(value, f"{place}[{index}]")
