"""Signatures by the gateway's own key over whatever a test wants signed, with the token function's credentials."""

from __future__ import annotations

import base64
import json
from typing import Any

from local import aws_emulator, stacks


def signing_key_id() -> str:
    """Give the id of the key that signs: the first in the list."""
    parameter = stacks.outputs_of(stacks.REQUIREMENTS_STACK)["KeysParameterName"]
    listed = _client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    return str(listed.split(",")[0].rpartition("/")[2])


def sign_with_kms(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Give a token of this header and these claims (those that are None left out), rightly signed by KMS."""
    claims = {name: value for name, value in claims.items() if value is not None}
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    signature = _client("kms").sign(
        KeyId=signing_key_id(),
        Message=signed.encode(),
        MessageType="RAW",
        SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
    )["Signature"]
    return f"{signed}.{_base64url(signature)}"


def _client(service: str) -> Any:
    names = aws_emulator.client("lambda").list_functions()["Functions"]
    arn = next(item["FunctionArn"] for item in names if item["Handler"] == "slurm_gateway.token_api.handler")
    return aws_emulator.client(service, stacks.function_credentials(arn))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
