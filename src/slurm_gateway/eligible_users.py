"""The users for whom a token may be minted at all: those whom the head node publishes.

They exist there, their numbers are 1000 or above, and they have no sudo (headnode/publish-users.sh). What the list does
not say is not minted, and a list that is missing or old says nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import strict_json
from .errors import UnavailableError
from .users import is_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from .s3_object import S3Object

KEY = "headnode-state/users.json"
# The head node publishes every 5 minutes: three are missing before its word counts no more.
OLDEST = 15 * 60
_LONGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EligibleUsers:
    """Who may have a token, as of `published_at` (Unix seconds)."""

    users: frozenset[str]
    published_at: float

    def require_recent(self, now: float) -> None:
        """Raise UnavailableError when the list is too old at `now` (Unix seconds) to go by."""
        age = now - self.published_at
        if age > OLDEST:
            raise UnavailableError(
                f"the head node's list of users is {age / 60:.0f} minutes old; it should be at most {OLDEST // 60}"
            )


class EligibleUsersReader:
    """Reads the list that the head node publishes."""

    def __init__(self, published: S3Object, *, now: Callable[[], float] = time.time) -> None:
        self._published = published
        self._now = now

    def read(self) -> EligibleUsers:
        """Return the list; UnavailableError if it cannot be had, is none, or is too old to go by."""
        content = self._published.read(longest=_LONGEST)
        try:
            document = strict_json.loads(content.body)
            users = document["users"]
            if not (isinstance(users, list) and all(is_name(user) for user in users)):
                raise ValueError("users is no list of users' names")
        except (ValueError, KeyError, TypeError) as exc:
            raise UnavailableError(f"the head node's list of users cannot be read: {exc!r}") from exc
        found = EligibleUsers(frozenset(users), content.written_at)
        found.require_recent(self._now())
        return found
