"""POST /token and POST /token/oidc/{issuer}: a principal gets a Slurm token for its user.

API Gateway has verified who calls: an IAM principal's SigV4 signature, or an ID token. The access document says which
Slurm users the caller may be, the head node which users there are; KMS signs. Every answer is one line in the log, at
every log level, which never has the token.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import events, logs, metrics, problem, token_request, unmapped
from .access import choose
from .errors import UnavailableError
from .oidc import OidcPrincipal
from .principals import IamPrincipal
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .access import Access, Principal, Rule
    from .eligible_users import EligibleUsers
    from .keys import KeyList
    from .token_request import TokenRequest
    from .tokens import Mint, MintedToken

_logger = logging.getLogger(logs.AUDIT)
# What tells one job of a CI system from another; other claims may be about people.
_LOGGED_CLAIMS = (
    "repository", "repository_id", "project_path", "project_id", "ref", "ref_path", "environment", "event_name",
    "pipeline_source", "run_id", "job_id", "jti",
)  # fmt: skip


class TokenEndpoint:
    """Answers requests for tokens.

    `access`, `eligible` and `key_list` give the rules, the users whom the head node knows and the keys as of now, or
    raise UnavailableError. `forbidden` are the users who get no token whatever a rule says; `access_parameter` is the
    name of the SSM parameter that an operator edits.
    """

    def __init__(
        self,
        *,
        access: Callable[[], Access],
        eligible: Callable[[], EligibleUsers],
        key_list: Callable[[], KeyList],
        mint: Mint,
        forbidden: frozenset[str],
        access_parameter: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._eligible = eligible
        self._key_list = key_list
        self._mint = mint
        self._forbidden = forbidden
        self._access_parameter = access_parameter
        self._now = now

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
            _logger.exception("unexpected error", extra={**line, **metrics.embedded({"TokensUnavailable": 1})})
            metrics.answered(500, "unexpected", request_id=events.request_id(event))
            return problem.unexpected().response(events.request_id(event))
        else:
            _logger.info("token minted", extra={**line, **metrics.embedded({"TokensMinted": 1})})
            return _success(token, as_text=token_request.wants_text(events.headers(event).get("accept", "")))
        counted = metrics.embedded({"TokensUnavailable" if answer.status >= 500 else "TokensRefused": 1})
        _logger.warning("no token", extra={**line, "status": answer.status, "reason": answer.kind, **counted})
        metrics.answered(answer.status, answer.kind, request_id=events.request_id(event))
        return answer.response(events.request_id(event))

    def _token(self, event: Mapping[str, Any], line: dict[str, Any]) -> MintedToken:
        who = _principal(event)
        line["principal"] = None if who is None else str(who)
        if who is None:
            raise _not_authorized()
        if isinstance(who, OidcPrincipal):
            line["claims"] = {name: who.claims[name] for name in _LOGGED_CLAIMS if name in who.claims}
        try:
            request = token_request.parse(events.body(event))
        except ValueError as exc:
            raise token_request.not_json("the body is not the base64 it says it is") from exc
        line["asked_user"] = request.user
        rule, user = self._decide(who, request)
        line |= {"user": user, "rule": rule.name}
        lifespan = _lifespan(rule, request)
        line["lifespan"] = lifespan
        self._require_eligible(user, line)
        signer = self._key_list().signer
        if signer is None:
            raise UnavailableError("the first entry of the key list is not a KMS key id or key ARN")
        token = self._mint.mint(user, lifespan=lifespan, key=signer, sees_everyones_jobs=rule.sees_everyones_jobs)
        line |= {"jti": token.token_id, "kid": token.kid}
        return token

    def _decide(self, who: Principal, request: TokenRequest) -> tuple[Rule, str]:
        rules = self._access().rules_for(who)
        if not rules:
            raise unmapped.problem(who, self._access_parameter)
        chosen = choose(rules, request.user)
        # The document is read without forbidden users; this is the second lock on the same door.
        if chosen is None or chosen[1] in self._forbidden:
            allowed = dict.fromkeys(user for rule in rules for user in rule.users if user not in self._forbidden)
            raise Problem(
                403,
                "user-not-allowed",
                title="Not this user",
                detail=f"{who} may not be {request.user or rules[0].users[0]}. "
                f"It may be: {', '.join(allowed) or 'nobody'}.",
            )
        return chosen

    def _require_eligible(self, user: str, line: dict[str, Any]) -> None:
        try:
            eligible = self._eligible()
            # It may have grown old since it was read.
            eligible.require_recent(self._now())
        except UnavailableError as exc:
            line["error"] = str(exc)
            raise Problem(
                503,
                "users-unknown",
                title="Users not known now",
                detail="The head node has not said lately which users there are, and no token is made without. Try "
                "again in a minute; if it lasts, an operator looks at the head node: systemctl status "
                "slurm-gateway-users.",
                retry_after=60,
            ) from exc
        if user not in eligible.users:
            raise Problem(
                403,
                "user-not-eligible",
                title="No tokens for this user",
                detail=f"{user} gets no token: the head node knows no such user, or the user's number is below 1000, "
                "or the user would be root, by sudo or by a group such as wheel or docker. What an operator changes "
                "there counts within a minute, and what changes in a directory within six.",
            )


def _principal(event: Mapping[str, Any]) -> Principal | None:
    """Return whom API Gateway verified: a route has one authorizer, and so an event one kind of caller."""
    claims = events.oidc_claims(event)
    if claims is not None and claims.get("iss"):
        return OidcPrincipal(claims["iss"], claims)
    arn = events.iam_caller(event)
    return IamPrincipal(arn) if arn else None


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
        detail="The request came without an IAM identity or an ID token that API Gateway verified. Sign it with SigV4 "
        "for the service execute-api; if it was signed, the route lacks its authorizer.",
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
