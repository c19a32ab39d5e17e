"""A rule of the inbox: which objects become jobs, as whom, of which script. YAML, in the bucket as rules/NAME.yaml.

    version: 1
    key: inbox/genomes/*.fastq.gz     # * is any text without a slash, ** any text, ? one character but a slash
    user: alice                       # the Slurm user; the access document must grant the rule that user
    script: |                         # or script_sha256, of a script that this user has staged with POST /scripts
      #!/bin/bash
      ./align "$INPUT_PATH"
    options: {partition: queue1, time: "1:00:00"}   # sbatch's, by their long names; they win over the script's
    environment: {REFERENCE: hg38}    # besides the user's login environment; may be left out, as options

schemas/inbox-rule.schema.json says the same to an editor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import AccessDocumentError, InboxRuleError
from .scripts import is_digest
from .users import is_name
from .yaml_nodes import NodeReader, compose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yaml import Node

INBOX = "inbox/"
LONGEST = 256 * 1024
"""The most bytes that a rule may have; a larger script is staged."""

INPUT_VARIABLES = ("INPUT_PATH", "INPUT_KEY", "INPUT_VERSION", "INPUT_SIZE")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_REQUIRED = ("version", "key", "user")
_OPTIONAL = ("script", "script_sha256", "options", "environment")
# Where the job waits and what it is known by is not a rule's to say; a script stands in `script`.
_NOT_A_RULES = ("hold", "wrap", "H")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WILDCARD = re.compile(r"(\*\*|\*|\?)")
# A key of S3's has no more bytes.
_LONGEST_KEY = 1024
# A rule that is wrong is told of with each of its objects: so much is read by nobody.
_MOST_PROBLEMS, _LONGEST_PROBLEM = 20, 300


@dataclass(frozen=True, slots=True)
class InboxRule:
    """A rule that is valid. It has either a script or the SHA-256 of one."""

    name: str
    key: KeyPattern
    user: str
    script: bytes | None = field(default=None, repr=False)
    script_sha256: str | None = None
    options: tuple[tuple[str, str | int | bool | None], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """A pattern of keys: `*` is any text without a slash, `**` any text, `?` any character but a slash."""

    text: str

    def fits(self, key: str) -> bool:
        """Tell whether a key is what the pattern says.

        In one pass, whatever the key: who may write an object may hold up no other, as some keys do with a regular
        expression of several wildcards.
        """
        where: dict[str, int] = {}
        for place, letter in enumerate(key):
            where[letter] = where.get(letter, 0) | 1 << place
        within = ((1 << len(key)) - 1) & ~where.get("/", 0)  # the places of what is no slash
        at = 1  # its bit n is set where the first n characters are what the pattern says so far
        for part in _WILDCARD.split(self.text):
            match part:
                case "**":
                    at = (1 << len(key) + 1) - (at & -at)
                case "*":
                    # The sum carries from each place through what is no slash, to the next slash or the end.
                    at |= ((at & within) + within) ^ within
                case "?":
                    at = (at & within) << 1
                case _:
                    for letter in part:
                        at = (at & where.get(letter, 0)) << 1
            if not at:
                return False
        return bool(at >> len(key))


def parse(name: str, text: str, *, forbidden: frozenset[str]) -> InboxRule:
    """Take a rule's name and its text; return the rule.

    Raises InboxRuleError with everything that is wrong, `forbidden` users too, and with the rule's key pattern
    where that much can be read: objects that fit it are this rule's, however wrong the rest is.
    """
    if not NAME.fullmatch(name):
        raise InboxRuleError(["a rule's name is 1 to 64 letters, digits, `_`, `.` and `-`: rules/NAME.yaml"])
    if len(text.encode(errors="replace")) > LONGEST:
        raise InboxRuleError([f"it is longer than {LONGEST} bytes; stage the script, and give script_sha256"])
    try:
        root = compose(text, longest=LONGEST)
    except AccessDocumentError as exc:
        # What both kinds of documents are made of is read in one place.
        raise InboxRuleError(_readable(exc.problems)) from exc
    if root is None:
        raise InboxRuleError([f"it is empty; it should have {', '.join(_REQUIRED)} and a script"])
    reader = _Reader(forbidden)
    key, rule = reader.rule(name, root)
    if rule is None:
        raise InboxRuleError(_readable(reader.problems), key=key)
    return rule


def _readable(problems: Sequence[str]) -> list[str]:
    """Return the first of a document's problems, none of them without end."""
    told = [
        each if len(each) <= _LONGEST_PROBLEM else f"{each[:_LONGEST_PROBLEM]}..." for each in problems[:_MOST_PROBLEMS]
    ]
    more = len(problems) - len(told)
    return [*told, f"and {more} more"] if more else told


class _Reader(NodeReader):
    def __init__(self, forbidden: frozenset[str]) -> None:
        super().__init__()
        self._forbidden = forbidden

    def rule(self, name: str, root: Node) -> tuple[KeyPattern | None, InboxRule | None]:
        """Return the key pattern, if it can be read, and the rule, if all of it can."""
        fields = self.fields(root, "a rule", required=_REQUIRED, optional=_OPTIONAL)
        if "version" in fields and self.integer(fields["version"]) != 1:
            self.wrong(fields["version"], "version should be 1")
        key = self._key(fields.get("key"))
        user = self._user(fields.get("user"))
        script = self._script(root, fields)
        digest = self._digest(fields.get("script_sha256"))
        options = self._options(fields.get("options"))
        environment = self._environment(fields.get("environment"))
        if self.problems or key is None:
            return key, None
        return key, InboxRule(name, key, user, script, digest, options, environment)

    def _key(self, node: Node | None) -> KeyPattern | None:
        text = self.text(node, "key")
        if node is None or not text:
            return None
        if not text.startswith(INBOX) or text == INBOX:
            self.wrong(node, f"key should begin with {INBOX} and say which objects below it are meant")
            return None
        if len(text.encode()) > _LONGEST_KEY:
            self.wrong(node, f"key should have {_LONGEST_KEY} bytes at most, as the keys of objects have")
            return None
        return KeyPattern(text)

    def _user(self, node: Node | None) -> str:
        user = self.text(node, "user")
        if node is not None and user:
            if not is_name(user):
                self.wrong(node, f"{user!r} is not the name of a Linux user")
            elif user in self._forbidden:
                self.wrong(node, f"{user} never gets a token: it stands for the system, or has sudo")
        return user

    def _script(self, root: Node, fields: dict[str, Node]) -> bytes | None:
        if ("script" in fields) == ("script_sha256" in fields):
            self.wrong(root, "a rule should have either script or script_sha256")
        if "script" not in fields:
            return None
        return self.text(fields["script"], "script").encode()

    def _digest(self, node: Node | None) -> str | None:
        if node is None:
            return None
        digest = self.text(node, "script_sha256")
        if not is_digest(digest):
            self.wrong(node, "script_sha256 should be the script's SHA-256 in 64 small hexadecimal digits")
        return digest

    def _options(self, node: Node | None) -> tuple[tuple[str, str | int | bool | None], ...]:
        options: list[tuple[str, str | int | bool | None]] = []
        for name, (key, value) in self.pairs(node, "options").items() if node is not None else ():
            if name in _NOT_A_RULES:
                self.wrong(key, f"{name} is no option of a rule: its jobs are held until their input is there, and "
                           "their script stands in script")  # fmt: skip
            options.append((name, self.scalar(value, name)))
        return tuple(options)

    def _environment(self, node: Node | None) -> tuple[tuple[str, str], ...]:
        variables: list[tuple[str, str]] = []
        for name, (key, value) in self.pairs(node, "environment").items() if node is not None else ():
            text = self.text(value, name)
            if not _VARIABLE.fullmatch(name):
                self.wrong(key, f"{name!r} is not the name of a variable")
            elif name in INPUT_VARIABLES or name.startswith("SLURM"):
                self.wrong(key, f"{name} is not a rule's to set")
            elif "\0" in text:
                self.wrong(value, f"{name} has a NUL in it")
            variables.append((name, text))
        return tuple(variables)
