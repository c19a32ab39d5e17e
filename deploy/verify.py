"""What could not be seen without AWS, seen there: ``make verify-on-aws API=URL``, after the first deployment.

Each check is a row of docs/verify-on-aws.md. It calls the API as the IAM principal of the environment, whom the access
document must map to a Slurm user, and with ``--stack`` also looks at the account. One line a check; exit status 1 where
one failed. What it submits is held and cancelled.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = b"#!/bin/sh\n#SBATCH --job-name=verify --hold --time=1 --chdir=/ --output=/dev/null\ntrue\n"
TWO_COMPONENTS = SCRIPT.replace(b"true\n", b"#SBATCH hetjob\n#SBATCH --hold --time=1\ntrue\n")
Subject = TypeVar("Subject")
TEN_MEGABYTES = 10 * 1024 * 1024


class CheckFailedError(Exception):
    """Something is not as it should be; the message says what was seen instead."""


@dataclass
class Api:
    """The API as a client sees it, with this environment's credentials and the token that they give."""

    url: str
    session: Any
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(timeout=35, retries=False))
    headers: dict[str, str] = field(default_factory=dict)
    version: str = ""

    def ask(
        self, method: str, path: str, status: int, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> urllib3.BaseHTTPResponse:
        """Send a request; raise CheckFailedError unless it is answered with that status."""
        try:
            answer = self.http.request(method, self.url + path, headers=headers or {}, body=body or None)
        except urllib3.exceptions.HTTPError as exc:
            raise CheckFailedError(f"{method} {path}: {type(exc).__name__}") from exc
        if answer.status != status:
            said = answer.data[:300].decode(errors="replace")
            raise CheckFailedError(f"{method} {path} was answered {answer.status} instead of {status}: {said}")
        return answer

    def signed(self, method: str, path: str) -> dict[str, str]:
        """Give the headers of a request signed with SigV4."""
        request = AWSRequest(method=method, url=self.url + path)
        credentials = self.session.get_credentials()
        if credentials is None:
            raise CheckFailedError("there are no AWS credentials: log in first (aws configure, aws sso login)")
        SigV4Auth(credentials, "execute-api", self.session.region_name or "us-east-1").add_auth(request)
        return dict(request.headers)


def public_keys(api: Api) -> str:
    """The public keys are there for anyone, and are the keys of the list."""
    keys = json.loads(api.ask("GET", "/.well-known/jwks.json", 200).data)["keys"]
    return ", ".join(key["kid"] for key in keys)


def unsigned_token(api: Api) -> str:
    """POST /token takes signed requests only."""
    return _message(api.ask("POST", "/token", 403))


def token(api: Api) -> str:
    """IAM says who calls, the access document who that is, KMS signs."""
    minted = json.loads(api.ask("POST", "/token", 200, api.signed("POST", "/token")).data)
    api.headers = {"X-SLURM-USER-NAME": minted["user"], "X-SLURM-USER-TOKEN": minted["token"]}
    return f"a token for {minted['user']}, for {minted['expires_in']} s"


def missing_headers(api: Api) -> str:
    """Without an identity source API Gateway answers itself."""
    return _message(api.ask("GET", "/jobs", 401))


def forged_token(api: Api) -> str:
    """A token that the keys did not sign does not pass the edge."""
    header, claims, signature = api.headers["X-SLURM-USER-TOKEN"].split(".")
    forged = f"{header}.{claims}.{signature[:-8]}{'A' * 8}"
    return _message(api.ask("GET", "/jobs", 403, {**api.headers, "X-SLURM-USER-TOKEN": forged}))


def another_name(api: Api) -> str:
    """A good token is good for its own user only, also right after it was good (the authorizer's cache)."""
    api.ask("GET", "/jobs", 200, api.headers)
    return _message(api.ask("GET", "/jobs", 403, {**api.headers, "X-SLURM-USER-NAME": "root"}))


def submit(api: Api) -> str:
    """A script becomes a job, by the function in the VPC and the load balancer; twice with one key it is one."""
    headers = {**api.headers, "Idempotency-Key": f"verify-{uuid.uuid4()}"}
    first = json.loads(api.ask("POST", "/jobs", 201, headers, SCRIPT).data)["id"]
    try:
        again = api.ask("POST", "/jobs", 201, headers, SCRIPT)
        if json.loads(again.data)["id"] != first or again.headers.get("idempotent-replayed") != "true":
            raise CheckFailedError(f"the same key made job {json.loads(again.data)['id']} beside {first}")
        read = json.loads(api.ask("GET", f"/jobs/{first}", 200, api.headers).data)
    finally:
        cancelled = json.loads(api.ask("DELETE", f"/jobs/{first}", 202, api.headers).data)
    return f"job {first}: {read['state']}, then {cancelled['state']}"


def native(api: Api) -> str:
    """The VPC link reaches slurmrestd, whose answer comes byte for byte."""
    checked = json.loads(api.ask("POST", "/jobs?dry_run=true", 200, api.headers, SCRIPT).data)
    api.version = checked["api_version"]
    answer = api.ask("GET", f"/slurm/{api.version}/diag", 200, api.headers)
    about = json.loads(answer.data)["meta"]["slurm"]
    return f"Slurm {about['release']}, cluster {about['cluster']}, API {api.version}"


def escaped_path(api: Api) -> str:
    """What is escaped in a path arrives escaped, once: slurmrestd decodes %2B, refuses a bare + and knows no %252B."""
    job = json.loads(api.ask("POST", "/jobs", 201, api.headers, TWO_COMPONENTS).data)["id"]
    path = f"/slurm/{api.version}/job/{job}%2B1"
    try:
        found = json.loads(api.ask("GET", path, 200, api.headers).data)["jobs"]
    finally:
        api.ask("DELETE", f"/jobs/{job}", 202, api.headers)
    if (int(job), 1) not in [(each["het_job_id"]["number"], each["het_job_offset"]["number"]) for each in found]:
        raise CheckFailedError(f"GET {path} gave {len(found)} jobs, and not that component")
    return f"job {job}+1"


def empty_segment(api: Api) -> str:
    """The load balancer's rule refuses two slashes, which would get round the job list's throttle."""
    return api.ask("GET", f"/slurm/{api.version}//jobs", 400, api.headers).data.decode()


def missing_script(api: Api) -> str:
    """S3 tells the function what is not there from what it may not read: by its right to list the bucket."""
    answer = api.ask("GET", f"/scripts/{'0' * 64}", 404, api.headers)
    return f"404 {json.loads(answer.data)['title']}"


def large_body(api: Api) -> str:
    """API Gateway refuses more than 10 MB."""
    return _message(api.ask("POST", "/jobs", 413, api.headers, b"#" * (TEN_MEGABYTES + 1)))


def throttle(api: Api) -> str:
    """The native full job list has a throttle of its own, in both spellings."""
    found = []
    for path in (f"/slurm/{api.version}/jobs", f"/slurm/{api.version}/jobs/"):
        with ThreadPoolExecutor(20) as pool:
            answers = list(
                pool.map(lambda _, path=path: api.http.request("GET", api.url + path, headers=api.headers), range(40))
            )
        refused = sum(answer.status == 429 for answer in answers)
        if not refused:
            raise CheckFailedError(f"40 lists at once of {path} were answered {sorted({a.status for a in answers})}")
        found.append(f"{refused} of 40 refused with 429")
    return "; ".join(found)


def vpc_link(stack: Stack) -> str:
    """The VPC link is awake."""
    links = stack.client("apigatewayv2").get_vpc_links()["Items"]
    status = {link["VpcLinkStatus"] for link in links if link["Name"] == stack.name}
    if status != {"AVAILABLE"}:
        raise CheckFailedError(f"the VPC link {stack.name} is {', '.join(status) or 'not there'}")
    return "AVAILABLE"


def target_health(stack: Stack) -> str:
    """The head node registered itself, and the load balancer reaches slurmrestd."""
    arn = stack.requirement("TargetGroupArn")
    targets = stack.client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    states = [f"{target['Target']['Id']} {target['TargetHealth']['State']}" for target in targets]
    if [state for state in states if state.endswith(" healthy")] == []:
        raise CheckFailedError(f"no healthy head node: {', '.join(states) or 'no target at all'}")
    return ", ".join(states)


def alarms(stack: Stack) -> str:
    """The alarms are there, and none is on."""
    found = stack.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{stack.name}-")["MetricAlarms"]
    on = [alarm["AlarmName"] for alarm in found if alarm["StateValue"] == "ALARM"]
    if on or not found:
        raise CheckFailedError(f"in alarm: {', '.join(on)}" if on else "there is no alarm")
    return f"{len(found)} alarms, none on"


def canary(stack: Stack) -> str:
    """The canary comes through when it is run now."""
    event = json.dumps({"id": str(uuid.uuid4())}).encode()
    answer = stack.client("lambda").invoke(FunctionName=stack.output("CanaryFunctionName"), Payload=event)
    seen = json.loads(answer["Payload"].read())
    if "job" not in seen or "failed" in seen:
        raise CheckFailedError(json.dumps(seen)[:400])
    return f"job {seen['job']}, milliseconds by step: {seen['steps']}"


def embedded_metrics(stack: Stack) -> str:
    """CloudWatch reads the metrics out of the functions' logs (give it two minutes after the canary)."""
    listed = stack.client("cloudwatch").list_metrics(
        Namespace="slurm-gateway", Dimensions=[{"Name": "Api", "Value": stack.name}]
    )
    names = sorted({metric["MetricName"] for metric in listed["Metrics"]})
    if "CanaryFailures" not in names:
        raise CheckFailedError(f"no CanaryFailures among {names}")
    return ", ".join(names)


def access_log(stack: Stack) -> str:
    """API Gateway may write its access log, and writes a line for each request."""
    group = stack.output("AccessLogGroupName")
    since = int((time.time() - 900) * 1000)
    events = stack.client("logs").filter_log_events(logGroupName=group, startTime=since, limit=5)["events"]
    if not events:
        raise CheckFailedError(f"{group} has no line of the last 15 minutes")
    return str(events[-1]["message"])[:160]


@dataclass(frozen=True)
class Stack:
    """The API's stack as its account shows it."""

    name: str
    session: Any

    def client(self, service: str) -> Any:  # noqa: ANN401 (boto3 has no types)
        """Give a client of an AWS service."""
        return self.session.client(service)

    def output(self, key: str) -> str:
        """Give an output of the stack."""
        return self._output(self.name, key)

    def requirement(self, key: str) -> str:
        """Give an output of the requirements stack."""
        described = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        below = {item["ParameterKey"]: item["ParameterValue"] for item in described["Parameters"]}
        return self._output(below.get("RequirementsStack", "slurm-gateway-requirements"), key)

    def _output(self, stack: str, key: str) -> str:
        described = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        found = {item["OutputKey"]: item["OutputValue"] for item in described["Outputs"]}
        if key not in found:
            raise CheckFailedError(f"the stack {stack} has no output {key}")
        return str(found[key])


API_CHECKS: tuple[Callable[[Api], str], ...] = (
    public_keys, unsigned_token, token, missing_headers, forged_token, another_name, submit, native, escaped_path,
    empty_segment, missing_script, large_body, throttle,
)  # fmt: skip
ACCOUNT_CHECKS: tuple[Callable[[Stack], str], ...] = (
    vpc_link, target_health, alarms, canary, embedded_metrics, access_log
)  # fmt: skip


def run(check: Callable[[Subject], str], subject: Subject) -> bool:
    """Run one check and print its line; tell whether it went well."""
    name = check.__name__.replace("_", "-")
    try:
        seen, passed = check(subject), True
    except (CheckFailedError, ClientError, BotoCoreError) as exc:
        seen, passed = str(exc), False
    except (KeyError, ValueError, TypeError) as exc:
        seen, passed = f"an answer that was not understood ({type(exc).__name__}: {exc})", False
    print(f"{'ok     ' if passed else 'FAILED '} {name:<18} {' '.join(seen.split())}", flush=True)
    return passed


def region_of(url: str) -> str | None:
    """Return the region in API Gateway's own name of an API; None where the name is another."""
    found = re.search(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com", url)
    return found[1] if found else None


def _message(answer: urllib3.BaseHTTPResponse) -> str:
    return f"{answer.status} {answer.data[:120].decode(errors='replace')}"


def main(argv: list[str] | None = None) -> int:
    """Run every check; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.verify", description=__doc__)
    parser.add_argument("api", help="the API's URL, the stack's output ApiUrl")
    parser.add_argument("--stack", help="the API's stack; then the account is looked at too")
    given = parser.parse_args(argv)
    if not given.api.startswith(("https://", "http://")):
        parser.error("give the API's URL: make verify-on-aws API=https://... (the output ApiUrl of the API's stack)")
    # Else a profile of another region would sign for that.
    session = boto3.Session(region_name=region_of(given.api))
    api = Api(given.api.rstrip("/"), session)
    results = []
    for check in API_CHECKS:
        results.append(run(check, api))
        if check is token and not results[-1]:
            print("all further checks need a token: see the access document (docs/deploy.md, who may be whom)")
            break
    if given.stack:
        stack = Stack(given.stack, session)
        results += [run(check, stack) for check in ACCOUNT_CHECKS]
    print(f"{sum(results)} of {len(results)} as they should be")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
