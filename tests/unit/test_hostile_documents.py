"""Documents that operators write, written by an enemy: refused with a reason, soon, and nothing in them comes alive."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_gateway import access_document
from slurm_gateway.errors import AccessDocumentError
from slurm_gateway.users import forbidden_names

FORBIDDEN = forbidden_names(default_user_sudo=True)


def read_access(text: str) -> object:
    return access_document.parse(text, forbidden=FORBIDDEN)


# Every reader of YAML, with the error by which it refuses: the rules of the inbox belong here too.
READERS: dict[str, tuple[Callable[[str], object], type[Exception]]] = {
    "access document": (read_access, AccessDocumentError),
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


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_hostile_document_is_refused_soon(reader: str, bomb: str) -> None:
    parse, refusal = READERS[reader]
    started = time.process_time()
    with pytest.raises(refusal) as refused:
        parse(BOMBS[bomb])
    assert time.process_time() - started < 2
    assert 0 < len(str(refused.value)) < 20_000


PIECES = [
    "version", "rules", "name", "principal", "iam_user", "iam_role", "users", "lifespan", ": ", ":", "- ", "\n",
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
