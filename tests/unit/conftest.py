"""What several unit tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from emulation import Aws, Clock, PublishedUsers
from moto import mock_aws

from slurm_gateway import aws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def aws_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        environment.delenv("AWS_ENDPOINT_URL", raising=False)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield


@pytest.fixture(scope="module")
def emulated(aws_environment: None) -> Aws:
    session = aws.session()
    return Aws(kms=aws.client(session, "kms"), ssm=aws.client(session, "ssm"))


@pytest.fixture(scope="module")
def published_users(aws_environment: None) -> Iterator[PublishedUsers]:
    """S3 as far as one object goes: the head node's list of users."""
    with PublishedUsers.served() as published, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL_S3", published.url)
        yield published


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def foreign_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def log_lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """Return a function that gives what was logged: each record's fields."""
    caplog.set_level("INFO", logger="slurm_gateway")
    return lambda: [vars(record) for record in caplog.records]
