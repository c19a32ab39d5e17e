"""Signatures by the gateway's own key over whatever a test wants signed, with the token function's credentials."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from local import aws_emulator, stacks

Sign = Callable[[bytes, bytes], str]
"""Gives a token of a header and a payload, whatever these are."""


def signing_key_id() -> str:
    """Give the id of the key that signs: the first in the list."""
    parameter = stacks.outputs_of(stacks.REQUIREMENTS_STACK)["KeysParameterName"]
    listed = _client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    return str(listed.split(",")[0].rpartition("/")[2])


def sign_with_kms(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Give a token of this header and these claims (those that are None left out), rightly signed by KMS."""
    claims = {name: value for name, value in claims.items() if value is not None}
    return signer()(json.dumps(header).encode(), json.dumps(claims).encode())


def signer(kms: Any = None, key_id: str | None = None) -> Sign:
    """Give what signs bytes: with the gateway's own key, or with another of KMS's and a client that may use it."""
    client, key = kms or _client("kms"), key_id or signing_key_id()

    def sign(header: bytes, payload: bytes) -> str:
        signed = f"{base64url(header)}.{base64url(payload)}"
        signature = client.sign(
            KeyId=key,
            # KMS signs messages of up to 4096 bytes.
            Message=signed.encode(),
            MessageType="RAW",
            SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
        )["Signature"]
        return f"{signed}.{base64url(signature)}"

    return sign


def base64url(data: bytes) -> str:
    """Give bytes as the parts of a token are written."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _client(service: str) -> Any:
    names = aws_emulator.client("lambda").list_functions()["Functions"]
    arn = next(item["FunctionArn"] for item in names if item["Handler"] == "slurm_gateway.token_api.handler")
    return aws_emulator.client(service, stacks.function_credentials(arn))
