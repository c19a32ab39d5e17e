"""The client: how soon its help is there, and how many scripts a second `submit *.sh` makes into jobs.

The rate stands beside that of the same command to a gateway of its own whose POST /jobs is an empty function, which
answers and does nothing: what client, gateway, authorizer and emulator allow. All scripts are held, so that nothing
else runs meanwhile.
"""

from __future__ import annotations

import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.clients import milliseconds, stack_environment
from local import aws_emulator, cluster, principals
from local.address import CHECKOUT, GATEWAY_PORT, STATE_DIRECTORY, url
from local.aws_emulator import ACCOUNT
from local.gateway import service
from local.process import Process, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMAND = STATE_DIRECTORY / "runner/slurm-gateway/bin/slurm-gateway"
STARTS = 21
LONGEST_START = 150.0
SCRIPTS = 500
CLIENTS = 8
WARM_UP = 10
SMALLEST_SHARE = 0.5
PORT = GATEWAY_PORT + 20
# As much of a job as the client knows one by; its id differs each time.
EMPTY = """
def handler(event, context):
    job = '{"id": "%s", "state": "PENDING", "state_flags": []}' % context.aws_request_id
    return {"statusCode": 201, "headers": {"content-type": "application/json"}, "body": job}
"""


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
    with tempfile.TemporaryDirectory() as name, gateway_to_an_empty_function() as empty:
        directory = Path(name)
        for number in range(scripts):
            # No two alike, as people's are not: the emulator writes all versions of an object with each.
            (directory / f"{number:04}.sh").write_text(
                f"#!/bin/sh\n#SBATCH --hold --job-name=bench\n: {uuid.uuid4()}\n"
            )
        environ = client_environment(env, name)
        emulator = emulator_cpu()
        theirs, answered = submit_all({**environ, "SLURM_GATEWAY_URL": empty}, directory)
        emulator_of_theirs, emulator = emulator_cpu() - emulator, emulator_cpu()
        ours, jobs = submit_all(environ, directory)
        emulator_of_ours = emulator_cpu() - emulator
    low = ours < SMALLEST_SHARE * theirs
    wrong = not jobs == answered == scripts
    print(f"submit *.sh, {scripts} scripts by {CLIENTS} clients: {ours:.0f}/s, {jobs} jobs; with an empty function in "
          f"the place of POST /jobs {theirs:.0f}/s, {answered} answers; {ours / theirs:.2f} of it"
          f"{'   UNDER ITS LIMIT' if low else ''}{'   WRONG' if wrong else ''}")  # fmt: skip
    each_of_ours, each_of_theirs = (taken / (scripts + WARM_UP) for taken in (emulator_of_ours, emulator_of_theirs))
    print(f"  the emulator of AWS, one process: {each_of_ours * 1000:.1f} ms of CPU a submit, so at most "
          f"{1 / each_of_ours:.0f}/s; {each_of_theirs * 1000:.1f} ms an empty function")  # fmt: skip
    return low or wrong


def emulator_cpu() -> float:
    """Give the CPU in seconds that the emulator of AWS has taken so far."""
    after_name = Path(f"/proc/{aws_emulator.PROCESS.pid()}/stat").read_text().rpartition(")")[2].split()
    user, system = after_name[11:13]  # fields 14 and 15 of proc(5)
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def submit_all(environ: Mapping[str, str], directory: Path) -> tuple[float, int]:
    """Submit every script of a directory, once some of them have warmed the way; give scripts a second and ids."""
    submit = [COMMAND, "submit", "--parsable", f"--parallel={CLIENTS}"]
    run([*submit, *sorted(directory.glob("*.sh"))[:WARM_UP]], environ)
    scripts = sorted(directory.glob("*.sh"))
    begin = time.perf_counter()
    done = run([*submit, *scripts], environ)
    return len(scripts) / (time.perf_counter() - begin), len(set(done.stdout.split()))


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


@contextmanager
def gateway_to_an_empty_function() -> Iterator[str]:
    """Serve the deployed API once more, with an empty function in the place of the jobs function; give its URL."""
    config = json.loads(service.CONFIG_FILE.read_text())
    jobs = config["body"]["components"]["x-amazon-apigateway-integrations"]["Jobs"]
    process = Process("bench-gateway")
    with empty_function() as arn, tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        jobs["uri"] = re.sub(r"functions/.*/invocations", f"functions/{arn}/invocations", jobs["uri"])
        json.dump({**config, "port": PORT}, file)
        file.flush()
        process.start([sys.executable, "-m", "local.gateway", "--config", file.name], cwd=CHECKOUT)
        try:
            answers = partial(service.is_answering, PORT)
            wait_until(answers, "the benchmark's gateway to answer", service.START_TIMEOUT, process=process)
            yield url(PORT)
        finally:
            process.stop()


@contextmanager
def empty_function() -> Iterator[str]:
    """Make a function that answers as POST /jobs does and does nothing else, and give its ARN."""
    functions = aws_emulator.client("lambda", principals.administrator())
    name = f"bench-{uuid.uuid4().hex[:8]}"
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("empty.py", EMPTY)
    arn = functions.create_function(
        FunctionName=name, Runtime="python3.11", Handler="empty.handler", Code={"ZipFile": code.getvalue()},
        Role=f"arn:aws:iam::{ACCOUNT}:role/{principals.RESEARCHER_ROLE}",
    )["FunctionArn"]  # fmt: skip
    try:
        yield arn
    finally:
        functions.delete_function(FunctionName=name)


def main() -> int:
    """Measure and print; give 1 where a limit is passed."""
    install()
    late = start_up()
    return int(rates() or late)


if __name__ == "__main__":
    raise SystemExit(main())
