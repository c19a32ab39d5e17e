"""POST /jobs and GET /jobs/{id}: the handler's own CPU, wall time and round trips, beside Slurm's own ways.

The handler runs in this process with the deployed function's settings and credentials, so that what the local
emulator of Lambda costs is not counted. All sides take turns in one run. Credentials in the environment may read
the deployed function's configuration.
"""

from __future__ import annotations

import json
import os
import statistics
import time
import uuid
from collections import Counter
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.httpsession import URLLib3Session

from bench.clients import alice_token, milliseconds, sides, stack_environment
from local import cluster
from local.aws_emulator import endpoint
from local.stacks import function_credentials

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 100
WARM_UP = 5
CPU_LIMITS = {"POST /jobs": 5.0, "GET /jobs/{id}": 3.0}
SCRIPT = "#!/bin/bash\n#SBATCH --job-name=bench --hold\n#SBATCH --time=10\ntrue\n"


@dataclass
class Measured:
    """What one kind of request cost, a number a request: CPU and wall time in ms, and round trips by whom."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    trips: list[Counter[str]] = field(default_factory=list)


class RoundTrips:
    """Counts requests where they leave the process: botocore's to AWS, urllib3's to slurmrestd."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        send = URLLib3Session.send

        def counting_send(session: URLLib3Session, request: Any) -> Any:  # noqa: ANN401 (botocore has no types)
            target = request.headers.get("X-Amz-Target", b"")
            self.counted["DynamoDB" if b"DynamoDB" in (target if isinstance(target, bytes) else target.encode())
                         else "S3"] += 1  # fmt: skip
            return send(session, request)

        URLLib3Session.send = counting_send

    def watch(self, slurmrestd: Any) -> None:  # noqa: ANN401 (the handler's own, whatever it is)
        """Count what a Slurmrestd sends."""
        send = slurmrestd._send

        def counting_send(*arguments: Any) -> Any:  # noqa: ANN401
            self.counted["slurmrestd"] += 1
            return send(*arguments)

        slurmrestd._send = counting_send


def deployed() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Give the handler with the deployed function's settings and credentials."""
    functions = boto3.client("lambda").list_functions()["Functions"]
    [function] = [each for each in functions if each["Handler"] == "slurm_gateway.jobs_api.handler"]
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        **function["Environment"]["Variables"],
        **function_credentials(function["FunctionArn"]).environment(),
        "AWS_ENDPOINT_URL": endpoint(),
        "AWS_DEFAULT_REGION": "us-east-1",
        "LOG_LEVEL": "ERROR",
    }
    from slurm_gateway import jobs_api

    handler: Callable[[dict[str, Any]], dict[str, Any]] = jobs_api.handler
    return handler


def event(token: str, route: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 (an event's parts are JSON)
    """Give API Gateway's event for alice."""
    return {
        "routeKey": route,
        "rawQueryString": "",
        "headers": {"x-slurm-user-name": "alice", "x-slurm-user-token": token, **more.pop("headers", {})},
        "requestContext": {
            "requestId": "bench",
            "http": {"method": route.partition(" ")[0], "sourceIp": "192.0.2.1"},
            "authorizer": {"lambda": {"user": "alice", "expires_at": int(time.time()) + 3000}},
        },
        "isBase64Encoded": False,
        **more,
    }


def measure(handler: Callable[[dict[str, Any]], dict[str, Any]], token: str, trips: RoundTrips) -> dict[str, Measured]:
    """Call the handler and Slurm's own ways in turn; give what each cost."""
    environment = stack_environment()
    _, slurmrestd = sides(environment, token)
    measured = {name: Measured() for name in (*CPU_LIMITS, "slurmrestd submit", "slurmrestd read")}

    def handled(name: str, asked: dict[str, Any]) -> dict[str, Any]:
        trips.counted.clear()
        cpu, wall = time.process_time(), time.perf_counter()
        answer = handler(asked)
        measured[name].cpu.append((time.process_time() - cpu) * 1000)
        measured[name].wall.append((time.perf_counter() - wall) * 1000)
        measured[name].trips.append(trips.counted.copy())
        if answer["statusCode"] not in {200, 201}:
            raise SystemExit(f"{name} answered {answer['statusCode']}: {answer['body']}")
        found: dict[str, Any] = json.loads(answer["body"])
        return found

    for number in range(ROUNDS + WARM_UP):
        headers = {"idempotency-key": str(uuid.uuid4())}
        job = handled("POST /jobs", event(token, "POST /jobs", body=f"{SCRIPT}# {number}\n", headers=headers))
        handled("GET /jobs/{id}", event(token, "GET /jobs/{id}", pathParameters={"id": job["id"]}))
        measured["slurmrestd submit"].wall.append(milliseconds(slurmrestd.submit))
        measured["slurmrestd read"].wall.append(milliseconds(partial(slurmrestd.read, int(job["id"]))))
    for each in measured.values():
        for kept in (each.cpu, each.wall, each.trips):
            del kept[:WARM_UP]
    return measured


def commands(job_id: str, rounds: int = 20) -> dict[str, list[float]]:
    """Give the wall time of sbatch and scontrol on the head node, as they time themselves."""
    script = (
        't() { local s=$(date +%s%N); "$@" >/dev/null; echo $(( $(date +%s%N) - s )); }; '
        f"for i in $(seq {rounds}); do "
        "echo sbatch $(t sbatch --hold --job-name=bench --wrap=true --chdir=/tmp); "
        f"echo scontrol $(t scontrol show job {job_id}); done"
    )
    times: dict[str, list[float]] = {"sbatch": [], "scontrol show job": []}
    for line in cluster.run(["bash", "-c", script], user="alice").stdout.splitlines():
        name, nanoseconds = line.split()
        times["sbatch" if name == "sbatch" else "scontrol show job"].append(int(nanoseconds) / 1e6)
    return times


def main() -> int:
    """Measure and print; give 1 where CPU or round trips pass their limit."""
    token = alice_token(stack_environment())
    handler = deployed()
    trips = RoundTrips()
    import gc

    from slurm_gateway.slurmrestd import Slurmrestd

    for client in [each for each in gc.get_objects() if isinstance(each, Slurmrestd)]:
        trips.watch(client)
    # Its metrics are written all the same, as to Lambda, and read by nobody.
    with Path(os.devnull).open("w", encoding="utf-8") as log, redirect_stderr(log):
        measured = measure(handler, token, trips)
    _, slurmrestd = sides(stack_environment(), token)
    shell = commands(str(slurmrestd.submit()))
    print(f"The jobs function within its process, {ROUNDS} rounds (medians; Idempotency-Key and staging included)")
    print(f"{'':<22} {'CPU':>9} {'CPU p95':>9} {'wall':>9}   round trips, the most")
    slow = 0
    for name, limit in CPU_LIMITS.items():
        each = measured[name]
        most = Counter[str]()
        for counted in each.trips:
            most |= counted
        cpu = statistics.median(each.cpu)
        p95 = sorted(each.cpu)[int(len(each.cpu) * 0.95)]
        allowed = {"S3": 1, "DynamoDB": 2 if name.startswith("POST") else 1, "slurmrestd": 1}
        over = cpu > limit or any(most[target] > count for target, count in allowed.items())
        slow |= over
        shown = ", ".join(f"{count} {target}" for target, count in sorted(most.items()))
        print(f"{name:<22} {cpu:>6.2f} ms {p95:>6.2f} ms {statistics.median(each.wall):>6.2f} ms   {shown}"
              f"{'   OVER ITS LIMIT' if over else ''}")  # fmt: skip
    for name in ("slurmrestd submit", "slurmrestd read"):
        print(f"{name:<22} {'':>9} {'':>9} {statistics.median(measured[name].wall):>6.2f} ms")
    for name, times in shell.items():
        print(f"{name:<22} {'':>9} {'':>9} {statistics.median(times):>6.2f} ms")
    return int(slow)


if __name__ == "__main__":
    raise SystemExit(main())
