"""The two ways to slurmrestd that are compared: through the gateway, and straight to it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from dotenv import dotenv_values

from local.address import SLURMRESTD_PORT, STATE_DIRECTORY, url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION = "v0.0.42"
JOB = {
    "name": "bench",
    "partition": "queue1",
    "hold": True,
    "current_working_directory": "/tmp",
    "environment": ["PATH=/usr/bin:/bin"],
    "script": "#!/bin/sh\ntrue\n",
}


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a name, and a client that carries alice's token."""

    name: str
    http: httpx.Client

    def submit(self) -> int:
        """Submit a held job and give its id; raises on any answer but a success."""
        answer = self.http.post(f"/slurm/{VERSION}/job/submit", json={"job": JOB})
        answer.raise_for_status()
        return int(answer.json()["job_id"])

    def read(self, job_id: int) -> None:
        """Read one job by its id; raises on any answer but a success."""
        self.http.get(f"/slurm/{VERSION}/job/{job_id}").raise_for_status()


def stack_environment() -> Mapping[str, str]:
    """Give what `make up` wrote to .local/env."""
    values = dotenv_values(STATE_DIRECTORY / "env")
    return {key: value for key, value in values.items() if value is not None}


def alice_token(env: Mapping[str, str]) -> str:
    """Get a Slurm token for alice as her principal does, by SigV4."""
    request = AWSRequest(method="POST", url=f"{env['API']}/token", data=b'{"lifespan": 3600}')
    keys = Credentials(env["ALICE_AWS_ACCESS_KEY_ID"], env["ALICE_AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(keys, "execute-api", env["AWS_REGION"]).add_auth(request)
    answer = httpx.post(request.url, content=request.data, headers=dict(request.headers), timeout=35, trust_env=False)
    answer.raise_for_status()
    return str(answer.json()["token"])


def sides(env: Mapping[str, str], token: str) -> tuple[Side, Side]:
    """Give the gateway's side and slurmrestd's own, both with kept-alive connections."""
    headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": token}
    return (
        Side("gateway", httpx.Client(base_url=env["API"], headers=headers, timeout=35, trust_env=False)),
        Side("slurmrestd", httpx.Client(base_url=url(SLURMRESTD_PORT), headers=headers, timeout=35, trust_env=False)),
    )


def milliseconds(call: Callable[[], object]) -> float:
    """Give how long a call took, in milliseconds of wall time."""
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1000


def median_line(label: str, gateway: list[float], slurmrestd: list[float]) -> str:
    """Give a table row: both medians in milliseconds, and their ratio."""
    ours, theirs = statistics.median(gateway), statistics.median(slurmrestd)
    return f"{label:<28} {ours:>9.2f} ms {theirs:>9.2f} ms   {ours / theirs:>5.1f} x   +{ours - theirs:.2f} ms"
