"""The canary against an API that answers as it is told: what it asks, what it makes of the answers, what it emits."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3
from botocore.credentials import Credentials

from slurm_gateway.canary import Canary, age_in_days
from slurm_gateway.errors import UnavailableError

ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "POST /token": (200, {"user": "slurm-canary", "token": "the-token", "expires_in": 900}),
    "POST /jobs?dry_run=true": (200, {"api_version": "v0.0.44"}),
    "POST /jobs": (201, {"id": "7"}),
    "GET /jobs/7": (200, {"id": "7", "user": "slurm-canary", "state": "PENDING"}),
    "GET /slurm/v0.0.44/job/7": (200, {"jobs": [{"job_id": 7}]}),
    "DELETE /jobs/7": (202, {"id": "7", "state": "CANCELLED"}),
}


STEPS = ["token", "check", "submit", "read", "native", "cancel"]


@dataclass
class Answer:
    status: int
    data: bytes


@dataclass
class Api:
    """Answers by table, and remembers what it was asked."""

    answers: dict[str, tuple[int, dict[str, Any]]]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def request(self, method: str, url: str, *, headers: dict[str, str], **_: bytes) -> Answer:
        asked = f"{method} {url.removeprefix('https://api.example')}"
        self.asked.append((asked, headers))
        if asked not in self.answers:
            raise urllib3.exceptions.ProtocolError("gone")
        status, document = self.answers[asked]
        return Answer(status, json.dumps(document).encode())


def fly(api: Api, age: float = 3.0) -> dict[str, Any]:
    canary = Canary(
        api_url="https://api.example",
        region="us-east-1",
        credentials=lambda: Credentials("AKIDEXAMPLE", "secret"),
        key_age=lambda: age,
        http=api,  # type: ignore[arg-type]
    )
    return canary({"id": "event-1"})


def emitted(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if "_aws" in line]
    return {name: value for line in lines for name, value in line.items()}


def test_it_comes_through(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api(ANSWERS)

    seen = fly(api)

    assert [asked for asked, _ in api.asked] == list(ANSWERS)
    assert (seen["user"], seen["job"], "failed" in seen) == ("slurm-canary", "7", False)
    told = emitted(capsys)
    assert (told["CanaryFailures"], told["SigningKeyAgeDays"]) == (0, 3.0)
    assert told["CanaryDuration"] >= 0


def test_it_asks_as_a_client_does_signed_for_the_token_and_by_the_token_for_the_rest() -> None:
    api = Api(ANSWERS)

    fly(api)

    headers = dict(api.asked)
    assert "/us-east-1/execute-api/aws4_request" in headers["POST /token"]["Authorization"]
    assert headers["POST /jobs"]["Idempotency-Key"] == "canary-event-1"
    for asked in list(ANSWERS)[1:]:
        assert headers[asked]["X-SLURM-USER-TOKEN"] == "the-token"
        assert "Authorization" not in headers[asked]


@pytest.mark.parametrize(("asked", "step"), list(zip(ANSWERS, STEPS, strict=True)))
def test_a_step_that_is_refused_is_named(asked: str, step: str, capsys: pytest.CaptureFixture[str]) -> None:
    api = Api(ANSWERS | {asked: (503, {"detail": "Slurm cannot be reached"})})

    seen = fly(api)

    assert seen["failed"] == step
    assert "503" in seen["why"]
    told = emitted(capsys)
    assert (told["CanaryFailures"], told["Step"]) == (1, step)
    assert "CanaryDuration" not in told
    if step in {"read", "native"}:
        assert api.asked[-1][0] == "DELETE /jobs/7"


@pytest.mark.parametrize(
    ("asked", "answer", "step"),
    [
        ("GET /jobs/7", {"user": "slurm-canary", "state": "RUNNING"}, "read"),
        ("GET /jobs/7", {"user": "alice", "state": "PENDING"}, "read"),
        ("GET /slurm/v0.0.44/job/7", {"jobs": []}, "native"),
        ("DELETE /jobs/7", {"id": "7", "state": "PENDING"}, "cancel"),
    ],
)
def test_a_wrong_answer_is_a_failure_too(asked: str, answer: dict[str, Any], step: str) -> None:
    assert fly(Api(ANSWERS | {asked: (200, answer)}))["failed"] == step


@pytest.mark.parametrize("answer", [None, ["7"]])
def test_an_answer_that_is_no_object_is_a_failure_and_no_fault(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Null is how a cancel that is done and cannot be shown is answered."""
    seen = fly(Api(ANSWERS | {"DELETE /jobs/7": (202, answer)}))

    assert (seen["failed"], "202" in seen["why"]) == ("cancel", True)
    told = emitted(capsys)
    assert (told["CanaryFailures"], told["SigningKeyAgeDays"]) == (1, 3.0)


def test_a_connection_that_breaks_is_a_failure_and_no_fault() -> None:
    seen = fly(Api({key: value for key, value in ANSWERS.items() if key != "POST /jobs"}))

    assert (seen["failed"], "ProtocolError" in seen["why"]) == ("submit", True)


def test_no_token_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    seen = fly(Api(ANSWERS | {"POST /jobs": (500, {"detail": "oh"})}))

    assert "the-token" not in json.dumps(seen) + capsys.readouterr().err


def test_an_age_that_is_not_known_fails_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def unknown() -> float:
        raise UnavailableError("cannot describe the signing key: AWS answered ThrottlingException")

    canary = Canary(
        api_url="https://api.example",
        region="us-east-1",
        credentials=lambda: Credentials("AKIDEXAMPLE", "secret"),
        key_age=unknown,
        http=Api(ANSWERS),  # type: ignore[arg-type]
    )

    assert "failed" not in canary({"id": "event-1"})
    assert "SigningKeyAgeDays" not in emitted(capsys)


def test_an_age_is_in_days() -> None:
    assert age_in_days(created=0, now=36 * 3600) == 1.5
