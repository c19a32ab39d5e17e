"""All rules of the inbox, as they stand in the bucket under rules/, and which of them decides of an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .aws import unavailable_on_failure
from .errors import DeadLetterError, InboxRuleError, UnavailableError
from .inbox_rule import LONGEST, InboxRule, KeyPattern, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.client import BaseClient

PREFIX = "rules/"
MOST = 1000
_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that is not valid: what is wrong with it, and whose objects it is about, None where nobody can tell."""

    name: str
    problems: tuple[str, ...]
    key: KeyPattern | None

    def sentence(self) -> str:
        """Return what is wrong, for a reader."""
        return f"The rule {self.name} is not valid: {'; '.join(self.problems)}"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in the order of their names."""

    all: tuple[InboxRule | BrokenRule, ...] = ()

    def deciding(self, key: str) -> InboxRule | None:
        """Return the first rule that an object's key fits, None if there is none.

        DeadLetterError if that rule is not valid; or if no rule fits, and one cannot be read that far.
        """
        for rule in self.all:
            if rule.key is not None and rule.key.fits(key):
                if isinstance(rule, BrokenRule):
                    raise DeadLetterError(f"{rule.sentence()}.")
                return rule
        for rule in self.all:
            if isinstance(rule, BrokenRule) and rule.key is None:
                raise DeadLetterError(f"No valid rule fits {key}, and one cannot be read far enough to tell whether it "
                                      f"does. {rule.sentence()}.")  # fmt: skip
        return None


class RuleBook:
    """Reads the rules, each again only when its object has changed."""

    def __init__(self, s3: BaseClient, bucket: str, *, forbidden: frozenset[str]) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._forbidden = forbidden
        self._held: dict[str, tuple[str, InboxRule | BrokenRule]] = {}

    def read(self) -> Rules:
        """Return the rules as of now; UnavailableError if they cannot be read."""
        with unavailable_on_failure("cannot read the rules of the inbox"):
            held = {}
            for item in self._objects():
                name, tag = str(item["Key"]), str(item["ETag"])
                known = self._held.get(name)
                held[name] = known if known and known[0] == tag else (tag, self._rule(name, int(item["Size"])))
        self._held = held
        return Rules(tuple(rule for _, (_, rule) in sorted(held.items())))

    def _objects(self) -> Iterator[dict[str, Any]]:
        arguments: dict[str, str] = {"Bucket": self._bucket, "Prefix": PREFIX}
        seen = 0
        while True:
            page = self._s3.list_objects_v2(**arguments)
            for item in page.get("Contents", ()):
                if item["Key"].endswith(_ENDINGS):
                    seen += 1
                    yield item
            if seen > MOST:
                raise UnavailableError(f"there are more than {MOST} rules under {PREFIX}")
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def _rule(self, key: str, size: int) -> InboxRule | BrokenRule:
        path = key.removeprefix(PREFIX)
        name = path.removesuffix(".yaml")
        if name == path:
            return BrokenRule(path, (f"it is {key}, and a rule is {PREFIX}NAME.yaml",), None)
        # One more byte than a rule may have is enough to refuse it.
        span = {"Range": f"bytes=0-{LONGEST}"} if size else {}
        data = self._s3.get_object(Bucket=self._bucket, Key=key, **span)["Body"].read()
        try:
            return parse(name, data.decode(), forbidden=self._forbidden)
        except UnicodeDecodeError as exc:
            return BrokenRule(name, (f"byte {exc.start + 1} is not UTF-8",), None)
        except InboxRuleError as exc:
            return BrokenRule(name, exc.problems, exc.key)
