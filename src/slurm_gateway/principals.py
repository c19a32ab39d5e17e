"""IAM principals: who a caller is, and who a rule means.

A principal is one string: a user's ARN as it is, a role's as account and name (`arn:aws:iam::1:role/Name`). A
role session's ARN says which role it is of, and a name that whoever assumed the role chose: the name decides
nothing here.
"""

from __future__ import annotations

import re

_NAME = r"[A-Za-z0-9+=,.@_-]{1,128}"
_PATH = r"(?:[!-.0-~]+/)*"
_USER = re.compile(rf"arn:aws[a-z-]*:iam::[0-9]{{12}}:user/{_PATH}{_NAME}")
_ROLE = re.compile(rf"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>[0-9]{{12}}):role/{_PATH}(?P<name>{_NAME})")
_SESSION = re.compile(
    rf"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>[0-9]{{12}}):assumed-role/(?P<name>{_NAME})/{_NAME}"
)


def of_caller(arn: str) -> str | None:
    """Take the ARN that API Gateway verified; return its principal.

    None for what no rule can mean: an account's root, a federated user, an AWS service.
    """
    if _USER.fullmatch(arn):
        return arn
    match = _SESSION.fullmatch(arn)
    return _role(match) if match else None


def of_user(arn: str) -> str | None:
    """Return the principal of an IAM user's ARN, None if it is not one."""
    return arn if _USER.fullmatch(arn) else None


def of_role(arn: str) -> str | None:
    """Return the principal of an IAM role's ARN, None if it is not one.

    The path goes: a session's ARN has none, and an account has no two roles of one name.
    """
    match = _ROLE.fullmatch(arn)
    return _role(match) if match else None


def is_role(principal: str) -> bool:
    """Tell whether a principal is a role; else it is a user."""
    return ":role/" in principal


def _role(match: re.Match[str]) -> str:
    return f"arn:{match['partition']}:iam::{match['account']}:role/{match['name']}"
