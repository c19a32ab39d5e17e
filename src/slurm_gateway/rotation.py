"""Rotating the signing key, one step at a time: an operator's tool, `python -m slurm_gateway.rotation`.

The list of keys in the SSM parameter (keys.py) is the whole state, and which of two keys was made first:

    [old]         nothing is under way         next: make a key, and publish it
    [old, new]    the new key is published     next, once every verifier has seen it: sign with it
    [new, old]    the new key signs            next, once the old key's last token has expired: retire the old key
    [new]         done

Each step is one write of the list. A run that ended in the middle of a step is taken up by the next one: a key that
was made and never listed is the one to publish, a key that was listed and is no more is to be deleted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .access import LONGEST_LIFESPAN
from .access_reader import parse
from .aws import error_code
from .cached import USABLE_FOR
from .errors import AccessDocumentError, GatewayError
from .keys import parse_key_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.client import BaseClient

TAG = "slurm-gateway:requirements-stack"
# Who may use a key is told by its tag, which KMS may take five minutes to go by ("ABAC for AWS KMS"): so long it may
# refuse the new key to verifiers, and to who is to sign with it. The functions go by a list that is at most USABLE_FOR
# seconds old. The head node looks every 15 s and then needs a few to have slurmctld and slurmdbd read what it found;
# one that was overloaded took 41 s in all. A rotation has the time.
SETTLE = 360
# The shortest that KMS allows: until then a deletion can be cancelled.
DELETION_DAYS = 7


class RotationError(GatewayError):
    """The list is in no state that a step can begin in; the message says what to do."""


class TooEarlyError(RotationError):
    """A step comes before its time; `seconds` is how long to wait."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class State:
    """The keys' ids in the list's order, when the list was last written, and when each key was made (Unix seconds).

    A key that KMS has no more counts as made at 0, and so as the old one.
    """

    keys: tuple[str, ...]
    changed_at: float
    made_at: tuple[float, ...]

    @property
    def phase(self) -> str:
        """One of "steady", "published" and "signing"; "odd" for a list that no step of a rotation leaves."""
        if len(self.keys) == 1:
            return "steady"
        if len(self.keys) != 2:
            return "odd"
        return "published" if self.made_at[1] > self.made_at[0] else "signing"


def longest_lifespan(ssm: BaseClient, access_parameter: str) -> int:
    """Return how long a token may live (seconds), by every version of the access document that is still known.

    A token may have been minted by an earlier one. The inbox's tokens live shorter than the least that this gives.
    """
    longest = LONGEST_LIFESPAN
    for text in _versions(ssm, access_parameter):
        try:
            rules = parse(text, forbidden=frozenset()).rules
        except AccessDocumentError:
            # It was never in force.
            continue
        longest = max([longest, *(rule.longest_lifespan for rule in rules)])
    return longest


def _versions(ssm: BaseClient, parameter: str) -> Iterator[str]:
    for page in ssm.get_paginator("get_parameter_history").paginate(Name=parameter):
        for version in page["Parameters"]:
            yield version["Value"]


class Rotation:
    """Walks the list of a requirements stack.

    `own_key` is the key that belongs to that stack: CloudFormation deletes it, so it is only disabled here.
    `longest_lifespan` tells how many seconds a token may live, `settle` how many the verifiers are given to see a key.
    """

    def __init__(
        self,
        ssm: BaseClient,
        kms: BaseClient,
        *,
        stack: str,
        keys_parameter: str,
        own_key: str,
        longest_lifespan: Callable[[], float],
        settle: float = SETTLE,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ssm = ssm
        self._kms = kms
        self._stack = stack
        self._keys_parameter = keys_parameter
        self._longest_lifespan = longest_lifespan
        self._own_key = own_key.rpartition("/")[2]
        self._settle = settle
        self._now = now

    def state(self) -> State:
        """Return where the rotation is; RotationError if the list holds what is no key."""
        parameter = self._ssm.get_parameter(Name=self._keys_parameter)["Parameter"]
        listed = parse_key_list(parameter["Value"])
        keys = tuple(key.kid for key in listed.accepted)
        if len(keys) != len(str(parameter["Value"]).split(",")) or len(set(keys)) != len(keys):
            raise RotationError(
                f"{self._keys_parameter} lists what is no key, or a key twice: mend it with aws ssm put-parameter"
            )
        made = tuple(map(self._made_at, keys))
        return State(keys, parameter["LastModifiedDate"].timestamp(), made)

    def due_in(self, state: State) -> float:
        """Return in how many seconds the next step may be taken, 0 for now."""
        if state.phase == "published":
            wait = self._settle
        elif state.phase == "signing":
            wait = self._longest_lifespan() + USABLE_FOR
        else:
            return 0.0
        return max(0.0, state.changed_at + wait - self._now())

    def next(self) -> str:
        """Take the next step; return what was done. TooEarlyError before its time, RotationError if there is none."""
        state = self.state()
        if state.phase == "odd":
            raise RotationError(
                f"the list has {len(state.keys)} keys, and a rotation has two at most: drop those that are too many"
            )
        if (seconds := self.due_in(state)) > 0:
            raise TooEarlyError(self._why_wait(state, seconds), seconds)
        match state.phase:
            case "published":
                old, new = state.keys
                self._put(new, old)
                return f"{new} signs from now on; {old} is still accepted"
            case "signing":
                new, old = state.keys
                self._put(new)
                return f"{old} is accepted no more, and {self._retire(old)}; {new} is the only key"
        left_over = [self._retire(key) for key in self._unlisted(listed_before=True)]
        # The list tells the new key from the old by their age: only a younger one will do.
        made = (key for key in self._unlisted(listed_before=False) if self._made_at(key) > state.made_at[0])
        new = next(made, "") or self._make(like=state.keys[0])
        self._put(*state.keys, new)
        return f"{new} is published; {state.keys[0]} still signs" + "".join(
            f" (a key left over {what})" for what in left_over
        )

    def drop(self, key: str) -> str:
        """Take a key out of use at once, whatever depends on it; return what was done.

        Its tokens are dead on every route within 60 s. Where no other key is listed, a new one takes its place, and new
        tokens are good as soon as the verifiers have seen it.
        """
        kid = key.rpartition("/")[2]
        state = self.state()
        done = []
        if kid in state.keys:
            # A key that KMS has no more signs nothing: it does not take the place of this one.
            left = [each for each, made_at in zip(state.keys, state.made_at, strict=True) if each != kid and made_at]
            rest = left or [self._make(like=kid)]
            self._put(*rest)
            done.append(f"{kid} is off the list; {rest[0]} signs")
        elif self._tag(kid) != self._stack:
            raise RotationError(f"{kid} is no key of the stack {self._stack}")
        return "; ".join([*done, f"{kid} {self._retire(kid)}"])

    def _why_wait(self, state: State, seconds: float) -> str:
        why = (
            f"{state.keys[1]} was published a moment ago, and a verifier may not have seen it"
            if state.phase == "published"
            else f"tokens of {state.keys[1]} may still be alive"
        )
        return f"too early: {why}; wait {seconds:.0f} s"

    def _make(self, *, like: str) -> str:
        """Make a key like another: of its kind, with its policy and tag."""
        policy = self._kms.get_key_policy(KeyId=like, PolicyName="default")["Policy"]
        made: str = self._kms.create_key(
            Description=self._describe(like).get("Description", ""),
            KeySpec="RSA_2048",
            KeyUsage="SIGN_VERIFY",
            Policy=policy,
            Tags=[{"TagKey": TAG, "TagValue": self._stack}],
        )["KeyMetadata"]["KeyId"]
        return made

    def _unlisted(self, *, listed_before: bool) -> Iterator[str]:
        """Give the stack's enabled keys that are not on the list, by whether they ever were."""
        known: set[str] = set()
        for value in _versions(self._ssm, self._keys_parameter):
            # What was no key then is no fault now, and so nothing to tell of.
            known |= {entry.strip().rpartition("/")[2] for entry in value.split(",")}
        current = set(self.state().keys)
        for page in self._kms.get_paginator("list_keys").paginate():
            for each in page["Keys"]:
                key = each["KeyId"]
                # The history ends somewhere: that the stack's key is not in it does not make it a new one.
                was_listed = key in known or key == self._own_key
                if key in current or was_listed != listed_before:
                    continue
                if self._tag(key) == self._stack and self._describe(key)["KeyState"] == "Enabled":
                    yield key

    def _retire(self, key: str) -> str:
        """Disable a key and have it deleted, unless it is the stack's; return what became of it."""
        if not self._made_at(key):
            return "is deleted already"
        if self._describe(key)["KeyState"] == "PendingDeletion":
            return "is being deleted already"
        if key == self._own_key:
            self._kms.disable_key(KeyId=key)
            return "is disabled (it goes with its stack)"
        self._kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=DELETION_DAYS)
        return f"is deleted in {DELETION_DAYS} days"

    def _describe(self, key: str) -> dict[str, Any]:
        described: dict[str, Any] = self._kms.describe_key(KeyId=key)["KeyMetadata"]
        return described

    def _made_at(self, key: str) -> float:
        try:
            made_at: float = self._describe(key)["CreationDate"].timestamp()
        except ClientError as exc:
            # Deleted by hand while it was listed: the list is to be walked, and mended, all the same.
            if error_code(exc) != "NotFoundException":
                raise
            return 0.0
        return made_at

    def _tag(self, key: str) -> str:
        try:
            tags = self._kms.list_resource_tags(KeyId=key)["Tags"]
        except ClientError as exc:
            # Other keys of the account may be closed to this operator; the stack's are not.
            if error_code(exc) not in ("AccessDeniedException", "NotFoundException"):
                raise
            return ""
        return next((str(tag["TagValue"]) for tag in tags if tag["TagKey"] == TAG), "")

    def _put(self, *keys: str) -> None:
        self._ssm.put_parameter(Name=self._keys_parameter, Value=",".join(keys), Type="StringList", Overwrite=True)


if __name__ == "__main__":
    import sys

    from .rotation_command import main

    sys.exit(main())
