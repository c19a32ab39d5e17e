"""One rule of the inbox: read whole, or refused with every fault and its line."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml

from local.address import CHECKOUT
from slurm_gateway.errors import InboxRuleError
from slurm_gateway.inbox_rule import LONGEST, KeyPattern, parse

FORBIDDEN = frozenset({"root", "slurm"})
SHA256 = "c" * 64
GOOD = """\
version: 1
key: inbox/genomes/*.fastq.gz
user: alice
script: |
  #!/bin/sh
  true
options: {partition: queue1, time: 10, exclusive: true, "comment": "no", mem: null}
environment: {REFERENCE: hg38, EMPTY: ""}
"""


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CHECKOUT / "schemas/inbox-rule.schema.json").read_text())
    return loaded


def problems(text: str, name: str = "align") -> tuple[str, ...]:
    with pytest.raises(InboxRuleError) as raised:
        parse(name, text, forbidden=FORBIDDEN)
    return raised.value.problems


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_rule_is_read_whole() -> None:
    rule = parse("align", GOOD, forbidden=FORBIDDEN)

    assert (rule.name, rule.key.text, rule.user) == ("align", "inbox/genomes/*.fastq.gz", "alice")
    assert (rule.script, rule.script_sha256) == (b"#!/bin/sh\ntrue\n", None)
    assert rule.options == (
        ("partition", "queue1"), ("time", 10), ("exclusive", True), ("comment", "no"), ("mem", None),
    )  # fmt: skip
    assert rule.environment == (("REFERENCE", "hg38"), ("EMPTY", ""))


def test_a_staged_script_is_named_by_its_hash() -> None:
    rule = parse("align", changed("script: |\n  #!/bin/sh\n  true", f"script_sha256: {SHA256}"), forbidden=FORBIDDEN)

    assert (rule.script, rule.script_sha256) == (None, SHA256)


# Of each: what the schema can say too, and what only the function can.
WRONG = [
    (changed("version: 1", "version: 2"), "line 1: version should be 1", True),
    (changed("version: 1", "version: one"), "line 1: version should be 1", True),
    (changed("key: inbox/", "key: rules/"), "line 2: key should begin with inbox/", True),
    (changed("key: inbox/genomes/*.fastq.gz", "key: inbox/"), "line 2: key should begin with inbox/", True),
    (changed("key: inbox/", "key: inbox/" + "x" * 1024), "line 2: key should have 1024 bytes at most", True),
    (changed("key: inbox/genomes/*.fastq.gz\n", ""), "line 1: a rule lacks key", True),
    (changed("user: alice", "user: Alice"), "line 3: 'Alice' is not the name of a Linux user", True),
    (changed("user: alice", "user: root"), "line 3: root never gets a token", False),
    (changed("user: alice", "user: 1000"), "line 3: user should be text", True),
    (changed("user: alice", "user: [alice]"), "line 3: user should be text", True),
    (changed("user:", "usr:"), "line 3: a rule has no 'usr'; it has version, key, user, script", True),
    (GOOD + "user: bob\n", "line 9: user stands twice", False),
    (GOOD + f"script_sha256: {SHA256}\n", "line 1: a rule should have either script or script_sha256", True),
    (changed("script: |\n  #!/bin/sh\n  true\n", ""), "line 1: a rule should have either script", True),
    (changed("script: |\n  #!/bin/sh\n  true", "script_sha256: CC"), "line 4: script_sha256 should be", True),
    (changed("time: 10", "hold: true"), "line 7: hold is no option of a rule", True),
    (changed("time: 10", "time: 1.5"), "line 7: time should be text, a whole number", True),
    (changed("time: 10", "time: [1]"), "line 7: time should be text, a whole number", True),
    (changed("REFERENCE: hg38", "INPUT_PATH: /x"), "line 8: INPUT_PATH is not a rule's to set", True),
    (changed("REFERENCE: hg38", "SLURM_JWT: x"), "line 8: SLURM_JWT is not a rule's to set", True),
    (changed("REFERENCE: hg38", "A-B: x"), "line 8: 'A-B' is not the name of a variable", True),
    (changed("REFERENCE: hg38", "COUNT: 3"), "line 8: COUNT should be text", True),
    ("- a\n- b\n", "line 1: a rule should be a mapping", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem", "_"), WRONG, ids=[problem for _, problem, _ in WRONG])
def test_what_is_wrong_is_told_with_its_line(text: str, problem: str, _: bool) -> None:
    assert any(each.startswith(problem) for each in problems(text)), problems(text)


@pytest.mark.parametrize("text", [text for text, _, in_schema in WRONG if in_schema])
def test_the_published_schema_refuses_it_too(text: str) -> None:
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(yaml.safe_load(text)))


@pytest.mark.parametrize("text", [GOOD, (CHECKOUT / "examples/inbox-rule.yaml").read_text()])
def test_a_good_rule_fits_the_published_schema(text: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())

    parse("align", text, forbidden=FORBIDDEN)
    jsonschema.Draft202012Validator(schema()).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("key: [\n", "line 2: not YAML"),
        ("a: &x 1\nb: *x\n", "line 1: anchors and aliases are not allowed"),
        ("[" * 50 + "]" * 50, "line 1: nested too deep"),
        ("version: 1\x00", "not YAML"),
        ("#" * (LONGEST + 1), "it is longer than"),
    ],
)
def test_a_text_that_is_no_rule_at_all_is_refused(text: str, problem: str) -> None:
    assert any(problem in each for each in problems(text)), problems(text)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert len(problems(changed("user: alice", "user: root").replace("time: 10", "hold: 1"))) == 2


@pytest.mark.parametrize("name", ["", "a b", "team/align", "-x", "x" * 65])
def test_a_name_that_no_access_document_could_grant_is_refused(name: str) -> None:
    assert problems(GOOD, name)[0].startswith("a rule's name is")


def test_a_wrong_rule_still_tells_whose_objects_it_is_about() -> None:
    with pytest.raises(InboxRuleError) as raised:
        parse("align", changed("user: alice", "user: root"), forbidden=FORBIDDEN)

    assert raised.value.key == KeyPattern("inbox/genomes/*.fastq.gz")


@pytest.mark.parametrize(
    ("pattern", "key", "fits"),
    [
        ("inbox/*.txt", "inbox/a.txt", True),
        ("inbox/*.txt", "inbox/a/b.txt", False),
        ("inbox/**.txt", "inbox/a/b.txt", True),
        ("inbox/a?.txt", "inbox/ab.txt", True),
        ("inbox/a?.txt", "inbox/a/.txt", False),
        ("inbox/a.txt", "inbox/a.txt", True),
        ("inbox/a.txt", "inbox/axtxt", False),
        ("inbox/[a].txt", "inbox/[a].txt", True),
        ("inbox/*", "inbox/a\nb", True),
        ("inbox/*", "inbox/a\n", True),
        ("inbox/a", "inbox/a\n", False),
        ("inbox/**/x", "inbox/x", False),
    ],
)
def test_a_pattern_says_which_keys_are_meant(pattern: str, key: str, fits: bool) -> None:
    assert KeyPattern(pattern).fits(key) is fits
