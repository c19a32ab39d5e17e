"""Full-size load and faults on the running stack, each figure printed: ``python -m bench.soak [PART]...``.

Each part says what it does and what came of it. The exit status is 1 when anything was lost, doubled or late.
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
from typing import TYPE_CHECKING

from bench import client, inbox_faults, inbox_rates, job_records, large_output, mixed_load, rotations, submit_faults
from bench import faults as fault_table
from bench.clients import Side, alice_token, sides, stack_environment
from local import cluster
from local.address import CHECKOUT
from local.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable

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


def faults(rounds: int) -> int:
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
    return 0


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


def inbox(objects: int) -> int:
    """Write objects into the inbox under faults; print what came of it beside what the way itself can carry."""
    result = inbox_faults.run(objects, stop_after=30, stop_for=120, kills=2, deadline=3600)
    empty, own = inbox_rates.empty_function(1000), inbox_rates.slurmrestd(1000, clients=5)
    print(*(f"  {line}" for line in result.lines()), sep="\n")
    print(f"  beside it: {empty:.0f} messages/s through a function that does nothing, {own:.0f} submits/s of "
          "slurmrestd's own, 5 at a time", flush=True)  # fmt: skip
    return int(not result.is_exact())


def gateway_side() -> Side:
    """Give the gateway's side of the benchmarks with a fresh token."""
    env = stack_environment()
    return sides(env, alice_token(env))[0]


def count_jobs() -> int:
    """Count the jobs that slurmctld has under the benchmarks' name."""
    return len(cluster.run(["squeue", "--noheader", "--name=bench", "--format=%i"]).stdout.split())


def once(jobs: int, seed: int) -> int:
    """Submit under faults; print what came of it."""
    # Seldomer than in the small run: each kill leaves keys whose jobs are looked for among all that there are by then.
    result = submit_faults.run(jobs, clients=8, seed=seed, between_function_kills=(4, 14))
    print(*(f"  {line}" for line in result.lines()), sep="\n", flush=True)
    return int(not result.is_exact())


def records(jobs: int, seed: int) -> int:
    """Have jobs end in every way there is while the feed is killed; print what became of their records."""
    result = job_records.run(jobs, seed=seed)
    print(*(f"  {line}" for line in result.lines()), sep="\n", flush=True)
    return int(bool(result.wrong() or result.untold()))


def rotate(times: int) -> int:
    """Rotate the signing key under load; print what came of it."""
    result = rotations.run(times)
    print(*(f"  {line}" for line in result.lines()), sep="\n", flush=True)
    return int(not result.is_good())


def output() -> int:
    """Have a job print 1 GiB; print what that cost the head node."""
    result = large_output.run(large_output.GIB)
    print(*(f"  {line}" for line in result.lines()), sep="\n", flush=True)
    return int(not result.is_good())


def outlast() -> int:
    """Have the client wait for a job while the gateway is away."""
    client.install()
    return client.outlast(60)


def main() -> int:
    """Run the parts that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to run, by default everything")
    parser.add_argument("--rounds", type=int, default=5, help="how often each process is killed")
    parser.add_argument("--jobs", type=int, default=2000, help="how many jobs are submitted")
    parser.add_argument("--clients", type=int, default=64, help="how many clients of the mixed load there are")
    parser.add_argument("--minutes", type=float, default=5, help="how long the mixed load lasts")
    parser.add_argument("--listed", type=int, default=20_000, help="how many jobs others list meanwhile")
    parser.add_argument("--objects", type=int, default=5000, help="how many objects are written into the inbox")
    parser.add_argument("--rotations", type=int, default=20, help="how often the signing key is rotated")
    parser.add_argument("--seed", type=int, default=1, help="which faults come when")
    arguments = parser.parse_args()
    parts: dict[str, tuple[str, Callable[[], int]]] = {
        "once": (
            "Exactly once: POST /jobs with Idempotency-Key while daemons are stopped and killed, and the function",
            lambda: once(arguments.jobs, arguments.seed),
        ),
        "records": (
            "Records: jobs that end in every way, while the feed is killed",
            lambda: records(1000, arguments.seed),
        ),
        "load": ("Load: submits through the native path", lambda: load(arguments.jobs, clients=8)),
        "inbox": (
            "Inbox: objects written at once, slurmctld stopped for two minutes, slurmrestd killed twice",
            lambda: inbox(arguments.objects),
        ),
        "output": ("Output: a job that prints 1 GiB", output),
        "rotations": ("Rotations of the signing key under load", lambda: rotate(arguments.rotations)),
        "client": ("The client: a gateway that is away for a minute", outlast),
        "mixed": (
            "Mixed load of many clients, beside lists of very many jobs",
            lambda: mixed(arguments.clients, arguments.minutes, arguments.listed),
        ),
        "table": ("Fault table", lambda: fault_table.main([])),
        "faults": ("Faults: kill -9, then make up", lambda: faults(arguments.rounds)),
    }
    if unknown := [name for name in arguments.parts if name not in parts]:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(parts)}")
    failed = 0
    try:
        for name in arguments.parts or parts:
            title, run = parts[name]
            print(f"{title} ({name})", flush=True)
            failed |= run()
    finally:
        subprocess.run([CHECKOUT / "local/slurm", "scancel", "--name=bench"], check=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
