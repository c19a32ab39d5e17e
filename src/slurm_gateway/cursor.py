"""Where a page of jobs ends, as a text that says nothing to its reader.

A page begins after a job's place in the list, which never changes: so no job is left out or shown twice, whatever
came or changed meanwhile. A cursor is good for the user and the filters that it was made with. It needs no
signature: a list is only ever of its caller's own jobs, wherever a cursor begins.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from .problem import Problem

_PLACE = re.compile(rb"([0-9]{10}#[0-9]{10})#([0-9a-f]{16})")
_LONGEST = 100


def make(place: str, *, user: str, filters: tuple[str, ...]) -> str:
    """Return the cursor for the page that begins after `place`, such as "1763710200#0000000012"."""
    return urlsafe_b64encode(f"{place}#{_check(user, filters)}".encode()).decode().rstrip("=")


def read(cursor: str, *, user: str, filters: tuple[str, ...]) -> str:
    """Return the place that a cursor was made with; Problem 400 if it was not made for this user and these filters."""
    match = None
    if len(cursor) <= _LONGEST and cursor.isascii():
        try:
            match = _PLACE.fullmatch(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        except ValueError:
            match = None
    if match is None or match[2].decode() != _check(user, filters):
        raise Problem(
            400,
            "cursor-not-valid",
            title="Cursor is not valid",
            detail="This cursor is not one of yours for these filters. Send `next` of the last page as `cursor`, with "
            "the same state, partition, name and since; or leave it out, and begin anew.",
        )
    return match[1].decode()


def _check(user: str, filters: tuple[str, ...]) -> str:
    return sha256("\0".join((user, *filters)).encode()).hexdigest()[:16]
