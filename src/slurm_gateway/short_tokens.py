"""Tokens that a function makes for itself, to act as the user whom a rule of the inbox names.

Each is a line of the audit log and counted, as those of POST /token are (token_endpoint.py).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from . import logs, metrics
from .caller import Caller
from .errors import MintRefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .eligible_users import EligibleUsers
    from .keys import KeyList
    from .tokens import Mint

_logger = logging.getLogger(logs.AUDIT)

# Short: what became of a submit is known for sure once its token has expired. Long enough for one invocation.
LIFESPAN = 120
_LEAST_LEFT = 60


class ShortTokens:
    """Makes a user's token and uses it again while it is good for long enough.

    `key_list` and `eligible` give the keys and the users whom the head node knows, as of now, or raise
    UnavailableError; `clock` gives Unix seconds.
    """

    def __init__(
        self,
        mint: Mint,
        key_list: Callable[[], KeyList],
        eligible: Callable[[], EligibleUsers],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._mint = mint
        self._key_list = key_list
        self._eligible = eligible
        self._clock = clock
        # By rule and user: what one rule does is never done by a token that the audit log says another has.
        self._held: dict[tuple[str, str], Caller] = {}

    def caller(self, rule: str, user: str, origin: Mapping[str, Any]) -> Caller:
        """Return the user whom a rule names, with a token of its own; UnavailableError if none can be made.

        Who calls this has decided that the rule may act as `user`. MintRefusedError if the head node does not know the
        user. `origin` is what the audit log says of where the wish came from.
        """
        line = {**origin, **about(rule, user)}
        try:
            return self._caller(rule, user, line)
        except UnavailableError as exc:
            counted = metrics.embedded({"TokensUnavailable": 1})
            _logger.warning("no token", extra={**line, "reason": "unavailable", "error": str(exc), **counted})
            raise

    def _caller(self, rule: str, user: str, line: Mapping[str, Any]) -> Caller:
        eligible = self._eligible()
        # It may have grown old since it was read.
        eligible.require_recent(self._clock())
        if user not in eligible.users:
            raise MintRefusedError(
                "user-not-eligible",
                f"The head node knows no user {user} who may have a token: one whose number is 1000 or above, without "
                "sudo, and in no group such as wheel or docker. It looks every 5 minutes.",
            )
        held = self._held.get((rule, user))
        if held is None or held.expires_at - self._clock() < _LEAST_LEFT:
            signer = self._key_list().signer
            if signer is None:
                raise UnavailableError("the first entry of the key list is not a KMS key id or key ARN")
            token = self._mint.mint(user, lifespan=LIFESPAN, key=signer)
            minted = {"lifespan": LIFESPAN, "jti": token.token_id, "kid": token.kid}
            _logger.info("token minted", extra={**line, **minted, **metrics.embedded({"TokensMinted": 1})})
            held = self._held[rule, user] = Caller(
                user=user, token=token.text, expires_at=token.expires_at, token_id=token.token_id
            )
        return held


def refused(rule: str, user: str, origin: Mapping[str, Any], reason: str) -> None:
    """Write the audit log's line of a token that a rule does not get."""
    counted = metrics.embedded({"TokensRefused": 1})
    _logger.warning("no token", extra={**origin, **about(rule, user), "reason": reason, **counted})


def about(rule: str, user: str) -> dict[str, str]:
    """Return what the audit log calls a rule and its user."""
    return {"principal": f"inbox rule {rule}", "user": user, "rule": rule}
