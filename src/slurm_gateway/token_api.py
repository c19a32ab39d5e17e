"""The function behind POST /token and POST /token/oidc/{issuer}: token_endpoint.py with this environment's settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import aws, logs
from .access_document import AccessDocument
from .cached import Cached
from .eligible_users import KEY, EligibleUsersReader
from .keys import read_key_list
from .s3_object import S3Object
from .settings import TokenSettings
from .token_endpoint import TokenEndpoint
from .tokens import Mint
from .users import forbidden_names

if TYPE_CHECKING:
    from collections.abc import Mapping


def build(environ: Mapping[str, str]) -> TokenEndpoint:
    """Return the function for an environment; SettingsError if that is wrong."""
    settings = TokenSettings.from_environ(environ)
    logs.configure(settings.log_level)
    session = aws.session()
    ssm = aws.client(session, "ssm")
    forbidden = forbidden_names(default_user_sudo=settings.default_user_sudo)
    document = AccessDocument(ssm, settings.access_parameter, forbidden=forbidden)
    eligible = EligibleUsersReader(S3Object(session, settings.bucket, KEY))
    return TokenEndpoint(
        access=Cached(document.read).get,
        eligible=Cached(eligible.read).get,
        key_list=Cached(lambda: read_key_list(ssm, settings.keys_parameter)).get,
        mint=Mint(aws.client(session, "kms")),
        forbidden=forbidden,
        access_parameter=settings.access_parameter,
    )


handler = build(os.environ)
