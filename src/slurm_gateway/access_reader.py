"""The access document's text, read into rules or refused as a whole, with what is wrong on which line.

    version: 1
    rules:
      - name: alice
        principal:
          iam_user: arn:aws:iam::123456789012:user/alice
      # or, for every session of a role:
      #   iam_role: arn:aws:iam::123456789012:role/Researcher
      # or, for a user of IAM Identity Center:
      #   identity_center:
      #     role: arn:aws:iam::123456789012:role/AWSReservedSSO_Researcher_0123456789abcdef
      #     session: alice@example.org
      # or, for jobs of a CI system:
      #   oidc:
      #     issuer: https://token.actions.githubusercontent.com
      #     claims: {repository_id: "123456789", environment: production}
      #     pull_requests: false
        users: [alice]                           # the first is the default
        lifespan: {default: 900, longest: 3600}  # seconds; may be left out
        sees_everyones_jobs: false               # may be left out
    inbox:                                       # may be left out: then no object in the inbox becomes a job
      - {rule: "nightly-*", users: [alice]}      # a rule's name, where * is any text, and whom it may run as

Beyond these keys it may hold nothing: a misspelled one must not be taken for one left out. The same is written for
editors in schemas/access-document.json.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import oidc, principals
from .access import DEFAULT_LIFESPAN, LONGEST_LIFESPAN, Access, InboxGrant, Rule
from .errors import AccessDocumentError
from .users import is_name
from .yaml_nodes import NodeReader, compose

if TYPE_CHECKING:
    import yaml

    from .access import Meant

# An advanced SSM parameter holds 8 KB.
LONGEST = 8192
# A token cannot be called back but by dropping its key: a day is long enough for one.
LONGEST_OF_ALL = 86_400
_RULE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_INBOX_RULE = re.compile(r"[A-Za-z0-9*][A-Za-z0-9_.*-]{0,63}")
_ISSUER = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.:-]{0,252}(?:/[!-~]{0,1000})?")
_CLAIM = re.compile(r"[!-~]{1,128}")
_LONGEST_CLAIM = 1024
_USER = "an IAM user's ARN, such as arn:aws:iam::123456789012:user/alice"
_ROLE = "an IAM role's ARN, such as arn:aws:iam::123456789012:role/Researcher"
_SSO_ROLE = (
    "the ARN of a role that IAM Identity Center made, such as "
    "arn:aws:iam::123456789012:role/AWSReservedSSO_Researcher_0123456789abcdef"
)
_KINDS = ("iam_user", "iam_role", "identity_center", "oidc")


def parse(text: str, *, forbidden: frozenset[str]) -> Access:
    """Take the document; return its rules.

    Raises AccessDocumentError with everything that is wrong: `forbidden` users too.
    """
    root = compose(text, longest=LONGEST)
    reader = _Reader(forbidden)
    access = reader.document(root)
    if reader.problems:
        raise AccessDocumentError(reader.problems)
    return access


class _Reader(NodeReader):
    def __init__(self, forbidden: frozenset[str]) -> None:
        super().__init__()
        self._forbidden = forbidden

    def document(self, root: yaml.Node | None) -> Access:
        if root is None:
            self.problems.append("the document is empty; it should have `version: 1` and `rules`")
            return Access(())
        fields = self.fields(root, "the document", required=("version", "rules"), optional=("inbox",))
        if "version" in fields and self.integer(fields["version"]) != 1:
            self.wrong(fields["version"], "version should be 1")
        names: set[str] = set()
        rules: list[Rule] = []
        for node in self.items(fields.get("rules"), "rules"):
            rule = self._rule(node)
            if rule is None:
                continue
            if rule.name in names:
                self.wrong(node, f"there is another rule named {rule.name}")
            names.add(rule.name)
            rules.append(rule)
        grants = [self._grant(node) for node in self.items(fields.get("inbox"), "inbox")]
        return Access(tuple(rules), tuple(grant for grant in grants if grant))

    def _rule(self, node: yaml.Node) -> Rule | None:
        before = len(self.problems)
        fields = self.fields(
            node, "a rule",
            required=("name", "principal", "users"), optional=("lifespan", "sees_everyones_jobs"),
        )  # fmt: skip
        name = self.text(fields.get("name"), "name")
        if name and not _RULE_NAME.fullmatch(name):
            self.wrong(fields["name"], "a rule's name is 1 to 64 letters, digits, `_`, `.` and `-`")
        principal = self._principal(fields.get("principal"))
        users = self._users(fields.get("users"))
        default, longest = self._lifespan(fields.get("lifespan"))
        sees = self.flag(fields.get("sees_everyones_jobs"), "sees_everyones_jobs")
        if len(self.problems) > before or principal is None:
            return None
        return Rule(name, principal, users, default, longest, sees)

    def _grant(self, node: yaml.Node) -> InboxGrant | None:
        before = len(self.problems)
        fields = self.fields(node, "an entry of inbox", required=("rule", "users"))
        rule = self.text(fields.get("rule"), "rule")
        if rule and not _INBOX_RULE.fullmatch(rule):
            self.wrong(fields["rule"], "rule is 1 to 64 letters, digits, `_`, `.`, `-`, and `*` for any text")
        users = self._users(fields.get("users"))
        return None if len(self.problems) > before else InboxGrant(rule, users)

    def _principal(self, node: yaml.Node | None) -> Meant | None:
        if node is None:
            return None
        fields = self.fields(node, "principal", optional=_KINDS)
        if len(fields) != 1:
            self.wrong(node, f"principal should have exactly one of {', '.join(_KINDS)}")
            return None
        [(kind, value)] = fields.items()
        match kind:
            case "iam_user":
                arn = principals.of_user(self.text(value, kind))
                return self._unless_wrong(value, f"{kind} should be {_USER}", arn and principals.IamUser(arn))
            case "iam_role":
                arn = principals.of_role(self.text(value, kind))
                return self._unless_wrong(value, f"{kind} should be {_ROLE}", arn and principals.IamRole(arn))
            case "identity_center":
                return self._identity_center(value)
            case _:
                return self._oidc(value)

    def _unless_wrong(self, node: yaml.Node, what: str, meant: Meant | str | None) -> Meant | None:
        if not meant or isinstance(meant, str):
            self.wrong(node, what)
            return None
        return meant

    def _identity_center(self, node: yaml.Node) -> Meant | None:
        fields = self.fields(node, "identity_center", required=("role", "session"))
        session = self.text(fields.get("session"), "session")
        if "session" in fields and not session:
            self.wrong(fields["session"], "session should be the name of a user in Identity Center")
        if "role" not in fields:
            return None
        role = principals.of_identity_center(self.text(fields["role"], "role"))
        meant = role and principals.IdentityCenter(role, session)
        return self._unless_wrong(fields["role"], f"role should be {_SSO_ROLE}", meant)

    def _oidc(self, node: yaml.Node) -> Meant | None:
        fields = self.fields(node, "oidc", required=("issuer", "claims"), optional=("pull_requests",))
        issuer = self.text(fields.get("issuer"), "issuer")
        if "issuer" in fields and not _ISSUER.fullmatch(issuer):
            self.wrong(fields["issuer"], f"issuer should be a URL as the tokens have it, such as {oidc.GITHUB}")
        pull_requests = self.flag(fields.get("pull_requests"), "pull_requests")
        if "claims" not in fields:
            return None
        claims: dict[str, str] = {}
        for name, (key, value) in self.pairs(fields["claims"], "claims").items():
            claims[name] = self.text(value, f"the claim {name}")
            if not _CLAIM.fullmatch(name) or name == "iss":
                self.wrong(key, f"{name!r} is no claim to go by")
            elif len(claims[name]) > _LONGEST_CLAIM:
                self.wrong(value, f"a claim is at most {_LONGEST_CLAIM} characters")
        if not claims:
            self.wrong(fields["claims"], "claims should have at least one: without, everybody at the issuer is meant")
        elif owners := oidc.missing_owner(issuer, claims):
            self.wrong(
                fields["claims"],
                f"anybody may have a job at {issuer}: one of {', '.join(owners)} should say whose, spelled out "
                "(a path at least to its first slash)",
            )
        return oidc.Oidc(issuer, tuple(claims.items()), pull_requests)

    def _users(self, node: yaml.Node | None) -> tuple[str, ...]:
        if node is None:
            return ()
        items = self.items(node, "users")
        if not items:
            self.wrong(node, "users should be a list of at least one Slurm user")
        users = []
        for item in items:
            user = self.text(item, "a user")
            if not user:
                continue
            if not is_name(user):
                self.wrong(item, f"{user!r} is not the name of a Linux user")
            elif user in self._forbidden:
                self.wrong(item, f"{user} never gets a token: it stands for the system, or has sudo")
            elif user in users:
                self.wrong(item, f"{user} stands twice")
            users.append(user)
        return tuple(users)

    def _lifespan(self, node: yaml.Node | None) -> tuple[int, int]:
        if node is None:
            return DEFAULT_LIFESPAN, LONGEST_LIFESPAN
        fields = self.fields(node, "lifespan", optional=("default", "longest"))
        longest = self._seconds(fields.get("longest"), LONGEST_LIFESPAN)
        default = self._seconds(fields.get("default"), min(DEFAULT_LIFESPAN, longest))
        if default > longest:
            self.wrong(node, f"the default lifespan, {default} s, is beyond the longest, {longest} s")
        return default, longest

    def _seconds(self, node: yaml.Node | None, otherwise: int) -> int:
        if node is None:
            return otherwise
        value = self.integer(node)
        if value is None or not 1 <= value <= LONGEST_OF_ALL:
            self.wrong(node, f"a lifespan is a whole number of seconds from 1 to {LONGEST_OF_ALL}")
            return otherwise
        return value
