"""AWS clients, and AWS's failures as this package's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

# botocore alone: boto3 on top of it costs a cold start 10 ms and adds nothing used here.
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import add_expect_header
from botocore.session import Session

from .errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.client import BaseClient

# An authorizer has 10 s in all. SSM and KMS answer in milliseconds or are in trouble.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 2},
    # AWS checks parameters itself; to do it here too costs CPU in every request.
    parameter_validation=False,
    # botocore would put its own together anew for every request, a twelfth of what a submit costs.
    user_agent="slurm-gateway",
)


def session() -> Session:
    """Return a session whose clients share one loader and one set of credentials."""
    return Session()


def client(shared: Session, service: str) -> BaseClient:
    """Return a client for `service`, such as "kms", that gives up early enough to be answered for."""
    if service != "s3":
        return shared.create_client(service, config=_CONFIG)
    # URLs would be signed the old way, which covers no length and no checksum.
    s3 = shared.create_client(service, config=_CONFIG.merge(Config(signature_version="s3v4")))
    # What is put is small: to ask S3 first whether it may be sent is a round trip more.
    s3.meta.events.unregister("before-call.s3", add_expect_header)
    return s3


def error_code(error: ClientError) -> str:
    """Return AWS's word for an error, such as "ThrottlingException"."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


@contextmanager
def unavailable_on_failure(doing: str) -> Iterator[None]:
    """Turn any failure of the AWS calls inside into UnavailableError: `doing` says what did not work."""
    try:
        yield
    except ClientError as exc:
        raise UnavailableError(f"{doing}: AWS answered {error_code(exc)}") from exc
    except BotoCoreError as exc:
        raise UnavailableError(f"{doing}: {type(exc).__name__}") from exc


def read_parameter(ssm: BaseClient, name: str) -> str:
    """Return the value of an SSM parameter; UnavailableError if it cannot be read."""
    value, _ = read_versioned_parameter(ssm, name)
    return value


def read_versioned_parameter(ssm: BaseClient, name: str, version: int | None = None) -> tuple[str, int]:
    """Return the value of an SSM parameter and its version, the newest unless one is asked for.

    UnavailableError if it cannot be read, or that version is no more.
    """
    with unavailable_on_failure(f"cannot read the SSM parameter {name}"):
        found = ssm.get_parameter(Name=name if version is None else f"{name}:{version}")["Parameter"]
        return str(found["Value"]), int(found["Version"])
