"""AllowHeadNodeTokens: tokens of `scontrol token`, as the head node makes them, on /slurm and /slurmdb only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real.conftest import NATIVE_VERSION, Stack, slurm, up


@pytest.fixture
def allowing(stack: Stack) -> Iterator[Stack]:
    up("--parameter", "AllowHeadNodeTokens=true")
    yield stack
    up()


def head_node_headers(user: str, lifespan: int = 300) -> dict[str, str]:
    token = slurm("scontrol", "token", f"username={user}", f"lifespan={lifespan}").strip().removeprefix("SLURM_JWT=")
    return {"X-SLURM-USER-NAME": user, "X-SLURM-USER-TOKEN": token}


def test_head_node_tokens_pass_where_slurm_verifies_them_and_nowhere_else(allowing: Stack) -> None:
    http, api = allowing.http, allowing.api
    headers = head_node_headers("alice")
    assert http.get(f"{api}/slurm/{NATIVE_VERSION}/nodes/", headers=headers).status_code == 200
    assert http.get(f"{api}/slurmdb/{NATIVE_VERSION}/users/", headers=headers).status_code == 200
    assert http.get(f"{api}/openapi/v3", headers=headers).status_code == 403
    forged = headers | {"X-SLURM-USER-TOKEN": headers["X-SLURM-USER-TOKEN"][:-6] + "AAAAAA"}
    refused = http.get(f"{api}/slurm/{NATIVE_VERSION}/nodes/", headers=forged)
    assert refused.status_code >= 400, refused.text  # by Slurm: the edge cannot check an HS256 signature
    assert http.get(f"{api}/slurm/{NATIVE_VERSION}/nodes/", headers=head_node_headers("root")).status_code == 403
    as_bob = headers | {"X-SLURM-USER-NAME": "bob"}
    assert http.get(f"{api}/slurm/{NATIVE_VERSION}/nodes/", headers=as_bob).status_code == 403


def test_head_node_tokens_are_refused_by_default(stack: Stack) -> None:
    answer = stack.http.get(f"{stack.api}/slurm/{NATIVE_VERSION}/nodes/", headers=head_node_headers("alice"))
    assert answer.status_code == 403
