"""GET /.well-known/jwks.json: the public keys, for whoever verifies a token of ours."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from jwt.algorithms import RSAAlgorithm

from . import events, metrics, problem
from .cached import FRESH_FOR
from .errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_logger = logging.getLogger(__name__)


def jwk(kid: str, public_key: RSAPublicKey) -> dict[str, str]:
    """Return a key as RFC 7517 writes it."""
    numbers = RSAAlgorithm.to_jwk(public_key, as_dict=True)
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": numbers["n"], "e": numbers["e"]}


class JwksEndpoint:
    """Answers with the keys that `public_keys` gives by kid (it may raise UnavailableError)."""

    def __init__(self, public_keys: Callable[[], Mapping[str, RSAPublicKey]]) -> None:
        self._public_keys = public_keys

    def __call__(self, event: Mapping[str, Any], _context: object = None) -> dict[str, Any]:
        """Take API Gateway's event; return its response, 503 when the keys cannot be had."""
        try:
            keys = [jwk(kid, public_key) for kid, public_key in self._public_keys().items()]
        except UnavailableError as exc:
            _logger.error("no keys to show", extra={"error": str(exc), **events.origin(event)})
            metrics.answered(503, "unavailable", request_id=events.request_id(event))
            return problem.unavailable("The keys cannot be read").response(events.request_id(event))
        except Exception:
            _logger.exception("unexpected error", extra=events.origin(event))
            metrics.answered(500, "unexpected", request_id=events.request_id(event))
            return problem.unexpected().response(events.request_id(event))
        return {
            "statusCode": 200,
            "headers": {
                "content-type": "application/jwk-set+json",
                # As long as the functions hold the list themselves.
                "cache-control": f"public, max-age={FRESH_FOR:.0f}",
            },
            "body": json.dumps({"keys": keys}),
        }
