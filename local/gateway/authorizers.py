"""Who may use a route, as the body declares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.gateway.expressions import Expression


@dataclass(frozen=True)
class IamAuthorizer:
    """AWS_IAM: the request is signed with Signature Version 4, and its signer may execute-api:Invoke."""


@dataclass(frozen=True)
class FunctionAuthorizer:
    """A Lambda authorizer with payload format 2.0 and simple responses.

    Takes the identity sources' values as the cache's key for ``ttl`` seconds; 0 means that nothing is cached.
    """

    name: str
    function_arn: str
    identity_sources: tuple[Expression, ...]
    ttl: float


@dataclass(frozen=True)
class JwtAuthorizer:
    """A JWT authorizer: one issuer, its audiences, and the scopes of which the route needs one."""

    name: str
    issuer: str
    audiences: tuple[str, ...]
    identity_source: Expression
    scopes: tuple[str, ...] = ()


Authorizer = IamAuthorizer | FunctionAuthorizer | JwtAuthorizer
