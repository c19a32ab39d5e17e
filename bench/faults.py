"""The fault table: one fault after the other on the running stack, and what users saw: ``python -m bench.faults``.

While a fault lasts, five requests are sent again and again: a token, the list of jobs, one job, slurmrestd's own
answer, and a submit with an Idempotency-Key of its own each time. Then it is lifted, as the table's last column says,
and the clock runs until all five are answered as before. At the end every submit is sent again until it has its answer,
and the jobs in Slurm are counted: as many as keys, or something was lost or doubled.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from bench import head_node
from bench.clients import VERSION, stack_environment
from bench.fault_list import FAULTS, HEALED_WITHIN, slurmctld_pid
from local import cluster

if TYPE_CHECKING:
    from bench.fault_list import Fault

SCRIPT = "#!/bin/sh\n#SBATCH --hold --output=/dev/null\ntrue\n"
_PAUSE = 0.3
_WANTED = {"token": 200, "list": 200, "job": 200, "native": 200, "submit": 201}


@dataclass
class Answers:
    """What one kind of request was answered while a fault lasted: seconds by status."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def text(self) -> str:
        """Give how often there was which status, and the longest time of each."""
        return ", ".join(
            f"{len(taken)} x {status} in {max(taken):.1f} s" for status, taken in sorted(self.seconds.items())
        )  # fmt: skip


class User:
    """A client that asks for everything a client asks for, and remembers its keys."""

    def __init__(self, name: str) -> None:
        self.env = stack_environment()
        self.name = name
        self.keys: dict[str, str] = {}
        self.http = httpx.Client(base_url=self.env["API"], timeout=35, trust_env=False)
        self.token = ""
        self.job = ""

    def prepare(self) -> None:
        """Get a token and a job to look at."""
        self.token = self._mint().json()["token"]
        self.job = self._submit(str(uuid.uuid4())).json()["id"]

    def ask(self, kind: str, key: str = "") -> str:
        """Send one request; give its status, or the name of what broke."""
        try:
            match kind:
                case "token":
                    answer = self._mint()
                case "list":
                    answer = self.http.get("/jobs?limit=5", headers=self._headers())
                case "job":
                    answer = self.http.get(f"/jobs/{self.job}", headers=self._headers())
                case "native":
                    answer = self.http.get(f"/slurm/{VERSION}/nodes/", headers=self._headers())
                case _:
                    answer = self._submit(key or str(uuid.uuid4()))
        except httpx.HTTPError as exc:
            return type(exc).__name__
        return str(answer.status_code)

    def settle(self, longest: float = 120.0) -> int:
        """Send every submit again until it is answered; give how many are not."""
        deadline = time.monotonic() + longest

        def repeat(key: str) -> None:
            while not self.keys[key] and time.monotonic() < deadline:
                if self.ask("submit", key) != "201":
                    time.sleep(_PAUSE)

        if unanswered := [key for key, job in self.keys.items() if not job]:
            # Beside each other: each may have to watch Slurm for 15 s before it knows.
            with ThreadPoolExecutor(len(unanswered)) as pool:
                list(pool.map(repeat, unanswered))
        return sum(not job for job in self.keys.values())

    def _headers(self) -> dict[str, str]:
        return {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": self.token}

    def _submit(self, key: str) -> httpx.Response:
        self.keys.setdefault(key, "")
        headers = {**self._headers(), "Idempotency-Key": key}
        answer = self.http.post(f"/jobs?job-name={self.name}", content=SCRIPT, headers=headers)
        if answer.status_code == 201:
            self.keys[key] = answer.json()["id"]
        return answer

    def _mint(self) -> httpx.Response:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest(method="POST", url=f"{self.env['API']}/token", data=b'{"lifespan": 3600}')
        keys = Credentials(self.env["ALICE_AWS_ACCESS_KEY_ID"], self.env["ALICE_AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(keys, "execute-api", self.env["AWS_REGION"]).add_auth(request)
        return self.http.post(request.url, content=request.data, headers=dict(request.headers))


@dataclass(frozen=True)
class Row:
    """A row of the table.

    `lost` is empty where nothing was; `healed` counts from the moment the fault was lifted, a replaced head node's from
    that at which its slurmctld answered.
    """

    fault: str
    seen: dict[str, str]
    lost: str
    healed: float
    by: str

    def lines(self) -> list[str]:
        """Give the row, for a reader."""
        seen = "; ".join(f"{kind} {text}" for kind, text in self.seen.items())
        return [
            f"{self.fault}",
            f"    users saw: {seen}",
            f"    lost: {self.lost or 'nothing'}; whole again after {self.healed:.1f} s ({self.by})",
        ]


def suffer(fault: Fault, seconds: float) -> Row:
    """Cause a fault for a while and lift it; give its row."""
    user = User(f"fault-{os.getpid()}-{uuid.uuid4().hex[:6]}")
    user.prepare()
    time.sleep(fault.waits)
    pid = slurmctld_pid()
    seen: dict[str, Answers] = {kind: Answers() for kind in _WANTED}
    over = threading.Event()

    def ask(kind: str) -> None:
        # A connection of its own: who waits for one answer does not wait for another.
        while True:
            begin = time.monotonic()
            status = user.ask(kind)
            seen[kind].seconds[status].append(time.monotonic() - begin)
            if over.wait(_PAUSE):
                return

    threads = [threading.Thread(target=ask, args=(kind,)) for kind in _WANTED]
    with fault.made() as counted_from:
        for each in threads:
            each.start()
        time.sleep(seconds)
        over.set()
        for each in threads:
            each.join()
    lifted = time.monotonic()
    healed = whole_again(user)
    if counted_from is not None and counted_from.at is not None:
        healed += lifted - counted_from.at
    lost = []
    if unanswered := user.settle():
        lost.append(f"{unanswered} keys without an answer")
    jobs = cluster.run(["squeue", "--noheader", "--states=all", f"--name={user.name}", "--format=%A"]).stdout.split()
    ids = set(user.keys.values()) - {""}
    if fault.keeps_jobs and (len(jobs) != len(user.keys) or set(jobs) != ids):
        lost.append(f"{len(user.keys)} keys made {len(jobs)} jobs")
    if fault.spares_slurmctld and slurmctld_pid() != pid:
        lost.append("slurmctld was started anew")
    cluster.run(["scancel", f"--name={user.name}"])
    return Row(
        fault.name, {kind: answers.text() for kind, answers in seen.items()}, ", ".join(lost), healed, fault.heals
    )


def whole_again(user: User) -> float:
    """Wait until every kind of request is answered as it should be; give the seconds."""
    begin = time.monotonic()
    while (now := time.monotonic() - begin) < HEALED_WITHIN:
        if all(user.ask(kind) == str(status) for kind, status in _WANTED.items()):
            return now
        time.sleep(_PAUSE)
    return HEALED_WITHIN


def main(argv: list[str] | None = None) -> int:
    """Print the table; the exit status is 1 where something was lost or did not heal."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each fault lasts")
    parser.add_argument("--only", default="", help="only faults with this in their name")
    given = parser.parse_args(argv)
    bad = 0
    chosen = [fault for fault in FAULTS if given.only in fault.name]
    for number, fault in enumerate(chosen, 1):
        row = suffer(fault, given.seconds)
        bad += bool(row.lost) or row.healed >= fault.within
        print(f"{number:2}. " + "\n".join(row.lines()), flush=True)
    if any(fault.replaces_head_node for fault in chosen):
        head_node.put_back()
    print(f"{len(chosen)} faults, {len(chosen) - bad} of them without loss and healed")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
