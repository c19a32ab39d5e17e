"""A rotation of the signing key under load, and an emergency drop: twenty at full length are in `make soak`."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from hashlib import sha256

import httpx
import pytest

from bench.rotations import Clients, put_back, rotate, rotation
from slurm_gateway.rotation import Rotation
from tests.real.conftest import NATIVE_VERSION, Stack, slurm, wait_for
from tests.real.test_headnode import follow_keys, key_ids

# The soak rotates on both releases.
pytestmark = pytest.mark.any_release

# A list of keys that is at most 25 s old, and an authorizer's answer that is at most 30 s old.
DEAD_WITHIN = 60
LIFESPAN = 20
ROUTES = {
    "/slurm": f"/slurm/{NATIVE_VERSION}/nodes/",
    "/slurmdb": f"/slurmdb/{NATIVE_VERSION}/users/",
    "/slurm jobs/state": f"/slurm/{NATIVE_VERSION}/jobs/state",
    "/openapi": "/openapi/v3",
    "/jobs": "/jobs",
    "/jobs/{id}": "/jobs/99999999",
    "/jobs/{id}/output": "/jobs/99999999/output",
    "/jobs/openapi.json": "/jobs/openapi.json",
    "/scripts/{sha256}": "/scripts/" + "0" * 64,
}
NATIVE_JOB = f"/slurm/{NATIVE_VERSION}/job"
TIME_LIMIT = '{"time_limit": {"set": true, "infinite": false, "number": 7}}'
# Method, path and body. Let in, none of them changes anything: a dry run, what is no script, a job that is not there.
WRITES = {
    "POST /jobs": ("POST", "/jobs?dry_run=true", "#!/bin/sh\ntrue\n"),
    "POST /scripts": ("POST", "/scripts", "no script"),
    "PATCH /jobs/{id}": ("PATCH", "/jobs/99999999", '{"hold": true}'),
    "DELETE /jobs/{id}": ("DELETE", "/jobs/99999999", ""),
    "native submit": ("POST", f"{NATIVE_JOB}/submit", "{}"),
    "native change": ("POST", f"{NATIVE_JOB}/99999999", TIME_LIMIT),
    "native cancel": ("DELETE", f"{NATIVE_JOB}/99999999", ""),
}
ASKED = {name: ("GET", path, "") for name, path in ROUTES.items()} | WRITES


@pytest.fixture
def walk(stack: Stack) -> Iterator[Rotation]:
    """The stack's rotation; its own key is put back afterwards."""
    yield rotation(settle=40, lifespan=LIFESPAN)
    own = put_back()
    follow_keys()
    wait_for(lambda: key_ids() == [own], "the head node to have the stack's own key", 30)
    # Every function's list of keys is at most 25 s old.
    stack._tokens.clear()
    wait_for(lambda: usable(stack), "tokens of the stack's own key to be good", 40)


def usable(stack: Stack) -> bool:
    answer = stack.signed("alice", "POST", "/token")
    if answer.status_code != 200:
        return False
    headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": answer.json()["token"]}
    return get(stack, ROUTES["/slurm"], headers).status_code == 200


def get(stack: Stack, path: str, headers: dict[str, str]) -> httpx.Response:
    return stack.http.get(stack.api + path, headers=headers)


def ask(stack: Stack, asked: tuple[str, str, str], headers: dict[str, str]) -> httpx.Response:
    method, path, body = asked
    kind = {"Content-Type": "application/json"} if body.startswith("{") else {}
    return stack.http.request(method, stack.api + path, content=body, headers=headers | kind)


def test_a_rotation_under_load_fails_no_request_and_a_dropped_keys_tokens_die_on_every_route(
    stack: Stack, walk: Rotation
) -> None:
    with Clients(lifespan=LIFESPAN) as clients:
        rotate(walk)
    print(*clients.load.lines(), sep="\n")
    assert clients.load.is_good(), clients.load.lines()
    assert min(clients.load.requests[route] for route in ("/slurm submit", "/jobs submit", "/jobs read")) >= 20

    headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": fresh(stack)}
    assert {name: get(stack, path, headers).status_code for name, path in ROUTES.items()} == {
        **dict.fromkeys(ROUTES, 200), "/jobs/{id}": 404, "/jobs/{id}/output": 404, "/scripts/{sha256}": 404,
    }  # fmt: skip
    let_in = {name: ask(stack, asked, headers).status_code for name, asked in WRITES.items()}
    assert not {401, 403} & set(let_in.values()), let_in
    name = f"kept-{uuid.uuid4().hex[:8]}"
    script = f"#!/bin/sh\n#SBATCH --hold --job-name={name} --time=5\ntrue\n"
    made = ask(stack, ("POST", "/jobs", script), headers)
    assert made.status_code == 201, made.text

    begin = time.monotonic()
    walk.drop(walk.state().keys[0])
    died: dict[str, float] = {}
    # All are asked all the time, so that every cached answer is used to its end.
    while len(died) < len(ASKED):
        for route, asked in ASKED.items():
            if ask(stack, asked, headers).status_code == 403:
                died.setdefault(route, time.monotonic() - begin)
            else:
                assert route not in died, f"{route} answers again"
        assert time.monotonic() - begin < DEAD_WITHIN, died
    print("a dropped key's token was refused after:", {name: f"{seconds:.1f} s" for name, seconds in died.items()})
    job_id, staged = made.json()["id"], f"{script}# staged\n"
    harm = [
        ("POST", "/jobs", script), ("POST", "/scripts", staged), ("PATCH", f"/jobs/{job_id}", '{"hold": false}'),
        ("DELETE", f"/jobs/{job_id}", ""), ("POST", f"{NATIVE_JOB}/submit", native_job(name)),
        ("POST", f"{NATIVE_JOB}/{job_id}", TIME_LIMIT), ("DELETE", f"{NATIVE_JOB}/{job_id}", ""),
    ]  # fmt: skip
    assert {asked[:2]: ask(stack, asked, headers).status_code for asked in harm} == {asked[:2]: 403 for asked in harm}
    jobs = slurm("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%A|%t|%r|%l")
    assert jobs.split() == [f"{job_id}|PD|JobHeldUser|5:00"]
    wait_for(lambda: usable(stack), "tokens of the new key to be good", 60)
    headers["X-SLURM-USER-TOKEN"] = fresh(stack)
    assert get(stack, f"/scripts/{sha256(staged.encode()).hexdigest()}", headers).status_code == 404


def native_job(name: str) -> str:
    description = {
        "name": name, "hold": True, "current_working_directory": "/tmp", "environment": ["PATH=/usr/bin:/bin"],
        "script": "#!/bin/sh\ntrue\n",
    }  # fmt: skip
    return json.dumps({"job": description})


def fresh(stack: Stack) -> str:
    """Mint a token that lives long enough for what follows."""
    token: str = stack.signed("alice", "POST", "/token", '{"lifespan": 600}').json()["token"]
    return token
