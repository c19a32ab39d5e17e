"""The function that the schedule calls every five minutes: canary.py with this environment's settings."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from . import aws, logs
from .canary import Canary, age_in_days
from .errors import UnavailableError
from .keys import read_key_list
from .settings import CanarySettings

if TYPE_CHECKING:
    from collections.abc import Mapping


def build(environ: Mapping[str, str]) -> Canary:
    """Return the function for an environment; SettingsError if that is wrong."""
    settings = CanarySettings.from_environ(environ)
    logs.configure(settings.log_level)
    session = aws.session()
    ssm, kms = aws.client(session, "ssm"), aws.client(session, "kms")

    def key_age() -> float:
        signer = read_key_list(ssm, settings.keys_parameter).signer
        if signer is None:
            raise UnavailableError("the first entry of the key list is not a KMS key id or key ARN")
        with aws.unavailable_on_failure("cannot describe the signing key"):
            created = kms.describe_key(KeyId=signer.key_id)["KeyMetadata"]["CreationDate"]
        return age_in_days(created.timestamp(), time.time())

    return Canary(
        api_url=settings.api_url,
        region=settings.region,
        credentials=session.get_credentials,
        key_age=key_age,
    )


handler = build(os.environ)
