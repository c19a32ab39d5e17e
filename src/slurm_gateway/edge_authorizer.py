"""The function that is API Gateway's Lambda authorizer: edge.py with this environment's settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import aws, logs
from .cached import Cached
from .edge import EdgeAuthorizer
from .keys import PublicKeys, read_key_list
from .settings import AuthorizerSettings
from .users import forbidden_names
from .verification import Verifier

if TYPE_CHECKING:
    from collections.abc import Mapping


def build(environ: Mapping[str, str]) -> EdgeAuthorizer:
    """Return the authorizer for an environment; SettingsError if that is wrong."""
    settings = AuthorizerSettings.from_environ(environ)
    logs.configure(settings.log_level)
    session = aws.session()
    ssm = aws.client(session, "ssm")
    public_keys = PublicKeys(aws.client(session, "kms"))
    keys = Cached(lambda: public_keys.of(read_key_list(ssm, settings.keys_parameter)))
    return EdgeAuthorizer(
        Verifier(keys.get),
        forbidden=forbidden_names(default_user_sudo=settings.default_user_sudo),
        allow_head_node_tokens=settings.allow_head_node_tokens,
    )


handler = build(os.environ)
