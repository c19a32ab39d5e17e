"""YAML read strictly: nodes, which know their lines, and everything that is wrong collected.

A small text can neither become large nor deep: anchors and aliases are refused before anything is built.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from .errors import AccessDocumentError

# libyaml's loader is ten times as fast; PyYAML is built without it on some machines.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 10


def compose(text: str, *, longest: int) -> yaml.Node | None:
    """Take a text; return its root node, None if it is empty.

    Raises AccessDocumentError if it is longer than `longest` characters, deep, or not YAML.
    """
    if len(text) > longest:
        raise AccessDocumentError([f"the document is longer than {longest} characters"])
    try:
        _check_events(text)
        root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        where = line(exc.problem_mark or exc.context_mark)
        raise AccessDocumentError([f"{where}not YAML: {exc.problem or exc.context}"]) from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise AccessDocumentError([f"not YAML: {exc}"]) from exc
    return root


def line(mark: Any) -> str:  # noqa: ANN401 - libyaml and PyYAML have a class of marks each
    """Return how a problem begins that is at a mark: with its line."""
    return f"line {mark.line + 1}: " if mark else ""


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise AccessDocumentError([f"{line(event.start_mark)}anchors and aliases are not allowed"])
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise AccessDocumentError([f"{line(event.start_mark)}nested too deep"])


class NodeReader:
    """Turns nodes into values, and what they are not into `problems`, one sentence each."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def fields(
        self, node: yaml.Node, what: str, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
    ) -> dict[str, yaml.Node]:
        """Return a mapping's values by key: every required one, and none that is not named."""
        known = (*required, *optional)
        fields = self.pairs(node, what)
        for name, (key, _) in fields.items():
            if name not in known:
                self.wrong(key, f"{what} has no {name!r}; it has {', '.join(known)}")
        if isinstance(node, yaml.MappingNode):
            for name in required:
                if name not in fields:
                    self.wrong(node, f"{what} lacks {name}")
        return {name: value for name, (_, value) in fields.items() if name in known}

    def pairs(self, node: yaml.Node, what: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return a mapping's keys and values by the keys' text."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, f"{what} should be a mapping")
            return {}
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if name in pairs:
                self.wrong(key, f"{name} stands twice")
            else:
                pairs[name] = (key, value)
        return pairs

    def items(self, node: yaml.Node | None, what: str) -> list[yaml.Node]:
        """Return a list's nodes; none if there is no node."""
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.wrong(node, f"{what} should be a list")
            return []
        return list(node.value)

    def text(self, node: yaml.Node | None, what: str) -> str:
        """Return a text; "" if there is no node, or it is something else."""
        if node is None:
            return ""
        # YAML reads `no` as false and `007` as a number: such a name wants quotes.
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            self.wrong(node, f"{what} should be text; put it in quotes if it looks like something else")
            return ""
        # PyYAML's own loader, unlike libyaml's, reads half of a surrogate pair where it is escaped; no encoding has it.
        if any("\ud800" <= letter <= "\udfff" for letter in node.value):
            self.wrong(node, f"{what} has half of a surrogate pair in it")
            return ""
        return str(node.value)

    def flag(self, node: yaml.Node | None, what: str) -> bool:
        """Return what `true` or `false` says; false if there is no node."""
        if node is None:
            return False
        # YAML 1.1 also takes yes, on and their like for true: they are as well misspellings of something else.
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:bool" or node.value not in _FLAGS:
            self.wrong(node, f"{what} should be true or false")
            return False
        return _FLAGS[node.value]

    def scalar(self, node: yaml.Node, what: str) -> str | int | bool | None:
        """Return a text, a whole number, true, false or null; anything else is wrong."""
        if isinstance(node, yaml.ScalarNode):
            if node.tag == "tag:yaml.org,2002:str":
                return str(node.value)
            if node.tag == "tag:yaml.org,2002:null":
                return None
            if node.tag == "tag:yaml.org,2002:bool" and node.value in _FLAGS:
                return _FLAGS[node.value]
            if (number := self.integer(node)) is not None:
                return number
        self.wrong(node, f"{what} should be text, a whole number, true or false; put it in quotes if it is text")
        return None

    @staticmethod
    def integer(node: yaml.Node) -> int | None:
        """Return a whole number that is written plainly, None for anything else."""
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:int":
            return None
        # Plain decimal: YAML 1.1 also has octal and base 60, which nobody means here.
        return int(node.value) if re.fullmatch(r"0|[1-9][0-9]{0,8}", node.value) else None

    def wrong(self, node: yaml.Node, what: str) -> None:
        """Note a problem at a node."""
        self.problems.append(f"{line(node.start_mark)}{what}")


_FLAGS = {"true": True, "false": False}
