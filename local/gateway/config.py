"""The gateway's configuration: a JSON file, made from the deployed template and read at start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.gateway.access_log import AccessLog
from local.gateway.app import Checks, Gateway
from local.gateway.definition import read_definition
from local.gateway.errors import ConfigurationError
from local.gateway.exchange import Api
from local.gateway.function_authorizer import FunctionCheck
from local.gateway.iam import IamCheck, Registry
from local.gateway.invocation import Functions
from local.gateway.jwt_authorizer import JwtCheck
from local.gateway.stage import read_stage
from local.gateway.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Config:
    """All that the gateway is told.

    ``body`` is the resolved OpenAPI body, ``stage`` the resolved properties of the stage, ``listeners`` the
    base URL of each load balancer listener by its ARN, ``endpoint`` the AWS emulator's base URL, with the
    credentials by which API Gateway itself invokes functions.
    """

    body: Mapping[str, Any]
    stage: Mapping[str, Any]
    listeners: Mapping[str, str]
    endpoint: str
    access_key_id: str
    secret_access_key: str
    api_id: str
    region: str
    account: str
    host: str
    port: int
    access_log: str


def build_config(
    *,
    body: Mapping[str, Any],
    stage: Mapping[str, Any],
    listeners: Mapping[str, str],
    endpoint: str,
    credentials: tuple[str, str],
    api_id: str,
    region: str,
    account: str,
    host: str,
    port: int,
    access_log: Path,
) -> dict[str, Any]:
    """Give the configuration as it is written to the file; the fields are those of :class:`Config`.

    Takes the emulator's administrator as (access key id, secret access key). Raises ConfigurationError for
    a body or a stage that the gateway could not serve, so that the caller learns of it before anything is
    started.
    """
    definition = read_definition(body, listeners)
    read_stage(stage, {route.key for route in definition.routes.routes})
    return {
        "body": body,
        "stage": stage,
        "listeners": dict(listeners),
        "endpoint": endpoint,
        "access_key_id": credentials[0],
        "secret_access_key": credentials[1],
        "api_id": api_id,
        "region": region,
        "account": account,
        "host": host,
        "port": port,
        "access_log": str(access_log),
    }


def load_config(path: Path) -> Config:
    """Read the file; raises ConfigurationError where it is missing, no JSON or has other fields."""
    try:
        return Config(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as exc:
        raise ConfigurationError(str(path), f"no configuration of the gateway: {exc}") from exc


def build_gateway(config: Config, registry: Registry) -> Gateway:
    """Make the gateway of a configuration.

    Takes what answers for IAM, as the module local.credentials does. Raises ConfigurationError.
    """
    definition = read_definition(config.body, config.listeners)
    stage = read_stage(config.stage, {route.key for route in definition.routes.routes})
    functions = Functions(config.endpoint, config.region, config.access_key_id, config.secret_access_key)
    return Gateway(
        api=Api(config.api_id, stage.name, config.region, config.account, stage.variables),
        routes=definition.routes,
        cors=definition.cors,
        throttle=Throttle(stage.default_limits, stage.route_limits),
        checks=Checks(IamCheck(registry, config.region), FunctionCheck(functions), JwtCheck()),
        functions=functions,
        access_log=AccessLog(stage.log_format, Path(config.access_log)) if stage.log_format else None,
        address=config.host,
    )
