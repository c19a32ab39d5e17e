"""Tokens that a function makes for itself, to act as the user whom a rule of the inbox names."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .caller import Caller
from .errors import DeadLetterError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .eligible_users import EligibleUsers
    from .keys import KeyList
    from .tokens import Mint

_logger = logging.getLogger(__name__)

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
        self._held: dict[str, Caller] = {}

    def caller(self, user: str) -> Caller:
        """Return the user with a token of its own; UnavailableError if none can be made.

        Who calls this has decided that `user` may be acted as. DeadLetterError if the head node does not know the user.
        """
        eligible = self._eligible()
        # It may have grown old since it was read.
        eligible.require_recent(self._clock())
        if user not in eligible.users:
            raise DeadLetterError(
                f"The head node knows no user {user} who may have a token: one whose number is 1000 or above, and "
                "without sudo. It looks every 5 minutes."
            )
        held = self._held.get(user)
        if held is None or held.expires_at - self._clock() < _LEAST_LEFT:
            signer = self._key_list().signer
            if signer is None:
                raise UnavailableError("the first entry of the key list is not a KMS key id or key ARN")
            token = self._mint.mint(user, lifespan=LIFESPAN, key=signer)
            _logger.info("token minted", extra={"user": user, "jti": token.token_id, "kid": token.kid})
            held = self._held[user] = Caller(user=user, token=token.text, expires_at=token.expires_at)
        return held
