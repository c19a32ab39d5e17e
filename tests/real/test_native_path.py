"""From an IAM identity to a finished job: the whole native path."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import jwt
import pytest

from tests.real.conftest import FINAL_STATES, NATIVE_VERSION, Stack, slurm, wait_for


def test_iam_principal_gets_a_token_of_its_own_user(stack: Stack) -> None:
    answer = stack.signed("alice", "POST", "/token", '{"lifespan": 60}')
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert set(body) == {"user", "token", "expires_in", "expires_at"}
    assert (body["user"], body["expires_in"]) == ("alice", 60)
    claims = jwt.decode(body["token"], options={"verify_signature": False})
    assert (claims["sun"], claims["exp"] - claims["iat"]) == ("alice", 60)


def test_token_is_signed_by_a_published_key(stack: Stack) -> None:
    keys = stack.http.get(f"{stack.api}/.well-known/jwks.json").json()["keys"]
    token = stack.token("alice")
    kid = jwt.get_unverified_header(token)["kid"]
    key = next(jwt.PyJWK(key).key for key in keys if key["kid"] == kid)
    assert jwt.decode(token, key, algorithms=["RS256"])["sun"] == "alice"


def test_plain_text_is_ready_for_a_shell(stack: Stack) -> None:
    answer = stack.signed("alice", "POST", "/token", headers={"Accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert re.fullmatch(r"SLURM_JWT=[\w-]+\.[\w-]+\.[\w-]+\n?", answer.text)


def test_job_runs_and_is_read_back(stack: Stack) -> None:
    job_id = stack.submit(
        "alice", '#!/bin/bash\necho "$(id -un) $SLURM_JOB_ID"\n', standard_output="/home/alice/ran-%j.out"
    )
    job = stack.wait_for_state("alice", job_id, FINAL_STATES)
    assert job["job_state"] == ["COMPLETED"]
    assert job["user_name"] == "alice"
    assert slurm("cat", f"/home/alice/ran-{job_id}.out", user="alice") == f"alice {job_id}\n"


def test_job_is_cancelled(stack: Stack) -> None:
    job_id = stack.submit("alice")
    assert stack.slurm("alice", "DELETE", f"job/{job_id}").status_code == 200
    stack.wait_for_state("alice", job_id, {"CANCELLED"})


def test_finished_job_is_in_the_accounting(stack: Stack) -> None:
    name = uuid.uuid4().hex
    job_id = stack.submit("alice", "#!/bin/sh\nexit 3\n", name=name)
    stack.wait_for_state("alice", job_id, {"FAILED"})

    def accounted() -> Any:
        answer = stack.http.get(f"{stack.api}/slurmdb/{NATIVE_VERSION}/job/{job_id}", headers=stack.headers("alice"))
        # Ids begin again on a cluster that lost its state, and accounting remembers.
        return [job for job in answer.json()["jobs"] if job["name"] == name] if answer.status_code == 200 else None

    # slurmctld tells slurmdbd in its own time.
    [job] = wait_for(accounted, "the accounting to have the job")
    assert job["association"]["user"] == "alice"


def test_four_nodes_are_named_as_parallelcluster_names_them(stack: Stack) -> None:
    nodes = stack.slurm("alice", "GET", "nodes/").json()["nodes"]
    assert sorted(node["name"] for node in nodes) == [f"queue1-dy-t3micro-{n}" for n in range(1, 5)]


def test_native_answer_comes_through_byte_for_byte(stack: Stack) -> None:
    """What slurmrestd sent is in compact JSON, which a proxy that decodes and encodes again would hardly keep."""
    answer = stack.slurm("alice", "GET", "jobs/state")
    assert answer.headers["content-type"] == "application/json"
    assert b"\n" not in answer.content.strip()


@pytest.mark.parametrize("principal", ["mallory"])
def test_unmapped_principal_is_told_what_an_operator_adds(stack: Stack, principal: str) -> None:
    answer = stack.signed(principal, "POST", "/token")
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert f"user/{principal}" in problem["detail"]
    assert "iam_user" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ('{"lifespan": 1000000}', 422, "3600"),
        ('{"lifespan": 0}', 422, "lifespan"),
        ('{"lifespan": "long"}', 422, "lifespan"),
        ('{"user": "bob"}', 403, "bob"),
        ('{"user": "root"}', 403, "root"),
        ('{"usr": "alice"}', 422, "usr"),
        ('{"user": ', 400, "Line 1, column 10"),
        ("[]", 422, "object"),
    ],
)
def test_bad_token_request_says_what_to_do(stack: Stack, body: str, status: int, says: str) -> None:
    answer = stack.signed("alice", "POST", "/token", body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert says in answer.json()["detail"]


def test_no_signature_gives_no_token(stack: Stack) -> None:
    answer = stack.http.post(f"{stack.api}/token")
    assert answer.status_code == 403


def test_no_token_is_in_any_log(stack: Stack) -> None:
    from tests.real.conftest import ROOT

    token = stack.token("alice")
    stack.slurm("alice", "GET", "jobs/state")
    secret = token.rsplit(".", 1)[1]
    logs = [path for path in (ROOT / ".local/log").rglob("*") if path.is_file()]
    assert any(path.name == "access.log" for path in logs)
    assert [path.name for path in logs if secret in path.read_text(errors="replace")] == []


def test_access_log_names_the_user_and_the_route(stack: Stack) -> None:
    from tests.real.conftest import ROOT

    stack.slurm("alice", "GET", "jobs/state")
    lines = [json.loads(line) for line in (ROOT / ".local/log/access.log").read_text().splitlines()]
    entry = next(line for line in reversed(lines) if "/slurm/" in str(line))
    assert entry["user"] == "alice"
