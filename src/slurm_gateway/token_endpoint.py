"""POST /token: an IAM principal gets a Slurm token for its user.

API Gateway has verified the caller's SigV4 signature. The access document says which Slurm users the caller
may be; KMS signs. Every answer is one line in the log, which never has the token.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import events, metrics, principals, problem, token_request
from .access import choose
from .errors import UnavailableError
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .access import Access, Rule
    from .keys import KeyList
    from .token_request import TokenRequest
    from .tokens import Mint, MintedToken

_logger = logging.getLogger(__name__)


class TokenEndpoint:
    """Answers requests for tokens.

    `access` and `key_list` give the rules and the keys as of now, or raise UnavailableError. `forbidden` are
    the users who get no token whatever a rule says; `access_parameter` is the name of the SSM parameter that
    an operator edits.
    """

    def __init__(
        self,
        *,
        access: Callable[[], Access],
        key_list: Callable[[], KeyList],
        mint: Mint,
        forbidden: frozenset[str],
        access_parameter: str,
    ) -> None:
        self._access = access
        self._key_list = key_list
        self._mint = mint
        self._forbidden = forbidden
        self._access_parameter = access_parameter

    def __call__(self, event: Mapping[str, Any], _context: object = None) -> dict[str, Any]:
        """Take API Gateway's event; return its response."""
        # One line for each answer: what is known when it is given.
        line: dict[str, Any] = dict(events.origin(event))
        try:
            token = self._token(event, line)
        except Problem as exc:
            answer = exc
        except UnavailableError as exc:
            line["error"] = str(exc)
            answer = problem.unavailable("No token can be made now")
        except Exception:
            _logger.exception("unexpected error", extra=line)
            metrics.answered(500, "unexpected", request_id=events.request_id(event))
            return problem.unexpected().response(events.request_id(event))
        else:
            _logger.info("token minted", extra=line)
            metrics.emit({"TokensMinted": 1}, request_id=events.request_id(event))
            return _success(token, as_text=token_request.wants_text(events.headers(event).get("accept", "")))
        _logger.warning("no token", extra={**line, "status": answer.status, "reason": answer.kind})
        metrics.answered(answer.status, answer.kind, request_id=events.request_id(event))
        return answer.response(events.request_id(event))

    def _token(self, event: Mapping[str, Any], line: dict[str, Any]) -> MintedToken:
        caller = events.iam_caller(event)
        line["principal"] = caller
        if caller is None:
            raise _not_authorized()
        try:
            request = token_request.parse(events.body(event))
        except ValueError as exc:
            raise token_request.not_json("the body is not the base64 it says it is") from exc
        line["asked_user"] = request.user
        rule, user = self._decide(caller, request)
        line |= {"user": user, "rule": rule.name}
        lifespan = _lifespan(rule, request)
        line["lifespan"] = lifespan
        signer = self._key_list().signer
        if signer is None:
            raise UnavailableError("the first entry of the key list is not a KMS key id or key ARN")
        token = self._mint.mint(user, lifespan=lifespan, key=signer)
        line |= {"jti": token.token_id, "kid": token.kid}
        return token

    def _decide(self, caller: str, request: TokenRequest) -> tuple[Rule, str]:
        principal = principals.of_caller(caller)
        rules = self._access().rules_for(principal) if principal else ()
        if not rules:
            raise self._unmapped(caller, principal)
        chosen = choose(rules, request.user)
        # The document is read without forbidden users; this is the second lock on the same door.
        if chosen is None or chosen[1] in self._forbidden:
            allowed = dict.fromkeys(user for rule in rules for user in rule.users if user not in self._forbidden)
            raise Problem(
                403,
                "user-not-allowed",
                title="Not this user",
                detail=f"{caller} may not be {request.user or rules[0].users[0]}. "
                f"It may be: {', '.join(allowed) or 'nobody'}.",
            )
        return chosen

    def _unmapped(self, caller: str, principal: str | None) -> Problem:
        if principal is None:
            todo = "Only IAM users and roles can be: call as one of them."
        else:
            kind = "iam_role" if principals.is_role(principal) else "iam_user"
            todo = (
                "An operator adds a rule to the access document (SSM parameter "
                f"{self._access_parameter}), with the Slurm users it may be:\n"
                f"  - name: {principal.rpartition('/')[2]}\n"
                f"    principal:\n"
                f"      {kind}: {principal}\n"
                f"    users: [SLURM_USER]\n"
            )
        return Problem(
            403,
            "principal-not-mapped",
            title="Mapped to no Slurm user",
            detail=f"{caller} is mapped to no Slurm user. {todo}",
        )


def _lifespan(rule: Rule, request: TokenRequest) -> int:
    if request.lifespan is None:
        return rule.default_lifespan
    if request.lifespan > rule.longest_lifespan:
        raise Problem(
            422,
            "lifespan-too-long",
            title="Lifespan too long",
            detail=f"lifespan is {request.lifespan} s; the rule {rule.name} allows at most "
            f"{rule.longest_lifespan} s. Ask for that or less.",
        )
    return request.lifespan


def _not_authorized() -> Problem:
    return Problem(
        401,
        "caller-unknown",
        title="Who are you?",
        detail="The request came without an IAM identity that API Gateway verified. Sign it with SigV4 for "
        "the service execute-api; if it was signed, the route lacks its IAM authorizer.",
    )


def _success(token: MintedToken, *, as_text: bool) -> dict[str, Any]:
    if as_text:
        content_type, body = "text/plain; charset=utf-8", f"SLURM_JWT={token.text}\n"
    else:
        content_type = "application/json"
        body = json.dumps(
            {
                "user": token.user,
                "token": token.text,
                "expires_in": token.expires_at - token.issued_at,
                "expires_at": datetime.fromtimestamp(token.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
    return {
        "statusCode": 200,
        "headers": {"content-type": content_type, "cache-control": "no-store"},
        "body": body,
    }
