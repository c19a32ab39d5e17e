"""The function behind /jobs and /scripts: its routes, with this environment's settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import logs
from .router import Router
from .settings import JobsSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


def build(environ: Mapping[str, str]) -> Router:
    """Return the function for an environment; SettingsError if that is wrong."""
    settings = JobsSettings.from_environ(environ)
    logs.configure(settings.log_level)
    return Router({})


handler = build(os.environ)
