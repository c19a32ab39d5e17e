"""The signing keys: which ones count, and their public halves.

One SSM parameter (a StringList) holds the ids or ARNs of KMS keys. The first signs; all are accepted. That
list is the whole state of a rotation, and a key is known by its `kid`, which is the KMS key's id.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.serialization import load_der_public_key

from .aws import error_code, read_parameter, unavailable_on_failure
from .errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.client import BaseClient
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_logger = logging.getLogger(__name__)

# No alias: it can be pointed at another key, and then a kid would mean two keys.
_ENTRY = re.compile(
    r"(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/)?"
    r"(?P<kid>mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)
_SIGNING_ALGORITHM = "RSASSA_PKCS1_V1_5_SHA_256"
# KMS's answers that do not get better by asking again: such a key is left out, the others go on.
_UNUSABLE = frozenset(
    {
        "AccessDeniedException",
        "DisabledException",
        "InvalidArnException",
        "KMSInvalidStateException",
        "NotFoundException",
        "UnsupportedOperationException",
        "ValidationException",
    }
)


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key of the list: `kid` names it in tokens, `key_id` (id or ARN, as listed) names it to KMS."""

    kid: str
    key_id: str


@dataclass(frozen=True, slots=True)
class KeyList:
    """The keys that are accepted, and the one that signs (None if the list's first entry is no key)."""

    signer: ListedKey | None
    accepted: tuple[ListedKey, ...]


def parse_key_list(value: str) -> KeyList:
    """Take the parameter's value; return its keys.

    An entry that is not a key id or key ARN is left out and logged as an error. If it is the first, nothing
    signs: another key does not slip into its place.
    """
    entries = [entry.strip() for entry in value.split(",")]
    keys = [
        ListedKey(kid=match["kid"], key_id=entry) if (match := _ENTRY.fullmatch(entry)) else None for entry in entries
    ]
    for entry, key in zip(entries, keys, strict=True):
        if key is None:
            _logger.error(
                "an entry of the key list is not a KMS key id or key ARN (an alias is neither): put the "
                "key's own id in its place",
                extra={"entry": entry},
            )
    return KeyList(signer=keys[0], accepted=tuple(key for key in keys if key))


def read_key_list(ssm: BaseClient, parameter: str) -> KeyList:
    """Read the list from SSM; UnavailableError if that fails."""
    return parse_key_list(read_parameter(ssm, parameter))


class PublicKeys:
    """The public halves of KMS keys, fetched once each: a KMS key never changes its material."""

    def __init__(self, kms: BaseClient) -> None:
        self._kms = kms
        self._held: dict[str, RSAPublicKey] = {}

    def of(self, key_list: KeyList) -> Mapping[str, RSAPublicKey]:
        """Return the accepted keys by kid.

        A key that KMS does not have, or does not show, is left out and logged as an error; any other failure
        raises UnavailableError, and so does a list without one usable key.
        """
        found: dict[str, RSAPublicKey] = {}
        for key in key_list.accepted:
            public_key = self._held.get(key.key_id) or self._fetch(key)
            if public_key is not None:
                found[key.kid] = self._held[key.key_id] = public_key
        if not found:
            raise UnavailableError("the key list has no usable key")
        return found

    def _fetch(self, key: ListedKey) -> RSAPublicKey | None:
        with unavailable_on_failure(f"cannot get the public key {key.kid}"):
            try:
                answer = self._kms.get_public_key(KeyId=key.key_id)
            except ClientError as exc:
                if error_code(exc) not in _UNUSABLE:
                    raise
                _logger.error(
                    "a listed key is left out: KMS does not give its public key",
                    extra={"kid": key.kid, "error": error_code(exc)},
                )
                return None
        if _SIGNING_ALGORITHM not in answer.get("SigningAlgorithms", ()):
            _logger.error(
                "a listed key is left out: it does not sign by the algorithm it should",
                extra={"kid": key.kid, "should_sign_by": _SIGNING_ALGORITHM},
            )
            return None
        return cast("RSAPublicKey", load_der_public_key(answer["PublicKey"]))
