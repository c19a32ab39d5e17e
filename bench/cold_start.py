"""Cold starts: process start to first answer, as a ratio to a bare function's.

`python -m bench.cold_start` starts a fresh Python for each measurement, every function in turn, so that
what else the machine does falls on all alike. The AWS endpoint is AWS_ENDPOINT_URL's; credentials there may
make keys and parameters. Its own ones are removed when it ends.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[1]
ROUNDS = 21
LIMIT = 1.6
CALLER = "arn:aws:iam::000000000000:user/alice"
USERS = "headnode-state/users.json"
BARE = "bench.bare_function"
FUNCTIONS = ("slurm_gateway.edge_authorizer", "slurm_gateway.token_api", "slurm_gateway.jwks_api")
LIMITED = FUNCTIONS[:2]


@contextmanager
def key_and_parameters() -> Iterator[dict[str, str]]:
    """Make a signing key, the list of it, an access document and a list of users; give the functions' settings."""
    kms, ssm, s3 = boto3.client("kms"), boto3.client("ssm"), boto3.client("s3")
    bucket = f"slurm-gateway-bench-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=USERS, Body=b'{"users":["alice"]}')
    prefix = f"/slurm-gateway-bench/{uuid.uuid4()}"
    key_id = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    rule = {"name": "alice", "principal": {"iam_user": CALLER}, "users": ["alice"]}
    document = json.dumps({"version": 1, "rules": [rule]})
    names = [f"{prefix}/signing-keys", f"{prefix}/access"]
    ssm.put_parameter(Name=names[0], Value=key_id, Type="StringList")
    ssm.put_parameter(Name=names[1], Value=document, Type="String")
    try:
        yield {
            "KEYS_PARAMETER": names[0],
            "ACCESS_PARAMETER": names[1],
            "BUCKET": bucket,
            "ALLOW_HEAD_NODE_TOKENS": "false",
            "DEFAULT_USER_SUDO": "true",
            "LOG_LEVEL": "ERROR",
        }
    finally:
        s3.delete_object(Bucket=bucket, Key=USERS)
        s3.delete_bucket(Bucket=bucket)
        ssm.delete_parameters(Names=names)
        kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)


def first_answer(module: str, event: dict[str, Any], environ: dict[str, str]) -> tuple[float, dict[str, Any]]:
    """Start a process; return the milliseconds until its first answer, and the answer."""
    argv = [sys.executable, str(CHECKOUT / "bench/first_answer.py"), module]
    started = time.perf_counter()
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environ, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(event))
        process.stdin.close()
        line = process.stdout.readline()
        elapsed = (time.perf_counter() - started) * 1000
        # The audit log is written at every level, and wanted only where something is wrong.
        said = process.stderr.read()
    if process.returncode or not line:
        raise SystemExit(f"{module} gave no answer:\n{said}")
    return elapsed, json.loads(line)


def events(environ: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return an event for each function that it answers with success: the token is one it made itself."""
    context = {"requestId": "bench", "http": {"sourceIp": "192.0.2.1"}}
    asks = {"requestContext": {**context, "authorizer": {"iam": {"userArn": CALLER}}}}
    _, answer = first_answer("slurm_gateway.token_api", asks, environ)
    if answer["statusCode"] != 200:
        raise SystemExit(f"the token function answered {answer['statusCode']}: {answer['body']}")
    headers = {"x-slurm-user-name": "alice", "x-slurm-user-token": json.loads(answer["body"])["token"]}
    shows = {"routeKey": "ANY /slurm/{version}/{proxy+}", "headers": headers, "requestContext": context}
    return {
        BARE: {},
        "slurm_gateway.edge_authorizer": shows,
        "slurm_gateway.token_api": asks,
        "slurm_gateway.jwks_api": {"requestContext": context},
    }


def measure(rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Return every function's cold starts in milliseconds, after one round that is not counted."""
    with key_and_parameters() as settings:
        environ = {
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_") or name == "PATH"},
            **settings,
            "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}",
        }
        asked = events(environ)
        times: dict[str, list[float]] = {module: [] for module in asked}
        for _ in range(rounds + 1):
            for module, event in asked.items():
                elapsed, answer = first_answer(module, event, environ)
                if not (answer.get("isAuthorized") or answer.get("statusCode") == 200):
                    raise SystemExit(f"{module} refused what it should allow: {answer}")
                times[module].append(elapsed)
    return {module: elapsed[1:] for module, elapsed in times.items()}


def main() -> int:
    """Print medians and ratios; return 1 if a limited function is beyond the limit."""
    times = measure()
    bare = statistics.median(times[BARE])
    print(f"Cold start, process start to first answer, {ROUNDS} rounds (limit {LIMIT} x the bare function)")
    print(f"{'':<32} {'median ms':>10} {'best ms':>10}   ratio")
    worst = 0.0
    for module, elapsed in times.items():
        ratio = statistics.median(elapsed) / bare
        worst = max(worst, ratio if module in LIMITED else 0.0)
        print(f"{module:<32} {statistics.median(elapsed):>10.0f} {min(elapsed):>10.0f} {ratio:>7.2f}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
