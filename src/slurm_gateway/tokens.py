"""Slurm tokens: minted here, signed by a key that never leaves KMS."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from jwt.algorithms import Algorithm
from jwt.api_jws import PyJWS

from .aws import unavailable_on_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.client import BaseClient

    from .keys import ListedKey

ISSUER = "slurm-gateway"
# A claim of our own, and what the edge calls it when it tells a function of the caller.
SEES_EVERYONES_JOBS = "sees_everyones_jobs"


class KmsRs256(Algorithm):
    """RS256 whose private key is in KMS: a "key" is a KMS key's id or ARN. It signs only."""

    def __init__(self, kms: BaseClient) -> None:
        self._kms = kms

    def prepare_key(self, key: str) -> str:
        """Take a KMS key's id or ARN; return it."""
        return key

    def sign(self, msg: bytes, key: str) -> bytes:
        """Return KMS's signature of `msg`, at most 4096 bytes; UnavailableError if KMS gives none."""
        with unavailable_on_failure("cannot sign a token"):
            # RAW: KMS makes the digest itself, so nothing but a digest of this message is ever signed.
            answer = self._kms.sign(
                KeyId=key,
                Message=msg,
                MessageType="RAW",
                SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
            )
        return bytes(answer["Signature"])

    def verify(self, msg: bytes, key: str, sig: bytes) -> NoReturn:
        """Raise NotImplementedError: verification.py verifies, with the public key and without a call."""
        raise NotImplementedError("tokens are verified with the public key, not by KMS")

    @staticmethod
    def to_jwk(key_obj: Any, as_dict: bool = False) -> NoReturn:  # noqa: ANN401
        """Raise NotImplementedError: a KMS key has no JWK; jwks_api.py has the public one."""
        raise NotImplementedError("the private key never leaves KMS")

    @staticmethod
    def from_jwk(jwk: Any) -> NoReturn:  # noqa: ANN401
        """Raise NotImplementedError: a JWK is no KMS key."""
        raise NotImplementedError("the private key never leaves KMS")


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A token and what is worth telling about it; `issued_at` and `expires_at` are Unix seconds."""

    text: str
    user: str
    token_id: str
    kid: str
    issued_at: int
    expires_at: int


class Mint:
    """Makes Slurm tokens."""

    def __init__(self, kms: BaseClient, *, now: Callable[[], float] = time.time) -> None:
        # An instance of our own: jwt.register_algorithm would replace RS256 for the whole process.
        self._jws = PyJWS(algorithms=[])
        self._jws.register_algorithm("RS256", KmsRs256(kms))
        self._now = now

    def mint(self, user: str, *, lifespan: int, key: ListedKey, sees_everyones_jobs: bool = False) -> MintedToken:
        """Return a token for `user` that expires after `lifespan` seconds, signed by `key`.

        `sees_everyones_jobs` is for the jobs function to know (caller.py); Slurm makes nothing of it. The caller has
        decided that `user` may have the token. UnavailableError if KMS does not sign.
        """
        issued_at = int(self._now())
        token_id = str(uuid.uuid4())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "iat": issued_at,
            "exp": issued_at + lifespan,
            "sun": user,
            "jti": token_id,
        }
        if sees_everyones_jobs:
            claims[SEES_EVERYONES_JOBS] = True
        text = self._jws.encode(
            json.dumps(claims, separators=(",", ":")).encode(),
            key.key_id,
            algorithm="RS256",
            headers={"kid": key.kid},
        )
        return MintedToken(
            text=text,
            user=user,
            token_id=token_id,
            kid=key.kid,
            issued_at=issued_at,
            expires_at=issued_at + lifespan,
        )
