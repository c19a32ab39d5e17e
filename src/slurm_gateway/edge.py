"""The edge: no request reaches Slurm, or a function that acts for a user, without a good Slurm token.

API Gateway asks it with payload format 2.0 and takes a simple response. A refused token is answered with
`{"isAuthorized": False}`, which the client sees as 403. When the keys cannot be had it raises: the client
sees 500, nothing is cached, and nothing passes. A refusal instead would be cached, and would tell the holder
of a good token that it is bad.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from . import events, metrics
from .errors import TokenRefusedError, UnavailableError
from .verification import algorithm_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .verification import Claims, Verifier

_logger = logging.getLogger(__name__)

# Where slurmrestd itself hands a token to Slurm, which verifies it.
_SLURM_PATHS = ("/slurm/", "/slurmdb/")


class EdgeAuthorizer:
    """Decides over requests by their X-SLURM headers."""

    def __init__(self, verifier: Verifier, *, forbidden: frozenset[str], allow_head_node_tokens: bool) -> None:
        self._verifier = verifier
        self._forbidden = forbidden
        self._allow_head_node_tokens = allow_head_node_tokens

    def __call__(self, event: Mapping[str, Any], _context: object = None) -> dict[str, Any]:
        """Take an authorizer's event; return whether it passes, and as which user.

        Raises UnavailableError when the keys cannot be had.
        """
        try:
            claims = self._admit(event)
        except TokenRefusedError as exc:
            _logger.warning(
                "refused at the edge",
                extra={
                    "reason": exc.reason,
                    "claimed_kid": exc.kid,
                    "claimed_user": exc.user,
                    "route": event.get("routeKey"),
                    **events.origin(event),
                },
            )
            metrics.answered(403, exc.reason, request_id=events.request_id(event))
            return {"isAuthorized": False}
        except UnavailableError:
            metrics.answered(500, "keys-unavailable", request_id=events.request_id(event))
            raise
        # A function that answers from elsewhere than Slurm needs to know until when the token is good.
        return {
            "isAuthorized": True,
            "context": {
                "user": claims.user,
                "expires_at": claims.expires_at,
                "jti": claims.token_id,
                "sees_everyones_jobs": claims.sees_everyones_jobs,
            },
        }

    def _admit(self, event: Mapping[str, Any]) -> Claims:
        headers = events.headers(event)
        token, name = headers.get("x-slurm-user-token"), headers.get("x-slurm-user-name")
        # API Gateway asks nobody about a request without them; a hand-made event may lack them.
        if not token or not name:
            raise TokenRefusedError("header-missing")
        claims = self._verified(token, event)
        if claims.user in self._forbidden:
            raise TokenRefusedError("user-forbidden", user=claims.user)
        # A header sent twice arrives as "a,b" and is refused here, even "alice,alice".
        if name != claims.user:
            raise TokenRefusedError("name-is-not-sun", user=claims.user)
        return claims

    def _verified(self, token: str, event: Mapping[str, Any]) -> Claims:
        if self._allow_head_node_tokens and algorithm_of(token) == "HS256":
            # The route decides, not the path as sent: that one may be written in many ways.
            if not events.route_path(event).startswith(_SLURM_PATHS):
                raise TokenRefusedError("head-node-token-not-for-this-route")
            return self._verifier.read_head_node_token(token)
        return self._verifier.verify(token)
