"""The function behind GET /health: health_endpoint.py with this environment's settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import aws, logs
from .health_endpoint import HealthEndpoint
from .heartbeat import HeartbeatTable
from .settings import HealthSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


def build(environ: Mapping[str, str]) -> HealthEndpoint:
    """Return the function for an environment; SettingsError if that is wrong."""
    settings = HealthSettings.from_environ(environ)
    logs.configure(settings.log_level)
    table = HeartbeatTable(aws.client(aws.session(), "dynamodb"), settings.heartbeats_table)
    return HealthEndpoint(lambda: table.last(settings.cluster_name))


handler = build(os.environ)
