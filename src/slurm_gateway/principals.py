"""IAM principals: who a caller is, and who a rule means.

A caller is known by the ARN that API Gateway verified: a user's, or a role session's, which says which role it is of
but not that role's path, and a name that whoever assumed the role chose. That name decides nothing, but for the
roles of IAM Identity Center: only Identity Center can assume them, and the name is its user's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .patterns import fits

_NAME = r"[A-Za-z0-9+=,.@_-]{1,128}"
_PATH = r"(?:[!-.0-~]+/)*"
_USER = re.compile(rf"arn:aws[a-z-]*:iam::[0-9]{{12}}:user/{_PATH}{_NAME}")
_ROLE = re.compile(rf"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>[0-9]{{12}}):role/{_PATH}(?P<name>{_NAME})")
_SESSION = re.compile(
    rf"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>[0-9]{{12}}):"
    rf"assumed-role/(?P<name>{_NAME})/(?P<session>{_NAME})"
)
# The digits at its end are a role's own: nobody can make another role of that name while it exists.
_IDENTITY_CENTER = re.compile(r"AWSReservedSSO_[A-Za-z0-9+=,.@_-]{1,64}_[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class IamPrincipal:
    """A caller whose SigV4 signature API Gateway verified, by the ARN that it gave."""

    arn: str

    @property
    def user(self) -> str:
        """The ARN of the IAM user that this is, "" if it is none."""
        return of_user(self.arn) or ""

    @property
    def role(self) -> str:
        """The role of which this is a session, as an ARN without a path, "" if it is none."""
        match = _SESSION.fullmatch(self.arn)
        return _without_path(match) if match else ""

    @property
    def session(self) -> str:
        """The session's name, "" if it is no role's session."""
        match = _SESSION.fullmatch(self.arn)
        return match["session"] if match else ""

    def __str__(self) -> str:
        """Return the ARN."""
        return self.arn


@dataclass(frozen=True, slots=True)
class IamUser:
    """Whom a rule means: the IAM user of this ARN."""

    arn: str

    def mismatch(self, who: object) -> str:
        """Return why a principal is not meant, "" if it is."""
        return "" if isinstance(who, IamPrincipal) and who.user == self.arn else f"it is for the user {self.arn}"


@dataclass(frozen=True, slots=True)
class IamRole:
    """Whom a rule means: every session of a role, given as an ARN without a path."""

    arn: str

    def mismatch(self, who: object) -> str:
        """Return why a principal is not meant, "" if it is."""
        return "" if isinstance(who, IamPrincipal) and who.role == self.arn else f"it is for the role {self.arn}"


@dataclass(frozen=True, slots=True)
class IdentityCenter:
    """Whom a rule means: sessions of a role of IAM Identity Center whose name fits (patterns.py)."""

    role: str
    session: str

    def mismatch(self, who: object) -> str:
        """Return why a principal is not meant, "" if it is."""
        if not isinstance(who, IamPrincipal) or who.role != self.role:
            return f"it is for the role {self.role}"
        return "" if fits(self.session, who.session) else f"the session is {who.session!r}, not {self.session!r}"


def of_user(arn: str) -> str | None:
    """Return an IAM user's ARN as it is, None if it is not one."""
    return arn if _USER.fullmatch(arn) else None


def of_role(arn: str) -> str | None:
    """Return an IAM role's ARN without its path, None if it is not one.

    A session's ARN has no path either, and an account has no two roles of one name.
    """
    match = _ROLE.fullmatch(arn)
    return _without_path(match) if match else None


def of_identity_center(arn: str) -> str | None:
    """Return the ARN, without its path, of a role that IAM Identity Center made, None if it is not one."""
    role = of_role(arn)
    return role if role and _IDENTITY_CENTER.fullmatch(role.rpartition("/")[2]) else None


def _without_path(match: re.Match[str]) -> str:
    return f"arn:{match['partition']}:iam::{match['account']}:role/{match['name']}"
