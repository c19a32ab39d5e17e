"""Documents that operators write, written by an enemy: refused with a reason, soon, and nothing in them comes alive."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_gateway import access_document, inbox_rule, patterns, yaml_nodes
from slurm_gateway.errors import AccessDocumentError, InboxRuleError
from slurm_gateway.users import forbidden_names

FORBIDDEN = forbidden_names(default_user_sudo=True)


def read_access(text: str) -> object:
    return access_document.parse(text, forbidden=FORBIDDEN)


def read_rule(text: str) -> object:
    return inbox_rule.parse("align", text, forbidden=FORBIDDEN)


# Every reader of YAML, with the error by which it refuses.
READERS: dict[str, tuple[Callable[[str], object], type[Exception]]] = {
    "access document": (read_access, AccessDocumentError),
    "inbox rule": (read_rule, InboxRuleError),
}

RULE = """\
  - name: {name}
    principal: {{iam_user: "arn:aws:iam::123456789012:user/alice"}}
    users: [{user}]
"""
LAUGHS = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)), "rules: *a9"]
)
BOMBS = {
    "a billion laughs": LAUGHS,
    "an alias of itself": "version: 1\nrules: &a [*a]\n",
    "a merge of itself": "version: 1\nrules: &a\n  <<: *a\n",
    "an anchor alone": "version: 1\nrules: &a []\n",
    "lists 5000 deep": "version: 1\nrules: " + "[" * 5000,
    "closed lists 2000 deep": "version: 1\nrules: " + "[" * 2000 + "]" * 2000,
    "mappings 1000 deep": "\n".join(" " * depth + "a:" for depth in range(100)),
    "dashes without end": "version: 1\nrules:\n" + "- " * 4000,
    "a megabyte": "version: 1\nrules: []\n" + "#" * 1_000_000,
    "a megabyte of keys": "".join(f"k{n}: 1\n" for n in range(100_000)),
    "a megabyte of letters outside ASCII": "version: 1\nrules: []\n#" + "\U0001f600" * 300_000,
    "a tag of Python's": "version: 1\nrules: !!python/object/apply:os.system [id]\n",
    "a binary": "version: 1\nrules: !!binary AAAA\n",
    "a set": "version: 1\nrules: !!set {a, b}\n",
    "a long number": "version: " + "1" * 6000 + "\nrules: []\n",
    "a number in base 60": "version: 1:1:1:1\nrules: []\n",
    "two documents": "version: 1\nrules: []\n---\nversion: 1\nrules: []\n",
    "a directive": "%YAML 9.9\n---\nversion: 1\nrules: []\n",
    "a complex key": "? [version]\n: 1\nrules: []\n",
    "a key twice": "version: 1\nrules: []\nrules: []\n",
    "a NUL": "version: 1\nrules: []\n\0",
    "a byte order mark within": "version: 1\nrules: \ufeff[]\n",
    "a tab": "version: 1\nrules:\n\t- a\n",
    "nothing": "",
    "a brace": "{",
    "half of a surrogate pair": "version: 1\nrules: ['\ud800']\n",
    **{
        f"a rule for {user!r}": f"version: 1\nrules:\n{RULE.format(name='r', user=user)}"
        for user in ("root", "slurm", "munge", "pcluster-admin", "ec2-user", "ssm-user", "'0'", "0", "'*'", "Root",
        "'root '",
                     "'alice\\0'", "~", "yes", "'../x'", "\u0430lice", "[alice]", "{a: b}")
    },
}  # fmt: skip


# A rule may be larger than an access document: what is as large as it may be is still to be refused soon.
ROOM = inbox_rule.LONGEST - 200
IN_A_RULE = {
    "options without end": "options:\n" + "".join(f"  o{n}: 1.5\n" for n in range(ROOM // 16)),
    "an option twice, without end": "options:\n" + "  a: 1\n" * (ROOM // 8),
    "variables without end": "environment:\n" + "".join(f"  9{n}: x\n" for n in range(ROOM // 16)),
    "members without end": "".join(f"m{n}: 1\n" for n in range(ROOM // 16)),
    "a variable of all there is room for": "environment: {'" + "9" * ROOM + "': x}\n",
    "laughs in options": "options: {a: &a [x], b: [*a, *a]}\n",
    "an object of Python's as an option": "options: {a: !!python/object/apply:os.system [id]}\n",
    "an object of Python's as a variable": "environment: {A: !!python/name:os.environ }\n",
    "a merge into options": "options:\n  <<: {hold: false}\n  hold: false\n",
    "a release of its own": "options: {hold: false}\n",
    "another input": "environment: {INPUT_PATH: /etc/shadow}\n",
    "another token": "environment: {SLURM_JWT: x}\n",
    "a NUL in a variable": 'environment: {A: "x\\0y"}\n',
    "half of a surrogate pair": 'environment: {A: "\\ud800"}\n',
    "two scripts": "script_sha256: " + "0" * 64 + "\n",
}
IN_ITS_KEY = (
    "rules/*",
    "/inbox/*",
    "inbox/",
    "../inbox/*",
    "INBOX/*",
    "scripts/alice/*",
    "'*'",
    "'**'",
    "[inbox/x]",
    "~",
    "inbox/" + "*a" * 600,
)


WHOLE = "version: 1\nkey: inbox/x/*\nuser: alice\nscript: x\n"


@pytest.mark.parametrize("bomb", IN_A_RULE)
def test_a_hostile_rule_is_refused_soon(bomb: str) -> None:
    refused_soon(read_rule, InboxRuleError, WHOLE + IN_A_RULE[bomb])


# PyYAML's own loader takes some that libyaml's does not, and is what there is where PyYAML was built without that.
@pytest.mark.parametrize("bomb", [bomb for bomb, text in IN_A_RULE.items() if len(text) < 100])
def test_a_hostile_rule_is_refused_by_either_loader(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_nodes, "_Loader", yaml.SafeLoader)

    refused_soon(read_rule, InboxRuleError, WHOLE + IN_A_RULE[bomb])


@pytest.mark.parametrize("key", IN_ITS_KEY)
def test_a_rule_means_objects_of_the_inbox_and_no_others(key: str) -> None:
    refused_soon(read_rule, InboxRuleError, f"version: 1\nkey: {key}\nuser: alice\nscript: x\n")


@pytest.mark.parametrize(
    "user", ["root", "slurm", "munge", "pcluster-admin", "ec2-user", "ssm-user", "0", "'0'", "'*'"]
)
def test_a_rule_runs_as_nobody_who_never_gets_a_token(user: str) -> None:
    refused_soon(read_rule, InboxRuleError, f"version: 1\nkey: inbox/x/*\nuser: {user}\nscript: x\n")


@pytest.mark.parametrize("wildcard", ["*", "**", "?*", "*?**"])
def test_no_key_and_no_claim_takes_long_to_be_compared_with_a_pattern(wildcard: str) -> None:
    pattern = "inbox/" + f"{wildcard}a" * (1000 // (len(wildcard) + 1)) + "b"

    started = time.process_time()
    assert not inbox_rule.KeyPattern(pattern).fits("inbox/" + "a" * 1018)
    assert not patterns.fits(pattern.replace("?", "*"), "inbox/" + "a" * 1018)
    assert time.process_time() - started < 0.5


TEXTS = st.text(alphabet="ab/*\n", max_size=12)


@given(st.text(alphabet="ab/*?\n", max_size=10), TEXTS)
@settings(max_examples=1000, deadline=None)
def test_a_key_fits_as_by_the_words_of_the_documents(pattern: str, key: str) -> None:
    words = {"**": "(?s:.*)", "*": "[^/]*", "?": "[^/]"}
    meant = "".join(words.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", pattern))

    assert inbox_rule.KeyPattern(pattern).fits(key) == bool(re.fullmatch(meant, key))


@given(st.text(alphabet="ab/*\n", max_size=10), TEXTS)
@settings(max_examples=1000, deadline=None)
def test_a_claim_fits_as_by_the_words_of_the_documents(pattern: str, claim: str) -> None:
    meant = "(?s:.*)".join(map(re.escape, pattern.split("*")))

    assert patterns.fits(pattern, claim) == bool(re.fullmatch(meant, claim))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_hostile_document_is_refused_soon(reader: str, bomb: str) -> None:
    refused_soon(*READERS[reader], BOMBS[bomb])


def refused_soon(parse: Callable[[str], object], refusal: type[Exception], text: str) -> None:
    started = time.process_time()
    with pytest.raises(refusal) as refused:
        parse(text)
    assert time.process_time() - started < 2
    assert 0 < len(str(refused.value)) < 20_000


PIECES = [
    "version", "rules", "key", "inbox/*", "user", "script", "options", "environment",
    "name", "principal", "iam_user", "iam_role", "users", "lifespan", ": ", ":", "- ", "\n",
    "\n  ", "\n    ",
    "[", "]", "{", "}", ", ", "&a", "*a", "!!", "!", "|", ">", "?", "'", '"', "#", "1", "alice", "root", "%", "---",
    "...", "<<",
    "arn:aws:iam::123456789012:user/alice", "\t", "\0", "\u0085", "\ufeff", "~", "yes", "0x1", "1e3",
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.text(max_size=200)))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_document_says_it_is_read_or_refused(reader: str, text: str) -> None:
    parse, refusal = READERS[reader]
    with contextlib.suppress(refusal):
        parse(text)


@pytest.mark.parametrize("tag", ["!!python/module:os", "!!python/object/new:os.system", "!rule", "!<tag:x>"])
def test_a_tag_on_a_list_makes_nothing_but_the_list(tag: str) -> None:
    assert read_access(f"version: 1\nrules: {tag} []\n") == read_access("version: 1\nrules: []\n")
