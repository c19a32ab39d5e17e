"""docs/events.md: its rules fit the events that there are, and its code is code."""

from __future__ import annotations

import ast
import json
import re
from textwrap import dedent
from typing import Any

import pytest
import yaml

from local.address import CHECKOUT
from slurm_gateway import job_event

PAGE = (CHECKOUT / "docs/events.md").read_text()
SCHEMA = json.loads((CHECKOUT / "schemas/slurm-job-state-change.json").read_text())["properties"]


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms as whatever stands in them."""


def _inside(loader: Any, _tag: str, node: Any) -> Any:
    return node.value if isinstance(node, yaml.ScalarNode) else loader.construct_sequence(node, deep=True)


Template.add_multi_constructor("!", _inside)


def blocks(section: str) -> list[str]:
    """Give the indented blocks of a section."""
    text = PAGE.partition(f"### {section}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    return [dedent(block) for block in re.findall(r"(?:^(?:    .*)?\n)*^    .*\n", text, re.MULTILINE)]


SECTIONS = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)


def resources(section: str) -> dict[str, Any]:
    text = "\n".join(block for block in blocks(section) if "Type: AWS::" in block).partition("\nimport ")[0]
    return dict(yaml.load(text, Loader=Template))  # noqa: S506 - it is a SafeLoader


def test_the_page_has_the_three_rules() -> None:
    assert SECTIONS == ["Tell me when one of my jobs failed", "Call a webhook", "Start the next job"]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_rule_asks_for_what_events_have(section: str) -> None:
    [rule] = [each["Properties"] for each in resources(section).values() if each["Type"] == "AWS::Events::Rule"]

    pattern = rule["EventPattern"]
    assert (pattern["source"], pattern["detail-type"]) == (["slurm-gateway"], [job_event.DETAIL_TYPE])
    assert pattern["detail"]
    assert set(pattern["detail"]) <= set(SCHEMA)
    assert set(pattern["detail"]["change"]) <= set(SCHEMA["change"]["enum"])
    for target in rule["Targets"]:
        for path in target.get("InputTransformer", {}).get("InputPathsMap", {}).values():
            assert path.removeprefix("$.detail.") in SCHEMA


def test_the_function_that_starts_the_next_job_is_python_and_asks_for_what_events_have() -> None:
    [code] = ["import " + block.partition("import ")[2] for block in blocks(SECTIONS[2]) if "def handler" in block]

    ast.parse(code)
    assert set(re.findall(r'event\["detail"\]\["(\w+)"\]', code)) == {"event_id"} <= set(SCHEMA)
