"""One request's life: what is known of it so far, and the ``$context`` variables made of that."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.gateway.request_id import request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.gateway.messages import Request
    from local.gateway.routing import Route


@dataclass(frozen=True)
class Api:
    """Which API, stage and account this is; the same for every request."""

    api_id: str
    stage: str
    region: str
    account: str
    stage_variables: Mapping[str, str] = field(default_factory=dict)

    def execution_arn(self, method: str, path: str) -> str:
        """Give the ARN of a request, as IAM policies and Lambda authorizers name it.

        Source: developer guide, http-api-lambda-authorizer (routeArn) and
        api-gateway-control-access-using-iam-policies-to-invoke-api.
        """
        root = f"arn:aws:execute-api:{self.region}:{self.account}:{self.api_id}/{self.stage}"
        return f"{root}/{method}{path}"


@dataclass
class Exchange:
    """A request, and what each step has found out.

    ``authorizer`` holds what belongs under requestContext.authorizer in the Lambda event: one of the keys
    ``iam``, ``lambda`` and ``jwt``.
    """

    api: Api
    request: Request
    request_id: str = field(default_factory=request_id)
    started: float = field(default_factory=time.time)
    started_monotonic: float = field(default_factory=time.monotonic)
    route: Route | None = None
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    authorizer: Mapping[str, Any] = field(default_factory=dict)
    authorizer_error: str = ""
    error: str = ""
    integration_status: int | None = None
    integration_latency: int | None = None
    integration_error: str = ""
    integration_request_id: str = ""
    function_status: int | None = None
    status: int = 0
    response_length: int = 0
    response_latency: int = 0

    @property
    def host(self) -> str:
        """The host name by which the client called, without its port."""
        return (self.request.header("host") or "").rpartition(":")[0] or self.request.header("host") or ""

    @property
    def time_text(self) -> str:
        """The time of the request as in the Common Log Format, in UTC."""
        return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(self.started))

    @property
    def milliseconds(self) -> int:
        """The time of the request in milliseconds since the epoch."""
        return int(self.started * 1000)

    def variable(self, name: str) -> str | None:
        """Give a ``$context`` variable by its name after ``$context.``, or None where it has no value.

        Source: developer guide, http-api-logging-variables. Values of a Lambda authorizer's context are
        given as text: true and false for booleans.
        """
        if name.startswith("authorizer."):
            return self._authorizer_variable(name.removeprefix("authorizer."))
        value = _VARIABLES[name](self)
        return None if value is None or value == "" else str(value)

    def _authorizer_variable(self, name: str) -> str | None:
        if name == "error":
            return self.authorizer_error or None
        value: Any = None
        if name.startswith("claims."):
            value = self.authorizer.get("jwt", {}).get("claims", {}).get(name.removeprefix("claims."))
        elif "lambda" in self.authorizer:
            value = (self.authorizer["lambda"] or {}).get(name)
        return _text(value)

    def _iam(self, name: str) -> Any:  # noqa: ANN401 - it is JSON
        return self.authorizer.get("iam", {}).get(name)


def is_known_variable(name: str) -> bool:
    """Tell whether the local gateway knows a ``$context`` variable of that name."""
    prefix, _, rest = name.partition(".")
    return name in _VARIABLES or (prefix == "authorizer" and rest not in ("", "claims"))


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_VARIABLES: dict[str, Callable[[Exchange], object]] = {
    "accountId": lambda x: x.api.account,
    "apiId": lambda x: x.api.api_id,
    "awsEndpointRequestId": lambda x: x.integration_request_id,
    "dataProcessed": lambda x: len(x.request.body) + x.response_length,
    "domainName": lambda x: x.host,
    "domainPrefix": lambda x: x.host.partition(".")[0],
    "error.message": lambda x: x.error,
    "error.messageString": lambda x: f'"{x.error}"' if x.error else "",
    "extendedRequestId": lambda x: x.request_id,
    "httpMethod": lambda x: x.request.method,
    "identity.accountId": lambda x: x._iam("accountId"),
    "identity.caller": lambda x: x._iam("callerId"),
    "identity.principalOrgId": lambda x: x._iam("principalOrgId"),
    "identity.sourceIp": lambda x: x.request.client,
    "identity.user": lambda x: x._iam("userId"),
    "identity.userAgent": lambda x: x.request.header("user-agent"),
    "identity.userArn": lambda x: x._iam("userArn"),
    "integration.error": lambda x: x.integration_error,
    "integration.integrationStatus": lambda x: x.integration_status,
    "integration.latency": lambda x: x.integration_latency,
    "integration.requestId": lambda x: x.integration_request_id,
    "integration.status": lambda x: x.function_status or x.integration_status,
    "integrationErrorMessage": lambda x: x.integration_error,
    "integrationLatency": lambda x: x.integration_latency,
    "integrationStatus": lambda x: x.integration_status,
    "path": lambda x: x.request.path,
    "protocol": lambda _: "HTTP/1.1",
    "requestId": lambda x: x.request_id,
    "requestTime": lambda x: x.time_text,
    "requestTimeEpoch": lambda x: x.milliseconds,
    "responseLatency": lambda x: x.response_latency,
    "responseLength": lambda x: x.response_length,
    "routeKey": lambda x: x.route.key if x.route else "",
    "stage": lambda x: x.api.stage,
    "status": lambda x: x.status or "",
}
