"""Submits with Idempotency-Key while all that stands behind POST /jobs is stopped and killed: one job a key.

Faults at random, several at a time: slurmctld is stopped for a while in mid-submit, slurmrestd is killed, the
function's processes are killed wherever they are, also between their writes. Clients give up waiting at random, send
the same request twice at once, and ask again.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.clients import alice_token, stack_environment
from local import cluster
from local.process import Process

SCRIPT = "#!/bin/sh\n#SBATCH --hold --output=/dev/null\n: {key}\n"
LONGEST = 600.0  # seconds until a client gives its key up
_TOKEN_RENEWAL = 1500.0
_STARTED = 4.0  # seconds after which a process of the function has surely started


@dataclass
class Run:
    """What came of a run: answers by key, jobs in Slurm, what clients saw on the way, and which faults there were."""

    keys: int
    answered: dict[str, str] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    jobs: int = 0
    seconds: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def is_exact(self) -> bool:
        """Tell whether each key has its one answer and its one job."""
        return len(set(self.answered.values())) == self.jobs == self.keys == len(self.answered) and not self.differing

    def lines(self) -> list[str]:
        """Give the figures, for a reader."""
        answered = f"{len(self.answered)} keys answered, with {len(set(self.answered.values()))} different ids"
        return [
            f"{self.keys} keys in {self.seconds:.0f} s: {self.jobs} jobs in Slurm",
            f"{answered}; {len(self.differing)} keys with differing answers",
            "faults: " + ", ".join(f"{count} times {what}" for what, count in sorted(self.faults.items())),
            "answers: " + ", ".join(f"{count} {what}" for what, count in sorted(self.seen.items())),
        ]


def run(keys: int, *, clients: int = 8, seed: int = 1, between_function_kills: tuple[float, float] = (1.0, 4.0)) -> Run:
    """Submit under faults until each key has its answer.

    A process of the function is killed every so many seconds, from the one to the other.
    """
    dice = random.Random(seed)
    name = f"once-{os.getpid()}-{seed}"
    result = Run(keys)
    env = stack_environment()
    over = threading.Event()
    faults = [
        threading.Thread(target=make, args=(over, random.Random(dice.random()), result.faults, *how_often))
        for make, *how_often in ((_stop_and_kill_daemons,), (_kill_functions, *between_function_kills))
    ]
    begin = time.monotonic()
    for each in faults:
        each.start()
    try:
        with ThreadPoolExecutor(clients) as pool:
            clients_of_keys = [
                pool.submit(_client, env["API"], f"{name}-{number}", name, random.Random(dice.random()), result)
                for number in range(keys)
            ]
            for client in clients_of_keys:
                client.result()
    finally:
        over.set()
        for each in faults:
            each.join()
    result.seconds = time.monotonic() - begin
    result.jobs = len(
        cluster.run(["squeue", "--noheader", "--states=all", f"--name={name}", "--format=%A"]).stdout.split()
    )
    cluster.run(["scancel", f"--name={name}"])
    return result


class _Token:
    """Alice's token, renewed in time; all clients share it."""

    _lock = threading.Lock()
    _value, _made = "", 0.0

    @classmethod
    def get(cls) -> str:
        with cls._lock:
            while not cls._value or time.monotonic() - cls._made > _TOKEN_RENEWAL:
                try:
                    cls._value, cls._made = alice_token(stack_environment()), time.monotonic()
                except httpx.HTTPError:
                    time.sleep(0.5)
        return cls._value


def _client(api: str, key: str, name: str, dice: random.Random, result: Run) -> None:
    """Ask until there is an answer, impatiently and sometimes twice at once."""
    deadline = time.monotonic() + LONGEST
    script = SCRIPT.format(key=key)
    with httpx.Client(trust_env=False) as http:

        def ask(patience: float) -> httpx.Response | None:
            headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": _Token.get(), "Idempotency-Key": key}
            try:
                return http.post(f"{api}/jobs?job-name={name}", content=script, headers=headers, timeout=patience)
            except httpx.HTTPError as exc:
                result.seen[f"client saw {type(exc).__name__}"] += 1
                return None

        while time.monotonic() < deadline:
            twice = dice.random() < 0.1
            patience = dice.choice([0.05, 0.5, 5.0, 35.0])
            if twice:
                with ThreadPoolExecutor(2) as pool:
                    answers = list(pool.map(ask, [patience, 35.0]))
            else:
                answers = [ask(patience)]
            for answer in answers:
                if answer is not None:
                    _note(answer, key, result)
            # Who has an answer asks once more now and then: it must be the same.
            if key in result.answered and dice.random() < 0.9:
                return
            retry_after = [float(each.headers.get("retry-after", 0)) for each in answers if each is not None]
            time.sleep(dice.random() * max([0.2, *retry_after]) * 1.5)


def _note(answer: httpx.Response, key: str, result: Run) -> None:
    if answer.status_code == 201:
        job = answer.json()["id"]
        result.seen["201 again" if answer.headers.get("idempotent-replayed") else "201"] += 1
        if result.answered.setdefault(key, job) != job:
            result.differing.append(key)
        return
    is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    kind = answer.json()["type"].rpartition(":")[2] if is_problem else "of the gateway's own"
    result.seen[f"{answer.status_code} {kind}"] += 1


def _stop_and_kill_daemons(over: threading.Event, dice: random.Random, made: Counter[str]) -> None:
    """Stop slurmctld for a while or kill slurmrestd, now and then.

    Between two of them there may be the 15 s in which Slurm answers without a gap, or not.
    """
    while not over.wait(dice.uniform(2, 35)):
        if dice.random() < 0.6:
            made["slurmctld stopped"] += 1
            _signal("STOP", "slurmctld")
            over.wait(dice.choice((0.3, 2.0, 11.0)))
            _signal("CONT", "slurmctld")
        else:
            made["slurmrestd killed"] += 1
            _signal("KILL", "slurmrestd")


def _kill_functions(
    over: threading.Event, dice: random.Random, made: Counter[str], soonest: float, latest: float
) -> None:
    while not over.wait(dice.uniform(soonest, latest)):
        # One that has started: where all were killed at their start, nothing would ever be in mid-submit.
        for pid in dice.sample(processes := function_processes(), min(1, len(processes))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                made["function killed"] += 1


def _signal(name: str, unit: str) -> None:
    # By systemd: a unit that is just starting anew has the process id 0, and that would be ourselves.
    cluster.run(["systemctl", "kill", "--kill-who=main", f"--signal={name}", unit])


def _age(process: Path) -> float:
    """Give how many seconds ago a process began."""
    started = int((process / "stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def function_processes() -> list[int]:
    """Give the processes in which the emulator runs the jobs function, but those that are just starting."""
    emulator = Process("aws-emulator").pid()
    found = []
    for thread in Path(f"/proc/{emulator}/task").iterdir():
        # Threads and processes come and go while one looks.
        with contextlib.suppress(OSError):
            for pid in (thread / "children").read_text().split():
                process = Path(f"/proc/{pid}")
                if b"JobsFunction" in (process / "cmdline").read_bytes() and _age(process) > _STARTED:
                    found += [int(pid)]
    return found
