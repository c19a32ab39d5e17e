"""The function behind GET /.well-known/jwks.json: jwks_endpoint.py with this environment's settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import aws, logs
from .cached import Cached
from .jwks_endpoint import JwksEndpoint
from .keys import PublicKeys, read_key_list
from .settings import JwksSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


def build(environ: Mapping[str, str]) -> JwksEndpoint:
    """Return the function for an environment; SettingsError if that is wrong."""
    settings = JwksSettings.from_environ(environ)
    logs.configure(settings.log_level)
    session = aws.session()
    ssm = aws.client(session, "ssm")
    public_keys = PublicKeys(aws.client(session, "kms"))
    return JwksEndpoint(Cached(lambda: public_keys.of(read_key_list(ssm, settings.keys_parameter))).get)


handler = build(os.environ)
