"""YAML read node by node, so that whatever is wrong with a document is told with its line.

Nothing is built from a text that could become large or deep on the way: no anchors, no aliases, no deep nesting.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

# libyaml's loader is ten times as fast; PyYAML is built without it on some machines.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 10
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_TAG = "tag:yaml.org,2002:"

Node = yaml.Node


class YamlError(ValueError):
    """A text that is not one plain YAML document; the message has the line."""


def compose(text: str) -> Node | None:
    """Return a document's root, None if it is empty; YamlError if it is not YAML, or more than plain YAML."""
    try:
        _check_events(text)
        root: Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        raise YamlError(f"{line(exc.problem_mark or exc.context_mark)}not YAML: {exc.problem or exc.context}") from exc
    except yaml.YAMLError as exc:
        raise YamlError(f"not YAML: {exc}") from exc
    return root


def line(mark: Any) -> str:  # noqa: ANN401 - libyaml and PyYAML have a class of marks each
    """Return how a message about a place begins."""
    return f"line {mark.line + 1}: " if mark else ""


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlError(f"{line(event.start_mark)}anchors and aliases are not allowed")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise YamlError(f"{line(event.start_mark)}nested too deep")


class NodeReader:
    """Reads values from nodes and collects what is wrong with them in `problems`, a sentence each."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def wrong(self, node: Node, what: str) -> None:
        """Note what is wrong at a node."""
        self.problems.append(f"{line(node.start_mark)}{what}")

    def fields(self, node: Node, what: str, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Node]:
        """Return a mapping's values by name; any other name is wrong, and so is a name that stands twice."""
        known = (*required, *optional)
        found: dict[str, Node] = {}
        for name, key, value in self.pairs(node, what):
            if name not in known:
                self.wrong(key, f"{what} has no {name!r}; it has {', '.join(known)}")
            else:
                found[name] = value
        if isinstance(node, yaml.MappingNode):
            for name in required:
                if name not in found:
                    self.wrong(node, f"{what} lacks {name}")
        return found

    def pairs(self, node: Node, what: str) -> list[tuple[str, Node, Node]]:
        """Return a mapping's names, with the nodes of name and value."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, f"{what} should be a mapping")
            return []
        found: dict[str, tuple[str, Node, Node]] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            if name in found:
                self.wrong(key, f"{name} stands twice")
            else:
                found[name] = (name, key, value)
        return list(found.values())

    def text(self, node: Node | None, what: str) -> str:
        """Return a text, "" where it is missing or none."""
        if node is None:
            return ""
        # YAML reads `no` as false and `007` as a number: such a text wants quotes.
        if not isinstance(node, yaml.ScalarNode) or node.tag != f"{_TAG}str":
            self.wrong(node, f"{what} should be text; put it in quotes if it looks like something else")
            return ""
        return str(node.value)

    def integer(self, node: Node) -> int | None:
        """Return a whole number, None if it is none: YAML 1.1 also has octal and base 60, which nobody means."""
        if not isinstance(node, yaml.ScalarNode) or node.tag != f"{_TAG}int":
            return None
        return int(node.value) if _INTEGER.fullmatch(node.value) else None

    def scalar(self, node: Node, what: str) -> str | int | bool | None:
        """Return a text, a whole number, true, false or null; anything else is wrong."""
        if isinstance(node, yaml.ScalarNode):
            if node.tag == f"{_TAG}str":
                return str(node.value)
            if node.tag == f"{_TAG}null":
                return None
            if node.tag == f"{_TAG}bool" and node.value.lower() in {"true", "false"}:
                return bool(node.value.lower() == "true")
            if (number := self.integer(node)) is not None:
                return number
        self.wrong(node, f"{what} should be text, a whole number, true or false; put it in quotes if it is text")
        return None
