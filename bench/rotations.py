"""Rotations of the signing key under constant load, every failed request kept.

Clients submit and read all the while, each through a token that lives for a few seconds: minted by whichever key signs,
used to its end, and so still in use when the next key signs. What fails is counted by route; between the first and the
last failure in a row lies how long a route was away.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench.clients import JOB, VERSION, stack_environment
from local import aws_emulator, cluster, principals, stacks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurm_gateway.rotation import Rotation

# Shorter than an operator's waits: long enough for a machine that is busy with its own load.
LIFESPAN = 30
SETTLE = 60
# So long before its end a token is used no more: a request may take a while.
_MARGIN = 0.25
SLURMDB = "/slurmdb"
# slurmdbd reads its keys only when it starts.
LONGEST_AWAY = 5.0
# One of its own for each submit, as with many users: the emulator keeps what S3 has of a key with each write of it.
_SCRIPT = "#!/bin/sh\n#SBATCH --job-name=bench --hold --partition=queue1\ntrue\n"


@dataclass
class Load:
    """What came of the requests, by route: how many there were, and what failed when and why."""

    # Times are in seconds since the load began.
    requests: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    away: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _away_since: dict[str, float] = field(default_factory=dict)

    def note(self, route: str, begin: float, end: float, why: str) -> None:
        """Note a request: when it began and ended, and why it failed, "" if it did not."""
        self.requests[route] += 1
        if why:
            self.failures[route].append((begin, why))
            self._away_since.setdefault(route, begin)
        elif (since := self._away_since.pop(route, None)) is not None:
            self.away[route].append(end - since)

    def lines(self) -> list[str]:
        """Give a line for each route, and one for each failure but slurmdbd's."""
        lines = []
        for route, requests in sorted(self.requests.items()):
            failed, away = self.failures.get(route, []), self.away.get(route, [])
            gap = f"; away {len(away)} times, {max(away):.1f} s at the longest" if away else ""
            lines.append(f"{route:<14} {requests:>7} requests, {len(failed)} failed{gap}")
        for route, failed in self.failures.items():
            lines += [f"FAILED {route} at {at:.1f} s: {why}" for at, why in failed if route != SLURMDB]
        return lines

    def is_good(self) -> bool:
        """Tell whether no request failed but slurmdbd's, and it was never away for more than 5 s."""
        return not set(self.failures) - {SLURMDB} and max(self.away.get(SLURMDB, [0.0])) <= LONGEST_AWAY


def rotation(settle: float = SETTLE, lifespan: float = LIFESPAN) -> Rotation:
    """Give the running stack's rotation, as an operator has it but for shorter waits."""
    from slurm_gateway.rotation import Rotation

    outputs = stacks.outputs_of(stacks.REQUIREMENTS_STACK)
    administrator = principals.administrator()
    return Rotation(
        aws_emulator.client("ssm", administrator),
        aws_emulator.client("kms", administrator),
        stack=stacks.REQUIREMENTS_STACK,
        keys_parameter=outputs["KeysParameterName"],
        own_key=outputs["SigningKeyArn"],
        longest_lifespan=lambda: lifespan,
        settle=settle,
    )


def rotate(walk: Rotation) -> None:
    """Take the three steps, each as soon as it is let."""
    for _ in range(3):
        while (seconds := walk.due_in(walk.state())) > 0:
            time.sleep(seconds)
        walk.next()


def put_back() -> str:
    """Let the stack's own key sign alone again, as before all rotations, and give its id."""
    outputs = stacks.outputs_of(stacks.REQUIREMENTS_STACK)
    own = outputs["SigningKeyArn"].rpartition("/")[2]
    administrator = principals.administrator()
    aws_emulator.client("kms", administrator).enable_key(KeyId=own)
    aws_emulator.client("ssm", administrator).put_parameter(
        Name=outputs["KeysParameterName"], Value=own, Type="StringList", Overwrite=True
    )
    return own


class Clients:
    """Clients that go on until they are stopped."""

    def __init__(self, clients: int = 2, *, lifespan: int = LIFESPAN) -> None:
        self.load = Load()
        self._lifespan = lifespan
        self._env = stack_environment()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._began = time.monotonic()
        threads = [(self._work, (number,)) for number in range(clients)] + [(self._watch_slurmdb, ())]
        self._threads = [threading.Thread(target=target, args=arguments) for target, arguments in threads]

    def __enter__(self) -> Clients:
        """Start."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for the last request of each."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        with httpx.Client(base_url=self._env["API"], timeout=35, trust_env=False) as http:
            # One a token's life after the other, so that at any time some are fresh and some old.
            self._over.wait(number * self._lifespan / 2)
            while not self._over.is_set():
                headers, until = self._token(http)
                self._use(http, headers, until)

    def _use(self, http: httpx.Client, headers: Mapping[str, str], until: float) -> None:
        job = ""
        while time.monotonic() < until and not self._over.is_set():
            native = self._ask(
                http, "/slurm submit", "POST", f"/slurm/{VERSION}/job/submit", headers, json={"job": JOB}
            )
            if native is not None:
                self._ask(http, "/slurm read", "GET", f"/slurm/{VERSION}/job/{native.json()['job_id']}", headers)
            answer = self._ask(http, "/jobs submit", "POST", "/jobs", headers, content=f"{_SCRIPT}# {uuid.uuid4()}\n")
            job = answer.json()["id"] if answer is not None else job
            if job:
                self._ask(http, "/jobs read", "GET", f"/jobs/{job}", headers)
            self._ask(http, "/jobs list", "GET", "/jobs?limit=5", headers)
            self._over.wait(0.2)

    def _watch_slurmdb(self) -> None:
        """Ask slurmdbd some times a second, which tells how long it was away."""
        with httpx.Client(base_url=self._env["API"], timeout=35, trust_env=False) as http:
            while not self._over.is_set():
                headers, until = self._token(http)
                while time.monotonic() < until and not self._over.is_set():
                    self._ask(http, SLURMDB, "GET", f"/slurmdb/{VERSION}/users/", headers)
                    self._over.wait(0.2)

    def _token(self, http: httpx.Client) -> tuple[dict[str, str], float]:
        """Mint a token; give its headers, and until when to use it: a moment before it expires."""
        while not self._over.is_set():
            request = AWSRequest("POST", f"{self._env['API']}/token", data=f'{{"lifespan": {self._lifespan}}}'.encode())
            keys = Credentials(self._env["ALICE_AWS_ACCESS_KEY_ID"], self._env["ALICE_AWS_SECRET_ACCESS_KEY"])
            SigV4Auth(keys, "execute-api", self._env["AWS_REGION"]).add_auth(request)
            asked = time.monotonic()
            answer = self._ask(http, "/token", "POST", "/token", dict(request.headers), content=request.data)
            if answer is not None:
                headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": answer.json()["token"]}
                return headers, asked + self._lifespan * (1 - _MARGIN)
        return {}, 0.0

    def _ask(
        self,
        http: httpx.Client,
        route: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        **content: Any,  # noqa: ANN401
    ) -> httpx.Response | None:
        begin, why, answer = time.monotonic(), "", None
        try:
            answer = http.request(method, path, headers=headers, **content)
            if not answer.is_success:
                why = f"{answer.status_code} {answer.text[:300]}"
            elif route.startswith("/slurm") and answer.json().get("errors"):
                why = f"200 with {answer.json()['errors']}"
        except httpx.HTTPError as exc:
            why = repr(exc)
        with self._lock:
            self.load.note(route, begin - self._began, time.monotonic() - self._began, why)
        return None if why else answer


def run(rounds: int, *, clients: int = 2, settle: float = SETTLE) -> Load:
    """Rotate so many times under load, print each, and give what came of the requests."""
    walk = rotation(settle)
    try:
        return _run(walk, rounds, clients)
    finally:
        put_back()


def _run(walk: Rotation, rounds: int, clients: int) -> Load:
    with Clients(clients) as going:
        for number in range(rounds):
            begin = time.monotonic()
            rotate(walk)
            # Twenty rotations' jobs are more than slurmctld holds unless it is told to (MaxJobCount).
            cluster.run(["scancel", "--name=bench", "--state=PENDING"])
            requests = sum(going.load.requests.values())
            failed = sum(map(len, going.load.failures.values()))
            seconds = time.monotonic() - begin
            print(f"  rotation {number + 1}: {seconds:.0f} s; {requests} requests so far, {failed} failed", flush=True)
    return going.load


def main() -> int:
    """Rotate 20 times unless told otherwise; return 1 if a request failed that should not have."""
    parser = argparse.ArgumentParser(prog="python -m bench.rotations", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    load = run(parser.parse_args().rounds)
    print(*(f"  {line}" for line in load.lines()), sep="\n", flush=True)
    return 0 if load.is_good() else 1


if __name__ == "__main__":
    sys.exit(main())
