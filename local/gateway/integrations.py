"""What a route leads to, as the body declares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.gateway.mapping import ParameterMapping

LONGEST_TIMEOUT = 30.0
"""Seconds. Source: developer guide, limits, "Maximum integration timeout"."""


@dataclass(frozen=True)
class FunctionIntegration:
    """AWS_PROXY: a Lambda function with payload format 2.0; the timeout is in seconds."""

    function_arn: str
    timeout: float = LONGEST_TIMEOUT


@dataclass(frozen=True)
class PrivateIntegration:
    """HTTP_PROXY over a VPC link: a load balancer's listener. ``method`` ANY keeps the client's method."""

    listener_arn: str
    base_url: str
    mapping: ParameterMapping
    method: str = "ANY"
    timeout: float = LONGEST_TIMEOUT


Integration = FunctionIntegration | PrivateIntegration
