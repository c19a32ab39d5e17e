"""Users' scripts, in S3 as moto has it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from moto import mock_aws

from slurm_gateway import aws
from slurm_gateway.errors import UnavailableError
from slurm_gateway.problem import Problem
from slurm_gateway.scripts import Scripts

SCRIPT = b"#!/bin/sh\necho hello\n"
DIGEST = sha256(SCRIPT).hexdigest()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = aws.client(aws.session(), "s3")
        client.create_bucket(Bucket="bucket")
        yield client


def test_a_script_is_read_back_by_its_hash_twice_staged_or_once(s3: Any) -> None:
    scripts = Scripts(s3, "bucket")

    assert [scripts.stage("alice", SCRIPT), scripts.stage("alice", SCRIPT)] == [DIGEST, DIGEST]
    assert scripts.read("alice", DIGEST) == SCRIPT


def test_a_script_is_sent_with_its_checksum_by_one_round_trip(s3: Any) -> None:
    sent: list[dict[str, bytes]] = []
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(dict(request.headers)))
    Scripts(s3, "bucket").stage("alice", SCRIPT)

    [headers] = sent
    assert headers["x-amz-checksum-sha256"] == b64encode(sha256(SCRIPT).digest())
    assert headers["User-Agent"] == b"slurm-gateway"
    # With it, S3 would be asked first whether it wants the script.
    assert "Expect" not in headers


@pytest.mark.parametrize(("user", "digest"), [("bob", DIGEST), ("alice", "0" * 64), ("alice", "../bob/" + DIGEST)])
def test_there_are_only_ones_own_scripts(s3: Any, user: str, digest: str) -> None:
    scripts = Scripts(s3, "bucket")
    scripts.stage("alice", SCRIPT)

    with pytest.raises(Problem) as caught:
        scripts.read(user, digest)

    assert caught.value.status == 404


def test_an_object_that_is_not_what_its_name_says_is_no_script(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key=f"scripts/alice/{DIGEST}", Body=b"something else")

    with pytest.raises(Problem, match="no script"):
        Scripts(s3, "bucket").read("alice", DIGEST)


def test_an_upload_url_binds_key_length_checksum_and_time(s3: Any) -> None:
    url, headers = Scripts(s3, "bucket").upload_url("alice", DIGEST, len(SCRIPT), 60)
    query = parse_qs(urlsplit(url).query)

    assert urlsplit(url).path.endswith(f"/scripts/alice/{DIGEST}")
    assert query["X-Amz-SignedHeaders"] == ["content-length;host;x-amz-checksum-sha256"]
    assert query["X-Amz-Expires"] == ["60"]
    assert headers == {
        "content-length": str(len(SCRIPT)),
        "x-amz-checksum-sha256": b64encode(sha256(SCRIPT).digest()).decode(),
    }


def test_a_bucket_that_fails_is_unavailable(s3: Any) -> None:
    scripts = Scripts(s3, "no-such-bucket")

    with pytest.raises(UnavailableError, match="cannot stage the script"):
        scripts.stage("alice", SCRIPT)
    with pytest.raises(UnavailableError, match="cannot read the script"):
        scripts.read("alice", DIGEST)
