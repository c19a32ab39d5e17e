"""A Slurm token from the running stack, as a principal of .local/env gets it: POST /token, signed with SigV4."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from dotenv import dotenv_values

from local.address import GATEWAY_PORT, STATE_DIRECTORY, url
from local.aws_emulator import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 35.0
ENV_FILE = STATE_DIRECTORY / "env"


class TokenError(Exception):
    """No token was given; the message holds the API's own words."""


def mint(principal: str, lifespan: int | None = None) -> str:
    """Give a Slurm token for a principal of ``.local/env``: alice, bob or mallory (who gets none).

    Takes the lifespan in seconds (default: what the access document says). Raises TokenError.
    """
    keys = _keys(principal)
    body = json.dumps({} if lifespan is None else {"lifespan": lifespan}).encode()
    signed = AWSRequest(method="POST", url=url(GATEWAY_PORT) + "/token", data=body)
    SigV4Auth(keys, "execute-api", REGION).add_auth(signed)
    request = urllib.request.Request(signed.url, data=body, headers=dict(signed.headers), method="POST")  # noqa: S310
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=TIMEOUT) as answer:
            return str(json.load(answer)["token"])
    except urllib.error.HTTPError as exc:
        raise TokenError(f"{exc.code}: {exc.read().decode(errors='replace')}") from exc
    except OSError as exc:
        raise TokenError(f"the gateway does not answer ({exc}); is the stack up? run `make up`") from exc


def _keys(principal: str) -> Credentials:
    values: Mapping[str, str | None] = dotenv_values(ENV_FILE) if ENV_FILE.exists() else {}
    prefix = principal.upper()
    key_id, secret = values.get(f"{prefix}_AWS_ACCESS_KEY_ID"), values.get(f"{prefix}_AWS_SECRET_ACCESS_KEY")
    if key_id is None or secret is None:
        known = sorted(name.split("_")[0].lower() for name in values if name.endswith("_AWS_ACCESS_KEY_ID"))
        hint = f"there are {', '.join(known)}" if known else "the stack was never up: run `make up`"
        raise TokenError(f"there is no principal {principal!r}; {hint}")
    return Credentials(key_id, secret)
