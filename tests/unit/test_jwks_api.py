from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Never

import pytest
from event_samples import REQUEST_ID, sample
from jwt import PyJWK

from slurm_gateway.jwks_endpoint import JwksEndpoint
from slurm_gateway.keys import PublicKeys, parse_key_list

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulation import Aws


@pytest.fixture
def build(aws_environment: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], JwksEndpoint]:
    """Return a function that starts the deployed function with a list of keys."""

    def start(keys_parameter: str) -> JwksEndpoint:
        monkeypatch.setenv("KEYS_PARAMETER", keys_parameter)
        # Its import is the function's start.
        return importlib.import_module("slurm_gateway.jwks_api").build({"KEYS_PARAMETER": keys_parameter})

    return start


def test_all_listed_keys_are_shown_as_rfc_7517_writes_them(build: Callable[[str], JwksEndpoint], emulated: Aws) -> None:
    listed = f"{emulated.key(0)},{emulated.key(1)}"
    response = build(emulated.parameter(listed))(sample("jwks"))

    shown = json.loads(response.pop("body"))["keys"]
    assert response == {
        "statusCode": 200,
        "headers": {"content-type": "application/jwk-set+json", "cache-control": "public, max-age=15"},
    }
    assert [{"kty", "use", "alg", "kid", "n", "e"}] * 2 == [set(key) for key in shown]
    assert {("RSA", "sig", "RS256")} == {(key["kty"], key["use"], key["alg"]) for key in shown}
    assert PublicKeys(emulated.kms).of(parse_key_list(listed)) == {
        key["kid"]: PyJWK.from_dict(key).key for key in shown
    }


def test_without_keys_the_answer_is_503_and_not_an_empty_set(build: Callable[[str], JwksEndpoint]) -> None:
    response = build("/test/absent")(sample("jwks"))

    assert {**response, "body": json.loads(response["body"])} == {
        "statusCode": 503,
        "headers": {
            "content-type": "application/problem+json",
            "cache-control": "no-store",
            "retry-after": "5",
        },
        "body": {
            "type": "urn:slurm-gateway:problem:unavailable",
            "title": "Not available now",
            "status": 503,
            "detail": "The keys cannot be read. Try again in a few seconds; if it lasts, an operator finds "
            "the cause in this function's log.",
            "instance": REQUEST_ID,
        },
    }


def test_what_nobody_foresaw_is_a_problem_too() -> None:
    def broken() -> Never:
        raise RuntimeError("a bug")

    assert JwksEndpoint(broken)(sample("jwks"))["statusCode"] == 500
