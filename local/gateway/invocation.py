"""Lambda functions, invoked through the AWS emulator's Invoke API.

Source: AWS Lambda API reference, Invoke.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.gateway.messages import combined
from local.gateway.upstream import Upstream

REQUEST_LIMIT = RESPONSE_LIMIT = 6 * 1024 * 1024
"""Bytes of an event and of an answer. Source: AWS Lambda Developer Guide, quotas, "Invocation payload"."""


class InvocationError(Exception):
    """The function could not be invoked, or failed; the message never holds what it was given."""


class ThrottledError(InvocationError):
    """Lambda has no room for another invocation."""


class EventTooLargeError(InvocationError):
    """The event exceeds what Lambda takes."""


@dataclass(frozen=True)
class Invoked:
    """What a function returned, and Lambda's own request id and status."""

    payload: bytes
    request_id: str
    status: int


class Functions:
    """Invokes functions synchronously, each in the time it is given.

    Takes the emulator's base URL, the region and the credentials by which API Gateway itself invokes. Raises
    InvocationError and UpstreamError.
    """

    def __init__(self, endpoint: str, region: str, access_key_id: str, secret_access_key: str) -> None:
        self._upstream = Upstream(endpoint)
        self._endpoint = endpoint.rstrip("/")
        self._host = urlsplit(endpoint).netloc
        self._signer = SigV4Auth(Credentials(access_key_id, secret_access_key), "lambda", region)

    async def close(self) -> None:
        """Close the connections to the emulator."""
        await self._upstream.close()

    async def invoke(self, function_arn: str, event: dict[str, Any], seconds: float) -> Invoked:
        """Invoke a function with an event and wait that many seconds for its answer."""
        body = json.dumps(event, separators=(",", ":")).encode()
        if len(body) > REQUEST_LIMIT:
            raise EventTooLargeError(f"the event has {len(body)} bytes")
        target = f"/2015-03-31/functions/{quote(function_arn, safe='')}/invocations"
        signed = AWSRequest("POST", self._endpoint + target, data=body, headers={"Content-Type": "application/json"})
        self._signer.add_auth(signed)
        headers = [("Host", self._host), ("Content-Length", str(len(body))), *signed.headers.items()]
        answer = await self._upstream.send("POST", target, headers, body, seconds=seconds, limit=RESPONSE_LIMIT)
        request_id = combined(answer.headers, "x-amzn-requestid") or ""
        failure = combined(answer.headers, "x-amz-function-error")
        if answer.status == 429:
            raise ThrottledError("Lambda: TooManyRequestsException")
        if answer.status != 200:
            raise InvocationError(f"Lambda answered {answer.status}")
        if failure:
            raise InvocationError(f"the function failed ({failure}); its own log says why")
        return Invoked(answer.body, request_id, answer.status)
