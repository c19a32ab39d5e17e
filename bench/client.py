"""The client: how soon its help is there, and how many scripts a second `submit *.sh` makes into jobs.

The rate stands beside that of an empty function of the same emulator with as many clients: what the way costs that
every submit goes. All scripts are held, so that nothing else runs meanwhile.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.clients import milliseconds, stack_environment
from local import aws_emulator, cluster, principals
from local.address import CHECKOUT, STATE_DIRECTORY
from local.aws_emulator import ACCOUNT
from local.gateway import service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMAND = STATE_DIRECTORY / "runner/slurm-gateway/bin/slurm-gateway"
STARTS = 21
LONGEST_START = 150.0
SCRIPTS = 500
CLIENTS = 8
SMALLEST_SHARE = 0.5


def install() -> None:
    """Install the client as its users do, where its tests have it."""
    environment = COMMAND.parents[1]
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip: list[Any] = [environment / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"{CHECKOUT}/client[aws]"], check=True)


def start_up() -> bool:
    """Print how long the help takes; give whether it is too long."""
    python = COMMAND.parent / "python"
    help_times, bare = [], []
    for _ in range(STARTS):
        help_times.append(milliseconds(lambda: run([COMMAND, "--help"], os.environ)))
        bare.append(milliseconds(lambda: run([python, "-c", ""], os.environ)))
    median, least = statistics.median(help_times), min(help_times)
    late = median > LONGEST_START
    print(f"slurm-gateway --help: {median:.0f} ms (median of {STARTS}), {least:.0f} ms at best; Python alone "
          f"{statistics.median(bare):.0f} ms{'   OVER ITS LIMIT' if late else ''}")  # fmt: skip
    return late


def rates(scripts: int = SCRIPTS) -> bool:
    """Print both rates; give whether the client's is too low, or a script became no job or two."""
    env = stack_environment()
    with tempfile.TemporaryDirectory() as name, empty_function() as call:
        directory = Path(name)
        for number in range(scripts):
            (directory / f"{number:04}.sh").write_text("#!/bin/sh\n#SBATCH --hold --job-name=bench\ntrue\n")
        environ = client_environment(env, name)
        submit = [COMMAND, "submit", "--parsable", f"--parallel={CLIENTS}"]
        # Both are warm: neither side pays for starting processes.
        run([*submit, *sorted(directory.glob("000*.sh"))], environ)
        invoke(call, CLIENTS * 4)
        begin = time.perf_counter()
        done = run([*submit, *sorted(directory.glob("*.sh"))], environ)
        ours = scripts / (time.perf_counter() - begin)
        theirs = invoke(call, scripts)
    ids = done.stdout.split()
    low = ours < SMALLEST_SHARE * theirs
    wrong = len(ids) != scripts or len(set(ids)) != scripts
    print(f"submit *.sh, {scripts} scripts by {CLIENTS} clients: {ours:.0f}/s, {len(set(ids))} jobs; an empty function "
          f"{theirs:.0f}/s; {ours / theirs:.2f} of it{'   UNDER ITS LIMIT' if low else ''}"
          f"{'   WRONG' if wrong else ''}")  # fmt: skip
    return low or wrong


def outlast(seconds: float) -> bool:
    """Stop the gateway for so long while `submit --wait` waits with tokens of 20 s, slurmrestd killed before.

    Print how it ended; give whether that was wrong, or made another number of jobs than one.
    """
    env = stack_environment()
    name = f"outlast-{uuid.uuid4().hex[:8]}"
    config = json.loads(service.CONFIG_FILE.read_text())
    with tempfile.TemporaryDirectory() as home:
        script = Path(home) / name
        script.write_text(f"#!/bin/sh\nsleep {seconds + 20:.0f}\nexit 3\n")
        environ = {**client_environment(env, home), "SLURM_GATEWAY_LIFESPAN": "20"}
        with subprocess.Popen(
            [COMMAND, "submit", script, "--wait"], env=environ, stderr=subprocess.PIPE, text=True
        ) as ours:
            assert ours.stderr is not None
            while "RUNNING" not in ours.stderr.readline():
                assert ours.poll() is None, "it ended before its job ran"
            cluster.run(["systemctl", "kill", "--kill-who=main", "--signal=KILL", "slurmrestd"])
            service.stop()
            try:
                time.sleep(seconds)
            finally:
                service.start(config)
            ours.stderr.read()
    jobs = len(cluster.run(["squeue", "--noheader", "--states=all", f"--name={name}", "--format=%A"]).stdout.split())
    wrong = (ours.returncode, jobs) != (3, 1)
    print(f"  submit --wait, the gateway away for {seconds:.0f} s: exit status {ours.returncode}, {jobs} job"
          f"{'   WRONG' if wrong else ''}", flush=True)  # fmt: skip
    return wrong


def client_environment(env: Mapping[str, str], home: str) -> dict[str, str]:
    """Give the environment of alice's shell, from what `make up` wrote."""
    return {
        "PATH": "/usr/bin:/bin", "HOME": home, "SLURM_GATEWAY_URL": env["API"], "AWS_REGION": env["AWS_REGION"],
        "AWS_ACCESS_KEY_ID": env["ALICE_AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": env["ALICE_AWS_SECRET_ACCESS_KEY"],
    }  # fmt: skip


def run(command: list[Any], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed."""
    done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[:3]} ended with {done.returncode}: {done.stderr}")
    return done


def invoke(call: Any, times: int) -> float:  # noqa: ANN401 (a closure over a boto3 client)
    """Invoke the empty function so many times by as many clients, and give the calls a second."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: call(), range(times)))
    return times / (time.perf_counter() - begin)


@contextmanager
def empty_function() -> Iterator[Any]:
    """Make a function that does nothing, and give what invokes it."""
    functions = aws_emulator.client("lambda", principals.administrator())
    name = f"bench-{uuid.uuid4().hex[:8]}"
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("empty.py", "def handler(event, context):\n    return {'statusCode': 200}\n")
    functions.create_function(
        FunctionName=name, Runtime="python3.11", Handler="empty.handler", Code={"ZipFile": code.getvalue()},
        Role=f"arn:aws:iam::{ACCOUNT}:role/{principals.RESEARCHER_ROLE}",
    )  # fmt: skip
    try:
        yield lambda: functions.invoke(FunctionName=name, Payload=b"{}")["Payload"].read()
    finally:
        functions.delete_function(FunctionName=name)


def main() -> int:
    """Measure and print; give 1 where a limit is passed."""
    install()
    late = start_up()
    return int(rates() or late)


if __name__ == "__main__":
    raise SystemExit(main())
