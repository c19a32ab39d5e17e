"""The properties of an ``AWS::ApiGatewayV2::Stage``, read strictly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.gateway.access_log import LogFormat
from local.gateway.errors import ConfigurationError
from local.gateway.throttle import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT_LIMITS = Limits(rate=10_000, burst=5_000)
"""What a missing half of a limit means. Source: developer guide, limits, account-level quotas."""

_KNOWN = {
    "AccessLogSettings",
    "ApiId",
    "AutoDeploy",
    "DefaultRouteSettings",
    "Description",
    "RouteSettings",
    "StageName",
    "StageVariables",
    "Tags",
}


@dataclass(frozen=True)
class Stage:
    """A stage: its name, limits, variables and the format of its access log, if it has one."""

    name: str
    default_limits: Limits | None
    route_limits: Mapping[str, Limits]
    variables: Mapping[str, str]
    log_format: LogFormat | None


def read_stage(properties: Mapping[str, Any], route_keys: set[str]) -> Stage:
    """Read the resolved properties of a stage.

    Takes the API's route keys too: API Gateway refuses settings for a route that does not exist. Raises
    ConfigurationError.
    """
    for key in properties:
        if key not in _KNOWN:
            raise ConfigurationError(f"stage.{key}", "this property is unknown to the local gateway")
    name = properties.get("StageName", "$default")
    if name != "$default":
        raise ConfigurationError("stage.StageName", f"{name!r}: the local gateway knows $default only")
    routes: Mapping[str, Any] = properties.get("RouteSettings", {})
    limits: dict[str, Limits] = {}
    for key, settings in routes.items():
        if key not in route_keys:
            raise ConfigurationError(f"stage.RouteSettings.{key}", "the API has no such route")
        of_route = _limits(settings, f"stage.RouteSettings.{key}")
        if of_route is not None:
            limits[key] = of_route
    log = properties.get("AccessLogSettings")
    return Stage(
        name=name,
        default_limits=_limits(properties.get("DefaultRouteSettings", {}), "stage.DefaultRouteSettings"),
        route_limits=limits,
        variables=dict(properties.get("StageVariables", {})),
        log_format=None if log is None else _log_format(log),
    )


def _limits(settings: Mapping[str, Any], place: str) -> Limits | None:
    for key in settings:
        if key not in ("ThrottlingRateLimit", "ThrottlingBurstLimit", "DetailedMetricsEnabled"):
            raise ConfigurationError(f"{place}.{key}", "this setting is unknown to the local gateway")
    rate, burst = settings.get("ThrottlingRateLimit"), settings.get("ThrottlingBurstLimit")
    if rate is None and burst is None:
        return None
    return Limits(
        rate=ACCOUNT_LIMITS.rate if rate is None else float(rate),
        burst=ACCOUNT_LIMITS.burst if burst is None else float(burst),
    )


def _log_format(settings: Mapping[str, Any]) -> LogFormat:
    for key in settings:
        if key not in ("DestinationArn", "Format"):
            raise ConfigurationError(f"stage.AccessLogSettings.{key}", "this setting is unknown to the local gateway")
    return LogFormat(str(settings.get("Format", "")))
