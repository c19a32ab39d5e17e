"""The condition keys that ministack 1.5.33 evaluates otherwise than AWS and this project's policies use.

    aws:PrincipalArn       of a role's session is the role's ARN on AWS, and the session's in ministack
    kms:SigningAlgorithm   is unknown to ministack: a policy that demands RS256 would refuse everyone

Both are corrected inside ministack's evaluator, so that policies are written for AWS alone.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services import iam

_KMS_KEYS = {"SigningAlgorithm": "kms:SigningAlgorithm", "MessageType": "kms:MessageType"}


def correct() -> None:
    """Put the corrections into ministack, in this process."""
    resolve_key = iam_evaluator._resolve_condition_key
    request_context = iam_actions.request_tag_context

    def corrected_key(key: str, context: Any) -> Any:  # noqa: ANN401 (ministack's own types)
        # By the ARN, for where a queue's own policy is asked the type is another.
        if key.lower() == "aws:principalarn" and ":assumed-role/" in context.principal_arn:
            return _role_arn(context.principal_arn, context.principal_account)
        return resolve_key(key, context)

    def corrected_context(service: str, action: str, body: bytes, *rest: object) -> dict[str, Any]:
        context: dict[str, Any] = request_context(service, action, body, *rest)
        return {**context, **_signing(body)} if action == "kms:Sign" else context

    iam_evaluator._resolve_condition_key = corrected_key
    iam_actions.request_tag_context = corrected_context


def _role_arn(session_arn: str, account: str) -> str:
    """Turn ``arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`` into the role's ARN, which has its path."""
    name = session_arn.split("/")[1]
    role = iam._roles.get_scoped(account, None, name)
    return str(role["Arn"]) if role else f"arn:aws:iam::{account}:role/{name}"


def _signing(body: bytes) -> dict[str, str]:
    try:
        request = json.loads(body)
    except ValueError:
        # Not JSON: the service itself refuses it.
        return {}
    return {key: str(request[name]) for name, key in _KMS_KEYS.items() if isinstance(request, dict) and name in request}
