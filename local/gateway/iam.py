"""AWS_IAM authorization: Signature Version 4, and whether the signer may execute-api:Invoke.

Sources: developer guide, http-api-access-control-iam; IAM User Guide, "Create a signed AWS API request". An
HTTP API tells its caller nothing but 403 Forbidden, whether the signature is missing, wrong or not
permitted.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from local.gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.gateway.exchange import Exchange
    from local.gateway.messages import Request

SERVICE = "execute-api"
ACTION = "execute-api:Invoke"
CLOCK_SKEW = timedelta(minutes=5)
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
THREADS = 64

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<key>[A-Za-z0-9]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)"
    r"/(?P<service>[a-z0-9-]+)/aws4_request, *SignedHeaders=(?P<headers>[a-z0-9;!#$%&'*+.^_`|~-]+)"
    r", *Signature=(?P<signature>[0-9a-f]{64})"
)


class Identity(Protocol):
    """The principal behind an access key: its ARN, its unique id, its account and the key's secret."""

    @property
    def arn(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def secret(self) -> str: ...


class Registry(Protocol):
    """What the gateway asks IAM. Both may block: they are called in threads."""

    def secret_for(self, access_key_id: str, session_token: str | None) -> Identity | None:
        """Give the identity behind an access key, or None."""
        ...

    def is_allowed(self, identity: Any, action: str, resource_arn: str) -> bool:  # noqa: ANN401 - its own Identity
        """Tell whether the identity's policies allow an action on a resource."""
        ...


@dataclass(frozen=True)
class _Claim:
    """What an Authorization header claims."""

    access_key_id: str
    date: str
    region: str
    signed_headers: tuple[str, ...]
    signature: str


class IamCheck:
    """Checks requests to routes with AWS_IAM."""

    def __init__(
        self, registry: Registry, region: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._registry = registry
        self._region = region
        self._now = now
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="iam")

    async def authorize(self, exchange: Exchange) -> None:
        """Let a request pass, and note who signed it; raises GatewayError 403."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, self._authorize, exchange)

    def _authorize(self, exchange: Exchange) -> None:
        request = exchange.request
        claim = self._claim(request)
        identity = self._registry.secret_for(claim.access_key_id, request.header("x-amz-security-token"))
        if identity is None:
            raise GatewayError(403, "unknown access key or session")
        expected = _signature(request, claim, identity.secret)
        if not hmac.compare_digest(expected, claim.signature):
            raise GatewayError(403, "the signature does not match")
        resource = exchange.api.execution_arn(request.method, request.path)
        if not self._registry.is_allowed(identity, ACTION, resource):
            raise GatewayError(403, f"no policy allows {ACTION}")
        exchange.authorizer = {
            "iam": {
                "accessKey": claim.access_key_id,
                "accountId": identity.account,
                "callerId": identity.user_id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": identity.arn,
                "userId": identity.user_id,
            }
        }

    def _claim(self, request: Request) -> _Claim:
        match = _AUTHORIZATION.fullmatch(request.header("authorization") or "")
        if match is None:
            raise GatewayError(403, "no Signature Version 4")
        if match["service"] != SERVICE or match["region"] != self._region:
            raise GatewayError(403, f"the credential's scope is not {self._region}/{SERVICE}")
        signed = tuple(match["headers"].split(";"))
        date = request.header("x-amz-date") or ""
        if "host" not in signed or "x-amz-date" not in signed:
            raise GatewayError(403, "Host and X-Amz-Date must be signed")
        self._check_date(date, match["date"])
        # botocore would take this header's word for the body's digest.
        digest = request.header("x-amz-content-sha256")
        if digest is not None and digest != hashlib.sha256(request.body).hexdigest():
            raise GatewayError(403, "X-Amz-Content-SHA256 is not the body's")
        return _Claim(match["key"], date, match["region"], signed, match["signature"])

    def _check_date(self, date: str, scope: str) -> None:
        try:
            signed_at = datetime.strptime(date, TIME_FORMAT).replace(tzinfo=UTC)
        except ValueError as exc:
            raise GatewayError(403, "malformed X-Amz-Date") from exc
        if not date.startswith(scope) or abs(self._now() - signed_at) > CLOCK_SKEW:
            raise GatewayError(403, "the signature has expired or is not valid yet")


class _Signer(SigV4Auth):  # type: ignore[misc] # botocore has no types
    """botocore's signer, made to sign the very headers that the client signed."""

    def __init__(self, secret: str, claim: _Claim) -> None:
        super().__init__(Credentials(claim.access_key_id, secret), SERVICE, claim.region)
        self._signed = claim.signed_headers

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        signed = HTTPHeaders()
        for name in self._signed:
            for value in request.headers.get_all(name, []):
                signed[name] = value
        return signed


def _signature(request: Request, claim: _Claim, secret: str) -> str:
    again = AWSRequest(request.method, f"http://{request.header('host')}{request.target}", data=request.body)
    for name, value in request.headers:
        again.headers[name] = value
    again.context["timestamp"] = claim.date
    signer = _Signer(secret, claim)
    to_sign = signer.string_to_sign(again, signer.canonical_request(again))
    return str(signer.signature(to_sign, again))
