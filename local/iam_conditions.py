"""The condition keys that ministack 1.5.33 evaluates otherwise than AWS and this project's policies use.

    aws:PrincipalArn       of a role's session is the role's ARN on AWS, and the session's in ministack
    kms:SigningAlgorithm   is unknown to ministack: a policy that demands RS256 would refuse everyone
    events:source          the same: a policy that names the source of events would refuse everyone

All are corrected inside ministack's evaluator, so that policies are written for AWS alone.
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
        added = {"kms:Sign": _signing, "events:PutEvents": _sources}.get(action)
        return {**context, **added(_request(body))} if added else context

    iam_evaluator._resolve_condition_key = corrected_key
    iam_actions.request_tag_context = corrected_context


def _role_arn(session_arn: str, account: str) -> str:
    """Turn ``arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`` into the role's ARN, which has its path."""
    name = session_arn.split("/")[1]
    role = iam._roles.get_scoped(account, None, name)
    return str(role["Arn"]) if role else f"arn:aws:iam::{account}:role/{name}"


def _request(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except ValueError:
        request = None
    # What is no JSON object the service itself refuses.
    return request if isinstance(request, dict) else {}


def _signing(request: dict[str, Any]) -> dict[str, str]:
    return {key: str(request[name]) for name, key in _KMS_KEYS.items() if name in request}


def _sources(request: dict[str, Any]) -> dict[str, str]:
    """Give the source of a request's events; of several sources one that no policy names, where AWS looks at each."""
    sources = {str(entry.get("Source")) for entry in request.get("Entries", []) if isinstance(entry, dict)}
    return {"events:source": sources.pop() if len(sources) == 1 else ""}
