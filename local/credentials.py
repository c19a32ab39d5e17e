"""Whose an access key is, and what its holder may do: what API Gateway asks IAM, here the emulator."""

from __future__ import annotations

from dataclasses import dataclass, field

from local import aws_emulator

TIMEOUT = 5.0


@dataclass(frozen=True)
class Identity:
    """The principal behind an access key.

    ``arn`` is the IAM user's or the role session's, ``user_id`` what IAM calls its unique id (for a session
    ``ROLEID:SESSION``), ``account`` 12 digits, ``secret`` the key's secret, which never shows in a log.
    """

    arn: str
    user_id: str
    account: str
    secret: str = field(repr=False)
    access_key_id: str


def secret_for(access_key_id: str, session_token: str | None) -> Identity | None:
    """Give the identity behind an access key, with the secret by which to verify its signature.

    Takes the access key id and the session token that came with the request (``X-Amz-Security-Token``), if
    any. None where no such key is active, where the session has expired, where the token is missing, wrong or
    not wanted, and for root's keys: nobody calls this stack's API as root. Raises OSError or EmulatorError
    when the emulator is down.
    """
    body = {"access_key_id": access_key_id, "session_token": session_token}
    found = aws_emulator.ask("POST", "/_local/identity", body, timeout=TIMEOUT)["identity"]
    return None if found is None else Identity(**found, access_key_id=access_key_id)


def is_allowed(identity: Identity, action: str, resource_arn: str) -> bool:
    """Tell whether an identity's own policies allow an action, such as ``execute-api:Invoke``.

    Takes the resource's ARN. A permissions boundary and a session's policies count; an HTTP API has no
    resource policy.
    """
    body = {"access_key_id": identity.access_key_id, "action": action, "resource": resource_arn}
    return bool(aws_emulator.ask("POST", "/_local/allowed", body, timeout=TIMEOUT)["allowed"])
