"""Many clients for some minutes: reads and submits, while others ask for the native list of all of a user's many jobs.

What is wanted: no answer of 5xx but a 503 that says to come back, or Lambda's throttling; each key one job; squeue
answered in under a second throughout; slurmrestd within its memory limit, and the one for lists ended by its own when a
list does not fit.
"""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx

from bench.clients import VERSION, stack_environment
from bench.fault_list import slurmrestd_pid
from bench.inbox_faults import queue_messages, resource
from bench.memory_limit import MemoryLimit
from local import cluster
from local.address import LISTS_PORT, SLURMRESTD_PORT, url
from local.token import TokenError, mint

SCRIPT = "#!/bin/sh\n#SBATCH --hold --output=/dev/null\ntrue\n"
_WANTED = {"200", "201", "409", "429", "503"}
_THROTTLED = {"message": "Service Unavailable"}
_SETTLE = 180.0
_TOLD = 1200.0
_LISTERS = 4
# Seconds between two clients' first requests: each starts a function, which takes a processor about a second, and has
# a machine of its own on AWS.
APART = 1.5


@dataclass
class Load:
    """What came of a run. Times are in seconds, memory in bytes; `seconds` are those with all clients there."""

    clients: int
    seconds: float
    listed_jobs: int
    coming: float = 0
    answers: Counter[str] = field(default_factory=Counter)
    unwanted: Counter[str] = field(default_factory=Counter)
    lists: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    squeue: list[float] = field(default_factory=list)
    peak: int = 0
    lists_peak: int = 0
    lists_kills: int = 0

    def is_exact(self) -> bool:
        """Tell whether each key has its answer and its one job."""
        return len(self.jobs) == len(set(self.jobs)) == len(self.keys) and set(self.jobs) == set(self.keys.values())

    def lines(self) -> list[str]:
        """Give the figures, for a reader."""
        requests = sum(self.answers.values())
        return [
            f"{self.clients} clients, all there after {self.coming:.0f} s, for {self.seconds:.0f} s more: "
            f"{requests} requests ({requests / (self.coming + self.seconds):.0f}/s): "
            + ", ".join(f"{count} {what}" for what, count in sorted(self.answers.items())),
            "not wanted: " + (", ".join(f"{count} {what}" for what, count in self.unwanted.items()) or "none"),
            "slowest: " + ", ".join(f"{what} {taken:.1f} s" for what, taken in sorted(self.slowest.items())),
            f"{len(self.keys)} keys, {len(self.jobs)} jobs in Slurm" + ("" if self.is_exact() else ": LOST OR DOUBLED"),
            f"squeue {len(self.squeue)} times, slowest {max(self.squeue, default=0):.2f} s",
            f"slurmrestd at most {self.peak >> 20} MiB",
            f"the one for lists {self.lists_peak >> 20} MiB, ended {self.lists_kills} times by its limit",
            f"native lists of {self.listed_jobs} jobs by {_LISTERS} others: "
            + ", ".join(f"{count} {what}" for what, count in sorted(self.lists.items())),
        ]


def run(*, clients: int, seconds: float, listed_jobs: int, apart: float = APART, seed: int = 1) -> Load:
    """Load the stack; `listed_jobs` is how many jobs bob has whose list the others ask for.

    The clients come `apart` seconds one after the other, and then all ask for as long as told.
    """
    load = Load(clients, seconds, listed_jobs)
    api = stack_environment()["API"]
    name = f"mixed-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    many = f"many-{name}"
    _seed_jobs(api, many, listed_jobs)
    over = threading.Event()
    dice = random.Random(seed)
    token, bob = mint("alice"), mint("bob")
    lock = threading.Lock()

    def client(own: random.Random) -> None:
        with httpx.Client(base_url=api, timeout=35, trust_env=False) as http:
            mine = ""
            while not over.is_set():
                what = own.choices(["job", "page", "native", "submit"], [60, 15, 10, 15])[0]
                if what in {"job", "native"} and not mine:
                    what = "submit"
                key = str(uuid.uuid4())
                if what == "submit":
                    with lock:
                        load.keys[key] = ""
                begin = time.monotonic()
                status, job = _ask(http, what, token, key=key, name=name, job=mine)
                taken = time.monotonic() - begin
                with lock:
                    load.answers[f"{what} {status}"] += 1
                    load.slowest[what] = max(load.slowest.get(what, 0), taken)
                    if status not in _WANTED:
                        load.unwanted[f"{what} {status}"] += 1
                    if job:
                        load.keys[key] = mine = job

    def lister() -> None:
        with httpx.Client(base_url=api, timeout=35, trust_env=False) as http:
            headers = {"X-SLURM-USER-NAME": "bob", "X-SLURM-USER-TOKEN": bob}
            while not over.is_set():
                try:
                    status = str(http.get(f"/slurm/{VERSION}/jobs", headers=headers).status_code)
                except httpx.HTTPError as exc:
                    status = type(exc).__name__
                with lock:
                    load.lists[status] += 1
                over.wait(0.5)

    def watch() -> None:
        while not over.wait(1.0):
            begin = time.monotonic()
            if cluster.run(["squeue", "--noheader", "--user=alice"]).returncode == 0:
                load.squeue.append(time.monotonic() - begin)
            else:
                load.unwanted["squeue failed"] += 1

    with ExitStack() as limits:
        main = limits.enter_context(MemoryLimit("2G", slurmrestd_pid))
        lists = limits.enter_context(MemoryLimit("1G", lambda: slurmrestd_pid(LISTS_PORT)))
        with ThreadPoolExecutor(clients + _LISTERS + 1) as pool:
            running = [pool.submit(lister) for _ in range(_LISTERS)] + [pool.submit(watch)]
            coming = time.monotonic()
            for _ in range(clients):
                running.append(pool.submit(client, random.Random(dice.random())))
                over.wait(apart)
            load.coming = time.monotonic() - coming
            over.wait(seconds)
            over.set()
            for each in running:
                each.result()
        load.peak, load.lists_peak, load.lists_kills = main.peak(), lists.peak(), lists.kills()
    _settle(api, load, name)
    listed = cluster.run(["squeue", "--noheader", "--states=all", f"--name={name}", "--format=%A"])
    load.jobs = listed.stdout.split()
    cluster.run(["scancel", f"--name={name},{many}"])
    return load


def _ask(http: httpx.Client, what: str, token: str, *, key: str, name: str, job: str) -> tuple[str, str]:
    """Send one request; give its status, and the job's id where it made one."""
    headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": token}
    try:
        if what == "submit":
            # Of the key, so that it is the same when it is sent again, and no other's.
            script = f"{SCRIPT}# {key}\n"
            answer = http.post(f"/jobs?job-name={name}", content=script, headers={**headers, "Idempotency-Key": key})
            return status_of(what, answer), answer.json()["id"] if answer.status_code == 201 else ""
        paths = {"job": f"/jobs/{job}", "page": "/jobs?limit=20", "native": f"/slurm/{VERSION}/job/{job}"}
        return status_of(what, http.get(paths[what], headers=headers)), ""
    except httpx.HTTPError as exc:
        return type(exc).__name__, ""


def status_of(what: str, answer: httpx.Response) -> str:
    """Give the status of an answer to a request of some kind; of a 503 that is nobody's word to come back, also that.

    Our functions' have Retry-After. API Gateway's own has none: before a function it means that Lambda had no room, and
    on the native way that the load balancer is away. The load balancer's own means that there is no head node.
    """
    if answer.status_code != 503 or answer.headers.get("retry-after", "").isdecimal():
        return str(answer.status_code)
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    if what != "native" and is_json and answer.json() == _THROTTLED:
        return "503"
    return "503 that does not say to come back"


def _settle(api: str, load: Load, name: str) -> None:
    """Send every submit without an answer again, as a client does that was told to come back."""
    deadline = time.monotonic() + _SETTLE
    token = _mint(deadline)
    with httpx.Client(base_url=api, timeout=35, trust_env=False) as http:
        for key in [key for key, job in load.keys.items() if not job]:
            while not load.keys[key] and time.monotonic() < deadline:
                _, load.keys[key] = _ask(http, "submit", token, key=key, name=name, job="")
                if not load.keys[key]:
                    time.sleep(0.5)


def _mint(deadline: float, user: str = "alice") -> str:
    """Give a user's token, which under such a load may take some tries."""
    while True:
        try:
            return mint(user)
        except TokenError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _seed_jobs(api: str, name: str, count: int) -> None:
    """Give bob many held jobs, straight by slurmrestd, and wait until each is in the jobs table.

    To take in so much news at once is not what is measured, and keeps the emulator of AWS busy for minutes.
    """
    job = {
        "name": name, "partition": "queue1", "hold": True, "current_working_directory": "/tmp",
        "environment": ["PATH=/usr/bin:/bin"], "script": "#!/bin/sh\ntrue\n",
    }  # fmt: skip
    headers = {"X-SLURM-USER-NAME": "bob", "X-SLURM-USER-TOKEN": mint("bob")}
    with httpx.Client(base_url=url(SLURMRESTD_PORT), headers=headers, timeout=60, trust_env=False) as http:

        def submit(_: int) -> int:
            answer = http.post(f"/slurm/{VERSION}/job/submit", json={"job": job}).raise_for_status()
            return int(answer.json()["job_id"])

        with ThreadPoolExecutor(4) as pool:
            newest = str(max(pool.map(submit, range(count))))
    deadline = time.monotonic() + _TOLD
    with httpx.Client(base_url=api, timeout=35, trust_env=False) as http:
        while True:
            headers = {"X-SLURM-USER-NAME": "bob", "X-SLURM-USER-TOKEN": _mint(deadline, "bob")}
            answer = http.get("/jobs?limit=100", headers=headers)
            if answer.is_success and newest in {each["id"] for each in answer.json()["jobs"]}:
                break
            _until(deadline, f"the feed to tell of job {newest}")
            time.sleep(min(5.0, count / 100))
    # The feed has told of all; the function that records them may not have read all of it.
    queue = resource("RecordsQueue")
    while sum(queue_messages(queue)):
        _until(deadline, "the records' queue to be empty")
        time.sleep(1)


def _until(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise RuntimeError(f"waited {_TOLD:.0f} s for {what}")
