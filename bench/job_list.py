"""GET /jobs with many jobs of mixed owners in the queue, all submitted by sbatch, beside slurmrestd's own list.

``python -m bench.job_list [JOBS]``. The handler runs in this process with the deployed function's settings and
credentials: its CPU is what is measured. It has no way to slurmrestd here, so that a call to it would fail.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from typing import Any

import boto3
import httpx

from bench.clients import VERSION, alice_token, stack_environment
from local import cluster
from local.address import CHECKOUT, SLURMRESTD_PORT, url
from local.stacks import function_credentials

JOBS = 20_000
CPU_LIMIT = 50.0  # ms a page
SIZE_LIMIT = 200_000  # bytes a page
GROWTH_LIMIT = 5  # MB of slurmrestd's memory while all pages are read: others ask it meanwhile, for a job or two
_SHARES = (("alice", 0.1), ("bob", 0.9))
_PATIENCE = 1800.0


def submit(jobs: int, name: str) -> None:
    """Submit held jobs by sbatch, a tenth of them as alice."""
    one = f"sbatch --quiet --hold --job-name={name} --output=/dev/null --wrap=true"
    for user, share in _SHARES:
        script = f"seq {int(jobs * share)} | xargs -P 4 -I{{}} {one}"
        done = cluster.run(["bash", "-c", script], user=user)
        if done.returncode != 0:
            raise RuntimeError(f"sbatch failed for {user}: {done.stderr[-500:]}")


def build_handler() -> Any:  # noqa: ANN401 - a handler takes and gives JSON
    """Return the deployed function's handler with its own settings and credentials, and no way to slurmrestd."""
    function = boto3.client("lambda").get_function_configuration(
        FunctionName=next(
            each["FunctionName"]
            for each in boto3.client("lambda").list_functions()["Functions"]
            if each["Handler"] == "slurm_gateway.jobs_api.handler"
        )
    )
    credentials = function_credentials(function["FunctionArn"]).environment()
    environment = {**function["Environment"]["Variables"], "SLURMRESTD_URL": "http://127.0.0.1:9", "LOG_LEVEL": "ERROR"}
    os.environ |= {**environment, **credentials}
    from slurm_gateway import jobs_api

    return jobs_api.build(environment)


def page(handler: Any, query: str, token: str) -> tuple[dict[str, Any], float, int]:  # noqa: ANN401
    """Ask for a page as alice; return it, the CPU in ms and its size in bytes."""
    event = json.loads((CHECKOUT / "events" / "jobs-list.json").read_text())
    event["rawQueryString"] = query
    event["headers"] |= {"x-slurm-user-name": "alice", "x-slurm-user-token": token}
    begin = time.process_time()
    answer = handler(event)
    cpu = (time.process_time() - begin) * 1000
    if answer["statusCode"] != 200:
        raise RuntimeError(f"GET /jobs answered {answer['statusCode']}: {answer['body']}")
    return json.loads(answer["body"]), cpu, len(answer["body"])


def walk(handler: Any, name: str, token: str) -> tuple[list[dict[str, Any]], list[float], list[int]]:  # noqa: ANN401
    """Walk all of alice's pages of a name; return her jobs, and CPU and size of each page."""
    jobs: list[dict[str, Any]] = []
    costs: list[float] = []
    sizes: list[int] = []
    cursor = ""
    while True:
        found, cpu, size = page(handler, f"name={name}{cursor}", token)
        jobs += found["jobs"]
        costs.append(cpu)
        sizes.append(size)
        if found["next"] is None:
            return jobs, costs, sizes
        cursor = f"&cursor={found['next']}"


def slurmrestd_memory() -> int:
    """Return slurmrestd's resident memory in MB."""
    pid = cluster.run(["systemctl", "show", "-P", "MainPID", "slurmrestd"]).stdout.strip()
    for line in cluster.run(["cat", f"/proc/{pid}/status"]).stdout.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise RuntimeError("slurmrestd does not run")


def main(jobs: int = JOBS) -> int:
    """Submit, wait for the records, walk the pages, and print what they cost; give 1 where a limit is passed."""
    env = stack_environment()
    release = cluster.running_release()
    cluster.start(release or cluster.DEFAULT_RELEASE, cluster.Settings(max_job_count=jobs + 5000))
    cluster.wait_ready()
    token = alice_token(env)
    handler = build_handler()
    name = f"list-{os.getpid()}"
    begin = time.monotonic()
    submit(jobs, name)
    submitted = time.monotonic() - begin
    wanted = int(jobs * _SHARES[0][1])
    while len(walk(handler, name, token)[0]) < wanted and time.monotonic() - begin < _PATIENCE:
        time.sleep(5)
    waited = time.monotonic() - begin - submitted
    memory = slurmrestd_memory()
    gc.collect()
    found, costs, sizes = walk(handler, name, token)
    own = len({job["id"] for job in found}) == len(found) == wanted and {job["user"] for job in found} == {"alice"}
    grown = slurmrestd_memory() - memory
    print(f"GET /jobs with {jobs} jobs in the queue, {wanted} of them alice's")
    print(f"  submitted by sbatch in {submitted:.0f} s; hers all in the table {waited:.0f} s later")
    print(f"  {len(costs)} pages of 100: handler's CPU {statistics.median(costs):.1f} ms (median), {max(costs):.1f} ms "
          f"(most; limit {CPU_LIMIT:.0f}); {max(sizes) // 1000} KB (most; limit {SIZE_LIMIT // 1000})")  # fmt: skip
    print(f"  {len(found)} jobs seen, each once: {own}; slurmrestd's memory grew by {grown} MB (limit {GROWTH_LIMIT})")
    with httpx.Client(base_url=url(SLURMRESTD_PORT), timeout=120, trust_env=False) as http:
        begin = time.monotonic()
        headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": token}
        native = http.get(f"/slurm/{VERSION}/jobs", headers=headers)
        seconds = time.monotonic() - begin
        print(f"  native list, alice's: {len(native.content) // 1000} KB in {seconds * 1000:.0f} ms, "
              f"slurmrestd's memory grew by {slurmrestd_memory() - memory - grown} MB")  # fmt: skip
    for user, _ in _SHARES:
        cluster.run(["scancel", f"--user={user}", f"--name={name}"])
    cluster.start(release or cluster.DEFAULT_RELEASE)
    return int(max(costs) > CPU_LIMIT or max(sizes) > SIZE_LIMIT or grown > GROWTH_LIMIT or not own)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else JOBS))
