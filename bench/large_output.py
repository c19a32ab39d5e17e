"""A job with a large output beside the head node's own work: ``python -m bench.large_output [BYTES]``.

Prints how long after the job's end the output was in S3, how much memory the files service and its child took, and how
fast slurmctld answered meanwhile.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.clients import alice_token, stack_environment
from local import cluster

GIB = 1 << 30
PROGRAMS = {"service": b"slurm_gateway_node.files", "child": b"read_child.py"}
MOST_MEMORY = 256
"""MiB that the service and its child may take together."""

_TIMEOUT = 1800.0


@dataclass(frozen=True)
class LargeOutput:
    """What was measured: seconds, MiB, and milliseconds of slurmctld's answers with and without the copying."""

    size: int
    after_end: float
    peak: dict[str, float]
    idle: float
    busy: float

    def is_good(self) -> bool:
        """Tell whether memory stayed within its limit."""
        return sum(self.peak.values()) < MOST_MEMORY

    def lines(self) -> list[str]:
        """Return the figures as lines to print."""
        size = self.size / (1 << 20)
        rate = f"{size / max(self.after_end, 0.1):.0f} MiB/s; the setting's limit is 100"
        return [
            f"{size:.0f} MiB printed by a job: in S3 {self.after_end:.1f} s after its end ({rate})",
            f"memory at most: service {self.peak['service']:.0f} MiB, child {self.peak['child']:.0f} MiB",
            f"slurmctld's answer to sinfo: {self.idle:.0f} ms before, {self.busy:.0f} ms meanwhile (median)",
        ]


def run(size: int) -> LargeOutput:
    """Submit the job, wait for its output, and measure on the way."""
    env = stack_environment()
    headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": alice_token(env)}
    script = f"#!/bin/bash\nyes 0123456789abcdef0123456789abcde | head -c {size}\n"
    idle = statistics.median(_sinfo() for _ in range(10))
    peak = dict.fromkeys(PROGRAMS, 0.0)
    busy: list[float] = []
    with httpx.Client(base_url=env["API"], headers=headers, timeout=35, trust_env=False) as http:
        path = f"/home/alice/bench-{time.time_ns()}.txt"
        answer = http.post(f"/jobs?job-name=bench&output={path}", content=script.encode())
        job = f"/jobs/{answer.raise_for_status().json()['id']}"
        deadline = time.monotonic() + _TIMEOUT
        ended = 0.0
        while (listed := http.get(f"{job}/output?list=true")).status_code != 200:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the output of {job} is not there after {_TIMEOUT:g} s: {listed.text}")
            ended = ended or (time.monotonic() if listed.status_code == 503 else 0.0)
            for name, memory in _memory().items():
                peak[name] = max(peak[name], memory)
            busy.append(_sinfo())
        after_end = time.monotonic() - ended if ended else 0.0
    cluster.run(["rm", "-f", path])
    return LargeOutput(int(listed.json()["stdout"]["size"]), after_end, peak, idle, statistics.median(busy))


def _sinfo() -> float:
    begin = time.perf_counter()
    cluster.run(["sinfo", "--noheader"])
    return (time.perf_counter() - begin) * 1000


def _memory() -> dict[str, float]:
    """Give the peak resident memory in MiB of the service and of its children that run."""
    found = dict.fromkeys(PROGRAMS, 0.0)
    for pid in cluster.pids():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
        for name, part in PROGRAMS.items():
            if part in command:
                found[name] = max(found[name], peak / 1024)
    return found


if __name__ == "__main__":
    measured = run(int(sys.argv[1]) if len(sys.argv) > 1 else GIB)
    print(*measured.lines(), sep="\n")
    sys.exit(0 if measured.is_good() else 1)
