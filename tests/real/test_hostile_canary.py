"""No token and no script is in any log, error, metric or table, whatever the level of the functions' logs."""

from __future__ import annotations

import base64
import json
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import jwt
import pytest

from bench.inbox_faults import client, ends, outputs, queue_depth, rule, write
from local import aws_emulator, cluster, principals, stacks
from slurm_gateway.idempotency import claim_of, key_of_claim
from slurm_gateway.inbox_message import InboxObject
from slurm_gateway.inbox_table import USER
from slurm_gateway.short_tokens import LIFESPAN
from tests.real.conftest import NATIVE_VERSION, ROOT, Stack, wait_for
from tests.real.raw_http import exchange, pair, request
from tests.real.signing import signer
from tests.real.test_inbox import empty_dead_letters, redrive

CANARY = f"canary{uuid.uuid4().hex}"
SCRIPT = f"#!/bin/bash\n# {CANARY}\necho {CANARY}\n"
SLURM = f"/slurm/{NATIVE_VERSION}"
RULE = """\
version: 1
key: inbox/{name}/*
user: alice
options: {{job-name: {name}, time: 1, mem: 10, output: /dev/null, partition: {partition}}}
environment: {{A: {canary}}}
script: |
{script}
"""


@pytest.fixture(scope="module")
def debugging(stack: Stack) -> Iterator[list[str]]:
    """Every function at log level DEBUG, by name."""
    client = aws_emulator.client("lambda", principals.administrator())
    before = {item["FunctionName"]: item["Environment"]["Variables"] for item in client.list_functions()["Functions"]}
    for name, variables in before.items():
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": variables | {"LOG_LEVEL": "DEBUG"}}
        )
        now = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        assert now["LOG_LEVEL"] == "DEBUG"
    yield list(before)
    for name, variables in before.items():
        client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


@pytest.fixture
def no_letters() -> Iterator[None]:
    """Begin and end without dead letters of the inbox."""
    empty_dead_letters()
    yield
    empty_dead_letters()


def job(**members: Any) -> bytes:
    description = {"current_working_directory": "/tmp", "environment": [f"A={CANARY}"], "script": SCRIPT, "hold": True}
    return json.dumps({"job": description | members}).encode()


# A request or more for each route of the template, in good and in ill; {id} is a job of alice's.
REQUESTS: tuple[tuple[str, str, str, bytes], ...] = (
    ("GET /.well-known/jwks.json", "GET", "/.well-known/jwks.json", b""),
    ("GET /health", "GET", f"/health?{CANARY}", b""),
    ("POST /token", "POST", "/token", b"{}"),
    ("GET /jobs", "GET", "/jobs?limit=5", b""),
    ("GET /jobs", "GET", "/jobs?limit=x", b""),
    ("GET /jobs", "GET", f"/jobs?cursor={CANARY}", b""),
    ("POST /jobs", "POST", "/jobs?hold=yes", SCRIPT.encode()),
    ("POST /jobs", "POST", "/jobs?hold=yes", json.dumps({"script": SCRIPT, "arguments": [CANARY]}).encode()),
    ("POST /jobs", "POST", f"/jobs?hold=yes&wrap={CANARY}", b""),
    ("POST /jobs", "POST", "/jobs?dry_run=true", SCRIPT.encode()),
    ("POST /jobs", "POST", "/jobs?nodes=99999", SCRIPT.encode()),
    ("POST /jobs", "POST", "/jobs", b"no script " + SCRIPT.encode()),
    ("POST /jobs", "POST", "/jobs", b'{"script": "' + CANARY.encode()),
    ("POST /jobs", "POST", "/jobs", SCRIPT.encode() + b"\0"),
    ("GET /jobs/openapi.json", "GET", "/jobs/openapi.json", b""),
    ("GET /jobs/{id}", "GET", "/jobs/{id}", b""),
    ("GET /jobs/{id}", "GET", "/jobs/67000000", b""),
    ("GET /jobs/{id}/output", "GET", "/jobs/{id}/output?offset=0", b""),
    ("GET /jobs/{id}/output", "GET", f"/jobs/{{id}}/output?file={CANARY}", b""),
    ("PATCH /jobs/{id}", "PATCH", "/jobs/{id}", b'{"time_limit": 600}'),
    ("PATCH /jobs/{id}", "PATCH", "/jobs/{id}", b'{"' + CANARY.encode()),
    ("DELETE /jobs/{id}", "DELETE", "/jobs/{id}?signal=0", b""),
    ("DELETE /jobs/{id}", "DELETE", "/jobs/{id}", b""),
    ("POST /scripts", "POST", "/scripts", SCRIPT.encode()),
    ("POST /scripts", "POST", "/scripts", SCRIPT.encode()[2:]),
    ("GET /scripts/{sha256}", "GET", f"/scripts/{'0' * 64}", b""),
    ("GET /slurm/{version}/jobs", "GET", f"{SLURM}/jobs", b""),
    ("GET /slurm/{version}/jobs/state", "GET", f"{SLURM}/jobs/state", b""),
    ("GET /slurm/{version}/jobs/{proxy+}", "GET", f"{SLURM}/jobs/", b""),
    ("ANY /slurm/{version}/{proxy+}", "POST", f"{SLURM}/job/submit", job()),
    ("ANY /slurm/{version}/{proxy+}", "POST", f"{SLURM}/job/submit", job(partition="nowhere")),
    ("ANY /slurm/{version}/{proxy+}", "POST", f"{SLURM}/job/submit", job()[:-3]),
    ("ANY /slurmdb/{version}/{proxy+}", "GET", f"/slurmdb/{NATIVE_VERSION}/jobs", b""),
    ("GET /openapi", "GET", "/openapi", b""),
    ("GET /openapi/{proxy+}", "GET", "/openapi/v3", b""),
)


def routes() -> set[str]:
    methods = {"x-amazon-apigateway-any-method": "ANY"}
    paths = json.loads((ROOT / ".local/run/gateway.json").read_text())["body"]["paths"]
    return {f"{methods.get(method, method.upper())} {path}" for path, item in paths.items() for method in item}


def test_every_route_is_asked() -> None:
    assert {route for route, *_ in REQUESTS} == routes()


def test_no_token_and_no_script_is_left_behind(
    stack: Stack, debugging: list[str], no_letters: None, report: Callable[[str], None]
) -> None:
    token = stack.signed("alice", "POST", "/token", '{"lifespan": 600}').json()["token"]
    made = exchange(stack, request("POST", "/jobs?hold=yes", pair("alice", token), SCRIPT.encode()))
    job_id = json.loads(made.bodies[0])["id"]
    secrets = {
        "token": token,
        "its signature": token.rpartition(".")[2],
        "its claims": token.split(".")[1],
        "script": CANARY,
    }
    errors: list[str] = []
    for _, method, path, body in REQUESTS:
        kind = [b"Content-Type: application/json"] if body.startswith(b"{") else []
        for presented in (token, token[:-4] + "AAAA"):
            target = path.format(id=job_id)
            answer = exchange(stack, request(method, target, [*pair("alice", presented), *kind], body))
            if answer.status >= 400:
                errors.append(answer.wire.decode(errors="replace"))
        # A token where people put it by mistake.
        exchange(
            stack, request(method, path.format(id=job_id) + f"{'&' if '?' in path else '?'}token={token}", kind, body)
        )
    exchange(
        stack, request("GET", f"{SLURM}/ping", [*pair("alice", token), b"Authorization: Bearer " + token.encode()])
    )
    exchange(stack, request("POST", "/token", [b"Authorization: Bearer " + token.encode()]))
    written_object = write_to_the_inbox()

    places = {f"error {number}": text for number, text in enumerate(errors)}
    places |= {
        path.name: path.read_text(errors="replace") for path in (ROOT / ".local/log").iterdir() if path.is_file()
    }
    places |= logs_and_metrics(debugging)
    places |= tables()
    places |= of_slurm()
    places["dead letters"] = redrive("--list")
    of_the_inbox = token_of_the_inbox(token, written_object, places[f"/aws/lambda/{stacks.API_STACK}-inbox"])
    secrets |= {
        "the inbox's token": of_the_inbox,
        "its signature, the inbox's": of_the_inbox.rpartition(".")[2],
        "its claims, the inbox's": of_the_inbox.split(".")[1],
    }
    # Were nothing logged, nothing would be found. Few lines of ours are at DEBUG: it is libraries that talk then.
    written = "".join(text for name, text in places.items() if name.startswith("/aws/lambda"))
    assert all(f'"message": "{words}"' in written for words in ("answered", "refused at the edge", "token minted"))
    found = {(place, what) for place, text in places.items() for what, secret in secrets.items() if secret in text}
    # What was asked for is told again to whoever asked: a script that is cut off where JSON is not.
    assert found == set()
    kept = len(places) - len(errors)
    report(f"canaries: {len(secrets)} looked for in {len(errors)} errors and {kept} logs, metrics and tables; 0 found")


def write_to_the_inbox() -> InboxObject:
    """Write an object for a rule that has the script, and two more whose rules make no job; give the first."""
    name = f"alice-{uuid.uuid4().hex[:8]}"

    def text(name: str, *, script: str = SCRIPT, partition: str = "queue1") -> str:
        return RULE.format(name=name, partition=partition, canary=CANARY, script=textwrap.indent(script, "  "))

    rules = {
        name: text(name),
        f"{name}-shebang": text(f"{name}-shebang", script=SCRIPT[2:]),
        f"{name}-partition": text(f"{name}-partition", partition="nowhere"),
    }
    with ExitStack() as written:
        for each, content in rules.items():
            written.enter_context(rule(each, content))
        versions = write({f"inbox/{each}/object": f"{CANARY}\n" for each in rules})
        wait_for(lambda: ends(name) == {"COMPLETED": 1}, "the job of an object to end", 120)
        wait_for(lambda: queue_depth("InboxDeadLetterQueueUrl")[0] == 2, "two dead letters", 60)
    key = f"inbox/{name}/object"
    return InboxObject(outputs()["BucketName"], key, versions[key])


def token_of_the_inbox(token: str, written: InboxObject, log: str) -> str:
    """Give the token that the inbox function had for an object's job, made again from what it noted of it."""
    claims = jwt.decode(token, options={"verify_signature": False})
    # RS256 gives the same signature each time: what is made of a token's own claims is that token.
    assert made_again(token, claims) == token
    lines = [json.loads(line) for line in log.splitlines() if '"job of an object"' in line]
    [token_id] = {line["jti"] for line in lines if line["object"] == str(written)}
    asked = {"TableName": outputs()["InboxTableName"], "Key": key_of_claim(USER, written.digest)}
    expires_at = int(claim_of(client("dynamodb").get_item(**asked)["Item"]).token_expires_at)
    return made_again(token, claims | {"iat": expires_at - LIFESPAN, "exp": expires_at, "jti": token_id})


def made_again(token: str, claims: dict[str, Any]) -> str:
    header = base64.urlsafe_b64decode(token.partition(".")[0] + "==")
    return signer()(header, json.dumps(claims, separators=(",", ":")).encode())


def logs_and_metrics(functions: list[str]) -> dict[str, str]:
    administrator = principals.administrator()
    logs = aws_emulator.client("logs", administrator)
    found: dict[str, str] = {}
    for group in logs.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=name, startTime=int((time.time() - 900) * 1000)
        )
        found[name] = "\n".join(event["message"] for page in pages for event in page["events"])
    metrics = aws_emulator.client("cloudwatch", administrator).list_metrics()["Metrics"]
    return found | {"metrics": json.dumps(metrics, default=str)}


def tables() -> dict[str, str]:
    administrator = principals.administrator()
    cloudformation, dynamodb = (aws_emulator.client(name, administrator) for name in ("cloudformation", "dynamodb"))
    resources = cloudformation.describe_stack_resources(StackName=stacks.API_STACK)["StackResources"]
    names = [each["PhysicalResourceId"] for each in resources if each["ResourceType"] == "AWS::DynamoDB::Table"]
    scan = dynamodb.get_paginator("scan")
    return {
        f"table {name}": json.dumps([page["Items"] for page in scan.paginate(TableName=name)], default=str)
        for name in names
    }


def of_slurm() -> dict[str, str]:
    """Slurm's own logs at the levels that the cluster is set up with."""
    command = "journalctl --no-pager --output=cat --since=-15min; cat /var/log/slurm/*.log"
    done = cluster.run(["sh", "-c", command])
    assert done.returncode == 0, done.stderr
    return {"Slurm's logs and the head node's journal": str(done.stdout)}
