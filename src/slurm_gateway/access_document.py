"""The access document: YAML in an SSM parameter, read into rules or refused as a whole.

    version: 1
    rules:
      - name: alice
        principal:
          iam_user: arn:aws:iam::123456789012:user/alice
      # or, for every session of a role:
      #   iam_role: arn:aws:iam::123456789012:role/Researcher
        users: [alice]                         # the first is the default
        lifespan: {default: 900, longest: 3600}  # seconds; may be left out
    inbox:                                     # may be left out: then no object in the inbox becomes a job
      - {rule: "nightly-*", users: [alice]}    # a rule's name, where * is any text, and whom it may run as

Beyond these keys it may hold nothing: a misspelled one must not be taken for one left out.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import yaml

from . import principals
from .access import DEFAULT_LIFESPAN, LONGEST_LIFESPAN, Access, InboxGrant, Rule
from .aws import read_parameter
from .errors import AccessDocumentError, UnavailableError
from .users import is_name

if TYPE_CHECKING:
    from botocore.client import BaseClient

_logger = logging.getLogger(__name__)
# libyaml's loader is ten times as fast; PyYAML is built without it on some machines.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# An advanced SSM parameter holds 8 KB.
_LARGEST = 8192
_DEEPEST = 10
# A token cannot be called back but by dropping its key: a day is long enough for one.
_LONGEST_OF_ALL = 86_400
_RULE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_INBOX_RULE = re.compile(r"[A-Za-z0-9*][A-Za-z0-9_.*-]{0,63}")
_KINDS = {
    "iam_user": (principals.of_user, "an IAM user's ARN, such as arn:aws:iam::123456789012:user/alice"),
    "iam_role": (principals.of_role, "an IAM role's ARN, such as arn:aws:iam::123456789012:role/Researcher"),
}


class AccessDocument:
    """The rules in an SSM parameter, as of its last version that was valid.

    A version that is not valid changes nothing and is logged with what is wrong on which line. Where none was
    valid yet there are no rules to hold on to, and nothing is decided.
    """

    def __init__(self, ssm: BaseClient, parameter: str, *, forbidden: frozenset[str]) -> None:
        self._ssm = ssm
        self._parameter = parameter
        self._forbidden = forbidden
        self._text: str | None = None
        self._access: Access | None = None

    def read(self) -> Access:
        """Return the rules; UnavailableError if there is no document to read, or none was ever valid."""
        text = read_parameter(self._ssm, self._parameter)
        if self._access is not None and text == self._text:
            return self._access
        try:
            self._access = parse(text, forbidden=self._forbidden)
        except AccessDocumentError as exc:
            _logger.warning(
                "the access document is not valid: its last valid version holds; without one there are no "
                "tokens until it is mended",
                extra={"parameter": self._parameter, "problems": exc.problems},
            )
            if self._access is None:
                raise UnavailableError("the access document is not valid") from exc
            return self._access
        self._text = text
        return self._access


def parse(text: str, *, forbidden: frozenset[str]) -> Access:
    """Take the document; return its rules.

    Raises AccessDocumentError with everything that is wrong: `forbidden` users too.
    """
    if len(text) > _LARGEST:
        raise AccessDocumentError([f"the document is longer than {_LARGEST} characters"])
    try:
        _check_events(text)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        where = _line(exc.problem_mark or exc.context_mark)
        raise AccessDocumentError([f"{where}not YAML: {exc.problem or exc.context}"]) from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise AccessDocumentError([f"not YAML: {exc}"]) from exc
    reader = _Reader(forbidden)
    access = reader.document(root)
    if reader.problems:
        raise AccessDocumentError(reader.problems)
    return access


def _check_events(text: str) -> None:
    """Refuse what could make a small text large or deep, before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise AccessDocumentError([f"{_line(event.start_mark)}anchors and aliases are not allowed"])
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise AccessDocumentError([f"{_line(event.start_mark)}nested too deep"])


def _line(mark: Any) -> str:  # noqa: ANN401 - libyaml and PyYAML have a class of marks each
    return f"line {mark.line + 1}: " if mark else ""


class _Reader:
    """Walks YAML nodes, which know their lines, and collects what is wrong."""

    def __init__(self, forbidden: frozenset[str]) -> None:
        self._forbidden = forbidden
        self.problems: list[str] = []

    def document(self, root: yaml.Node | None) -> Access:
        if root is None:
            self.problems.append("the document is empty; it should have `version: 1` and `rules`")
            return Access(())
        fields = self._fields(root, "the document", required=("version", "rules"), optional=("inbox",))
        if "version" in fields and self._integer(fields["version"]) != 1:
            self._wrong(fields["version"], "version should be 1")
        names: set[str] = set()
        rules: list[Rule] = []
        for node in self._items(fields.get("rules"), "rules"):
            rule = self._rule(node)
            if rule is None:
                continue
            if rule.name in names:
                self._wrong(node, f"there is another rule named {rule.name}")
            names.add(rule.name)
            rules.append(rule)
        grants = [self._grant(node) for node in self._items(fields.get("inbox"), "inbox")]
        return Access(tuple(rules), tuple(grant for grant in grants if grant))

    def _grant(self, node: yaml.Node) -> InboxGrant | None:
        before = len(self.problems)
        fields = self._fields(node, "an entry of inbox", required=("rule", "users"))
        rule = self._text(fields.get("rule"), "rule")
        if rule and not _INBOX_RULE.fullmatch(rule):
            self._wrong(fields["rule"], "rule is 1 to 64 letters, digits, `_`, `.`, `-`, and `*` for any text")
        users = self._users(fields.get("users"))
        return None if len(self.problems) > before else InboxGrant(rule, users)

    def _rule(self, node: yaml.Node) -> Rule | None:
        before = len(self.problems)
        fields = self._fields(node, "a rule", required=("name", "principal", "users"), optional=("lifespan",))
        name = self._text(fields.get("name"), "name")
        if name and not _RULE_NAME.fullmatch(name):
            self._wrong(fields["name"], "a rule's name is 1 to 64 letters, digits, `_`, `.` and `-`")
        principal = self._principal(fields.get("principal"))
        users = self._users(fields.get("users"))
        default, longest = self._lifespan(fields.get("lifespan"))
        if len(self.problems) > before or principal is None:
            return None
        return Rule(name, principal, users, default, longest)

    def _principal(self, node: yaml.Node | None) -> str | None:
        if node is None:
            return None
        fields = self._fields(node, "principal", optional=tuple(_KINDS))
        if len(fields) != 1:
            self._wrong(node, f"principal should have exactly one of {', '.join(_KINDS)}")
            return None
        [(kind, value)] = fields.items()
        canonical, should_be = _KINDS[kind]
        principal = canonical(self._text(value, kind))
        if principal is None:
            self._wrong(value, f"{kind} should be {should_be}")
        return principal

    def _users(self, node: yaml.Node | None) -> tuple[str, ...]:
        if node is None:
            return ()
        items = self._items(node, "users")
        if not items:
            self._wrong(node, "users should be a list of at least one Slurm user")
        users = []
        for item in items:
            user = self._text(item, "a user")
            if not user:
                continue
            if not is_name(user):
                self._wrong(item, f"{user!r} is not the name of a Linux user")
            elif user in self._forbidden:
                self._wrong(item, f"{user} never gets a token: it stands for the system, or has sudo")
            elif user in users:
                self._wrong(item, f"{user} stands twice")
            users.append(user)
        return tuple(users)

    def _lifespan(self, node: yaml.Node | None) -> tuple[int, int]:
        if node is None:
            return DEFAULT_LIFESPAN, LONGEST_LIFESPAN
        fields = self._fields(node, "lifespan", optional=("default", "longest"))
        longest = self._seconds(fields.get("longest"), LONGEST_LIFESPAN)
        default = self._seconds(fields.get("default"), min(DEFAULT_LIFESPAN, longest))
        if default > longest:
            self._wrong(node, f"the default lifespan, {default} s, is beyond the longest, {longest} s")
        return default, longest

    def _seconds(self, node: yaml.Node | None, otherwise: int) -> int:
        if node is None:
            return otherwise
        value = self._integer(node)
        if value is None or not 1 <= value <= _LONGEST_OF_ALL:
            self._wrong(node, f"a lifespan is a whole number of seconds from 1 to {_LONGEST_OF_ALL}")
            return otherwise
        return value

    def _fields(
        self,
        node: yaml.Node,
        what: str,
        *,
        required: tuple[str, ...] = (),
        optional: tuple[str, ...] = (),
    ) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self._wrong(node, f"{what} should be a mapping")
            return {}
        known = (*required, *optional)
        fields: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if name not in known:
                self._wrong(key, f"{what} has no {name!r}; it has {', '.join(known)}")
            elif name in fields:
                self._wrong(key, f"{name} stands twice")
            else:
                fields[name] = value
        for name in required:
            if name not in fields:
                self._wrong(node, f"{what} lacks {name}")
        return fields

    def _items(self, node: yaml.Node | None, what: str) -> list[yaml.Node]:
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(node, f"{what} should be a list")
            return []
        return list(node.value)

    def _text(self, node: yaml.Node | None, what: str) -> str:
        if node is None:
            return ""
        # YAML reads `no` as false and `007` as a number: such a name wants quotes.
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            self._wrong(node, f"{what} should be text; put it in quotes if it looks like something else")
            return ""
        return str(node.value)

    def _integer(self, node: yaml.Node) -> int | None:
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:int":
            return None
        # Plain decimal: YAML 1.1 also has octal and base 60, which nobody means here.
        return int(node.value) if re.fullmatch(r"0|[1-9][0-9]{0,8}", node.value) else None

    def _wrong(self, node: yaml.Node, what: str) -> None:
        self.problems.append(f"{_line(node.start_mark)}{what}")
