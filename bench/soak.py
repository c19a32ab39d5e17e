"""Full-size load and faults on the running stack, each figure printed: ``python -m bench.soak``.

It submits through POST /jobs with Idempotency-Key while daemons are stopped and the function is killed, and expects one
job a key; it submits many jobs at once through the native path and counts them in Slurm; and it kills every daemon and
process of the stack in turn, several times over, brings the stack up again and submits a job through it.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench import faults as fault_table
from bench import mixed_load, submit_faults
from bench.clients import Side, alice_token, sides, stack_environment
from local import cluster
from local.address import CHECKOUT
from local.process import Process

UNITS = ("slurmrestd", "slurmctld", "slurmdbd", "munge", "mariadb", "slurmd@queue1-dy-t3micro-2")
PROCESSES = ("gateway", "load-balancer", "aws-emulator")


def kill_unit(unit: str) -> None:
    """Send SIGKILL to a daemon of the head node."""
    # By systemd: a unit that is just starting anew has the process id 0, and that would be ourselves.
    cluster.run(["systemctl", "kill", "--kill-who=main", "--signal=KILL", unit])


def kill_process(name: str) -> None:
    """Send SIGKILL to a process of this machine."""
    pid = Process(name).pid()
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


def up() -> float:
    """Bring the stack up and give the seconds it took."""
    begin = time.monotonic()
    subprocess.run([sys.executable, "-m", "local", "up"], cwd=CHECKOUT, check=True, capture_output=True)
    return time.monotonic() - begin


def faults(rounds: int) -> None:
    """Kill and heal each part; print how long `make up` took, and submit a job after each."""
    side = gateway_side()
    for name in (*UNITS, *PROCESSES):
        seconds = []
        for _ in range(rounds):
            (kill_unit if name in UNITS else kill_process)(name)
            seconds.append(up())
            # A killed gateway or emulator took the connections and sessions with it.
            side = gateway_side()
            side.submit()
        print(f"  {name:<28} killed {rounds} times; up again in {statistics.median(seconds):.1f} s (median), "
              f"{max(seconds):.1f} s (longest); a job submitted after each", flush=True)  # fmt: skip


def load(jobs: int, clients: int) -> int:
    """Submit held jobs from several clients at once; print the rate, and count what Slurm has."""
    before = count_jobs()
    side = gateway_side()
    begin = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        ids = list(pool.map(lambda _: side.submit(), range(jobs)))
    elapsed = time.monotonic() - begin
    found = count_jobs() - before
    print(f"  {jobs} submits by {clients} clients in {elapsed:.1f} s ({jobs / elapsed:.0f}/s); "
          f"{len(set(ids))} different ids; {found} jobs in Slurm", flush=True)  # fmt: skip
    return int(len(set(ids)) != jobs or found != jobs)


def mixed(clients: int, minutes: float, listed: int) -> int:
    """Run the mixed load with room for its jobs in slurmctld; print the figures."""
    release = cluster.running_release() or cluster.DEFAULT_RELEASE
    cluster.start(release, cluster.Settings(max_job_count=listed + 30_000))
    cluster.wait_ready()
    try:
        result = mixed_load.run(clients=clients, seconds=minutes * 60, listed_jobs=listed)
    finally:
        cluster.start(release)
        cluster.wait_ready()
    print(*(f"  {line}" for line in result.lines()), sep="\n", flush=True)
    return int(not result.is_exact() or bool(result.unwanted) or max(result.squeue) >= 1)


def gateway_side() -> Side:
    """Give the gateway's side of the benchmarks with a fresh token."""
    env = stack_environment()
    return sides(env, alice_token(env))[0]


def count_jobs() -> int:
    """Count the jobs that slurmctld has under the benchmarks' name."""
    return len(cluster.run(["squeue", "--noheader", "--name=bench", "--format=%i"]).stdout.split())


def main() -> int:
    """Run both parts; the exit status is 1 when a job was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each part is killed")
    parser.add_argument("--jobs", type=int, default=2000, help="how many jobs are submitted")
    parser.add_argument("--clients", type=int, default=64, help="how many clients of the mixed load there are")
    parser.add_argument("--minutes", type=float, default=5, help="how long the mixed load lasts")
    parser.add_argument("--listed", type=int, default=20_000, help="how many jobs others list meanwhile")
    parser.add_argument("--seed", type=int, default=1, help="which faults come when")
    arguments = parser.parse_args()
    try:
        print("Exactly once: POST /jobs with Idempotency-Key under faults")
        once = submit_faults.run(arguments.jobs, clients=16, seed=arguments.seed)
        print(*(f"  {line}" for line in once.lines()), sep="\n", flush=True)
        print("Load: submits through the gateway")
        lost = load(arguments.jobs, clients=8) | (not once.is_exact())
        print("Mixed load, beside lists of very many jobs")
        lost |= mixed(arguments.clients, arguments.minutes, arguments.listed)
        print("Fault table")
        lost |= fault_table.main([])
        print("Faults: kill -9, then make up")
        faults(arguments.rounds)
    finally:
        subprocess.run([CHECKOUT / "local/slurm", "scancel", "--name=bench"], check=True)
    return lost


if __name__ == "__main__":
    sys.exit(main())
