"""CloudFormation's intrinsic functions and conditions, evaluated against given values.

Nothing is guessed: an intrinsic function that this module does not know, or a reference that nobody gave it a
value for, is a :class:`TemplateError` that names the place in the template.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class TemplateError(Exception):
    """A template that cannot be translated or resolved; the message names the place in it."""


class _NoValue:
    """What ``AWS::NoValue`` gives: the property or list item that holds it goes away."""


_NO_VALUE = _NoValue()


@dataclass(frozen=True)
class References:
    """What references in a template stand for.

    Takes the values of ``Ref`` (parameters, pseudo parameters, physical ids of resources), the attributes of
    resources for ``Fn::GetAtt``, exported values for ``Fn::ImportValue``, the template's mappings, and its
    conditions (see :func:`evaluate_conditions`).
    """

    refs: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    exports: Mapping[str, Any] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)


def evaluate_conditions(template: Mapping[str, Any], references: References) -> dict[str, bool]:
    """Evaluate the template's ``Conditions``, which may name one another.

    Raises TemplateError where one cannot be evaluated, or where they go in a circle.
    """
    definitions: Mapping[str, Any] = template.get("Conditions", {})
    known: dict[str, bool] = {}
    under_way: list[str] = []

    def value_of(name: str, path: str) -> bool:
        if name not in definitions:
            raise TemplateError(f"{path}: there is no condition {name!r}")
        if name in under_way:
            raise TemplateError(f"{path}: the conditions {' -> '.join([*under_way, name])} go in a circle")
        if name not in known:
            under_way.append(name)
            known[name] = _condition(definitions[name], references, f"Conditions/{name}", value_of)
            under_way.pop()
        return known[name]

    return {name: value_of(name, "Conditions") for name in definitions}


def _condition(expression: object, references: References, path: str, value_of: Callable[[str, str], bool]) -> bool:
    name, argument = _single(expression, path)

    def each(count: range) -> list[bool]:
        items = _list(argument, f"{path}/{name}")
        if len(items) not in count:
            raise TemplateError(f"{path}/{name}: it takes {count.start} to {count.stop - 1} conditions")
        return [_condition(item, references, f"{path}/{name}/{i}", value_of) for i, item in enumerate(items)]

    match name:
        case "Condition":
            return value_of(str(argument), path)
        case "Fn::Equals":
            left, right = _pair(argument, f"{path}/{name}")
            sides = [resolve(side, references, f"{path}/{name}") for side in (left, right)]
            return bool(sides[0] == sides[1])
        case "Fn::Not":
            return not each(range(1, 2))[0]
        case "Fn::And":
            return all(each(range(2, 11)))
        case "Fn::Or":
            return any(each(range(2, 11)))
        case _:
            raise TemplateError(f"{path}: {name} is not known in a condition")


def resolve(value: object, references: References, path: str = "") -> Any:  # noqa: ANN401 (JSON)
    """Evaluate every intrinsic function within a value of the template.

    Takes the value, what references stand for, and the place of the value in the template, for messages.
    Gives a new value; properties and list items that are ``AWS::NoValue`` are gone. Raises TemplateError.
    """
    resolved = _resolve(value, references, path)
    if resolved is _NO_VALUE:
        raise TemplateError(f"{path or 'the value'}: AWS::NoValue leaves nothing")
    return resolved


def _resolve(value: object, references: References, path: str) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        if any(key == "Ref" or str(key).startswith("Fn::") for key in value):
            return _intrinsic(value, references, path)
        pairs = ((key, _resolve(item, references, f"{path}/{key}")) for key, item in value.items())
        return {key: item for key, item in pairs if item is not _NO_VALUE}
    if isinstance(value, list):
        items = (_resolve(item, references, f"{path}/{i}") for i, item in enumerate(value))
        return [item for item in items if item is not _NO_VALUE]
    return value


def _intrinsic(value: object, references: References, path: str) -> Any:  # noqa: ANN401
    name, argument = _single(value, path)
    function = _FUNCTIONS.get(name)
    if function is None:
        raise TemplateError(f"{path}: {name} is not known; known are {', '.join(sorted(_FUNCTIONS))}")
    return function(argument, references, f"{path}/{name}")


def _ref(argument: object, references: References, path: str) -> Any:  # noqa: ANN401
    if argument == "AWS::NoValue":
        return _NO_VALUE
    return _look_up(references.refs, str(argument), path)


def _get_att(argument: object, references: References, path: str) -> Any:  # noqa: ANN401
    if isinstance(argument, str):
        resource, _, attribute = argument.partition(".")
    else:
        resource, attribute = (str(part) for part in _pair(_resolve(argument, references, path), path))
    attributes = _look_up(references.attributes, resource, path)
    return _look_up(attributes, attribute, f"{path}/{resource}")


def _sub(argument: object, references: References, path: str) -> str:
    text, given = (argument, {}) if isinstance(argument, str) else _pair(argument, path)
    variables = _resolve(given, references, path)

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        if name.startswith("!"):
            return "${" + name[1:] + "}"
        if name in variables:
            found = variables[name]
        elif "." in name:
            found = _get_att(name, references, path)
        else:
            found = _ref(name, references, path)
        return _text(found, f"{path}/{name}")

    return re.sub(r"\$\{(?P<name>[^}]*)\}", replacement, _text(text, path))


def _join(argument: object, references: References, path: str) -> str:
    separator, items = _pair(argument, path)
    parts = _list(_resolve(items, references, path), path)
    return _text(separator, path).join(_text(part, f"{path}/{i}") for i, part in enumerate(parts))


def _select(argument: object, references: References, path: str) -> Any:  # noqa: ANN401
    position, items = (_resolve(part, references, path) for part in _pair(argument, path))
    choices = _list(items, path)
    if not str(position).isdigit() or int(position) >= len(choices):
        raise TemplateError(f"{path}: there is no item {position} among {len(choices)}")
    return choices[int(position)]


def _split(argument: object, references: References, path: str) -> list[str]:
    separator, text = _pair(argument, path)
    return _text(_resolve(text, references, path), path).split(_text(separator, path))


def _if(argument: object, references: References, path: str) -> Any:  # noqa: ANN401
    parts = _list(argument, path)
    if len(parts) != 3:
        raise TemplateError(f"{path}: it takes a condition and two values")
    holds = _look_up(references.conditions, str(parts[0]), path)
    # Only the branch that counts is resolved: the other may name what exists under the other condition only.
    return _resolve(parts[1] if holds else parts[2], references, f"{path}/{1 if holds else 2}")


def _import_value(argument: object, references: References, path: str) -> Any:  # noqa: ANN401
    return _look_up(references.exports, _text(_resolve(argument, references, path), path), path)


def _find_in_map(argument: object, references: References, path: str) -> Any:  # noqa: ANN401
    keys = _list(_resolve(argument, references, path), path)
    if len(keys) != 3:
        raise TemplateError(f"{path}: it takes a mapping and two keys")
    found: Any = references.mappings
    for key in keys:
        found = _look_up(found, str(key), path)
    return found


_FUNCTIONS: dict[str, Callable[[object, References, str], Any]] = {
    "Ref": _ref,
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::If": _if,
    "Fn::ImportValue": _import_value,
    "Fn::FindInMap": _find_in_map,
}


def _look_up(values: Mapping[str, Any], name: str, path: str) -> Any:  # noqa: ANN401
    if name not in values:
        raise TemplateError(f"{path}: nothing is known of {name!r}")
    return values[name]


def _single(value: object, path: str) -> tuple[str, object]:
    if not isinstance(value, dict) or len(value) != 1:
        raise TemplateError(f"{path}: an intrinsic function stands alone, with one key")
    name, argument = next(iter(value.items()))
    return str(name), argument


def _pair(value: object, path: str) -> tuple[Any, Any]:
    items = _list(value, path)
    if len(items) != 2:
        raise TemplateError(f"{path}: it takes two values, not {len(items)}")
    return items[0], items[1]


def _list(value: object, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise TemplateError(f"{path}: a list is wanted, not {type(value).__name__}")
    return value


def _text(value: object, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise TemplateError(f"{path}: text is wanted, not {type(value).__name__}")
    return str(value)
