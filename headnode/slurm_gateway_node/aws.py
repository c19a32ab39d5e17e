"""Clients of AWS that give up soon: whatever a service has to tell waits on disk, and is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from botocore.client import BaseClient

_CONFIG = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})


def client(service: str, region: str, *, read_timeout: int = 10) -> BaseClient:
    """Return a client for a service, such as "events", by the credentials of this process's environment or instance.

    `read_timeout` is how many seconds an answer may take.
    """
    config = _CONFIG.merge(Config(read_timeout=read_timeout))
    return boto3.session.Session(region_name=region).client(service, config=config)
