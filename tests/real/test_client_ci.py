"""The GitHub Action and the GitLab template, run step by step as a runner would, by the examples of docs/ci.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import yaml

from local import principals
from local.address import address
from local.aws_emulator import ACCOUNT
from tests.real.access import access_document_kept, put_access_document, start_cold
from tests.real.ci_runners import Result, github, gitlab
from tests.real.client_command import ENVIRONMENT, Client
from tests.real.conftest import ROOT, Stack, up, wait_for
from tests.real.oidc_issuer import AUDIENCE, GITHUB_PUSH, GITLAB_PUSH, Issuer, serving

pytestmark = pytest.mark.any_release

REQUEST_SECRET = "request-secret"
# A runner's own Python can make virtual environments; Debian's needs another package for that.
PATH = f"{sys.base_prefix}/bin:/usr/bin:/bin"
RULES = """\
  - name: ci-github
    principal: {{oidc: {{issuer: "{github}", claims: {{repository_id: "74", environment: production}}}}}}
    users: [alice]
  - name: ci-gitlab
    principal: {{oidc: {{issuer: "{gitlab}", claims: {{project_path: "my-group/*"}}}}}}
    users: [bob]
"""


def documented(name: str) -> dict[str, Any]:
    """Give the first example under a heading of docs/ci.md."""
    section = (ROOT / "docs/ci.md").read_text().partition(f"\n## {name}\n")[2]
    found = re.search(r"^```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found, name
    document: dict[str, Any] = yaml.safe_load(found[1])
    return document


class TokenService:
    """What GitHub runs beside a job: an ID token for whoever knows the job's secret, for the audience asked for."""

    def __init__(self, issuer: Issuer) -> None:
        self.audiences: list[str] = []
        self.issuer = issuer
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers.get("Authorization") != f"Bearer {REQUEST_SECRET}":
                    self.send_error(401)
                    return
                [audience] = parse_qs(urlsplit(self.path).query)["audience"]
                service.audiences.append(audience)
                body = json.dumps({"value": issuer.token(GITHUB_PUSH, aud=audience)}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing on standard error."""

        self.server = ThreadingHTTPServer((address(), 0), Handler)
        self.url = f"http://{address()}:{self.server.server_port}/token?api-version=2.0"


class SecurityTokens:
    """AWS's AssumeRoleWithWebIdentity, which the emulator lacks: it gives the emulator's credentials of the role."""

    def __init__(self, issuer: Issuer) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                key = issuer.key.public_key()
                jwt.decode(asked["WebIdentityToken"][0], key, algorithms=["RS256"], audience="sts.amazonaws.com")
                assert asked["Action"] == ["AssumeRoleWithWebIdentity"]
                given = principals.assume(asked["RoleArn"][0].rpartition("/")[2], asked["RoleSessionName"][0])
                body = (
                    '<R xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>'
                    f"<AccessKeyId>{given.access_key_id}</AccessKeyId><SecretAccessKey>{given.secret_access_key}"
                    f"</SecretAccessKey><SessionToken>{given.session_token}</SessionToken><Expiration>"
                    "2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></R>"
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing on standard error."""

        self.server = ThreadingHTTPServer((address(), 0), Handler)
        self.url = f"http://{address()}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture(scope="module")
def forges(stack: Stack) -> Iterator[tuple[TokenService, Issuer]]:
    """The stack open to jobs of a GitHub and a GitLab on loopback."""
    with serving(address()) as hub, serving(address()) as lab:
        service = TokenService(hub)
        thread = threading.Thread(target=service.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            up("--parameter", f"GithubIssuer={hub.url}", "--parameter", f"GitlabIssuer={lab.url}")
            with access_document_kept(stack):
                put_access_document(principals.ACCESS_DOCUMENT + RULES.format(github=hub.url, gitlab=lab.url))
                start_cold("TokenFunction")
                wait_for(lambda: answers(stack, hub), "the rules to be in force")
                yield service, lab
        finally:
            service.server.shutdown()
            thread.join()
            service.server.server_close()
    up()


def answers(stack: Stack, issuer: Issuer) -> bool:
    bearer = {"Authorization": f"Bearer {issuer.token(GITHUB_PUSH)}"}
    return stack.http.post(f"{stack.api}/token/oidc/github", headers=bearer).status_code == 200


@pytest.fixture
def action(client: Client, stack: Stack, forges: tuple[TokenService, Issuer]) -> Callable[..., Result]:
    """Run the action with the inputs of the documented workflow, changed as a test wants."""
    steps = documented("GitHub Actions")["jobs"]["simulate"]["steps"]
    [inputs] = [step["with"] for step in steps if "slurm-gateway@" in step.get("uses", "")]
    run_id = str(time.time_ns())

    def run(body: str, *, installs: bool = False, extra: dict[str, str] | None = None, **more: str) -> Result:
        client.script("simulate.sh", body)
        given = {**inputs, "url": stack.api, "options": inputs["options"].replace("${{ github.sha }}", "0a1b2c")}
        environ = {
            "PATH": PATH, "HOME": str(client.home), "LANG": "C.UTF-8", "CI": "true",
            "GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(client.home), "GITHUB_RUN_ID": run_id,
            "GITHUB_REPOSITORY": "octo-org/octo-repo", "GITHUB_JOB": "simulate", "GITHUB_ACTION": "slurm",
            "GITHUB_RUN_ATTEMPT": "1", "ACTIONS_ID_TOKEN_REQUEST_URL": forges[0].url,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_SECRET, "AWS_REGION": "us-east-1", **(extra or {}),
        }  # fmt: skip
        # The first step installs where the command is already, and is quicker for it.
        temp = ENVIRONMENT.parent
        for old in temp.glob("*.md"):
            old.unlink()
        return github(ROOT / "action.yml", given | {name.replace("_", "-"): value for name, value in more.items()},
                      environ, temp, done=0 if installs else 1)  # fmt: skip

    return run


def test_documented_workflow_is_green_with_outputs_and_a_summary(action: Callable[..., Result]) -> None:
    done = action("echo simulated; sleep 1", installs=True)
    assert done.status == 0, done.log
    assert done.outputs["job-id"].isdigit()
    assert (done.outputs["state"], done.outputs["exit-code"]) == ("COMPLETED", "0")
    assert f"| {done.outputs['job-id']} | simulate.sh | COMPLETED | 0 |" in done.summary
    assert REQUEST_SECRET not in done.log + done.summary
    assert "eyJ" not in done.log + done.summary


def test_failed_job_fails_the_step_with_its_status_and_still_has_outputs(action: Callable[..., Result]) -> None:
    done = action("exit 3")
    assert (done.status, done.outputs["state"], done.outputs["exit-code"]) == (3, "FAILED", "3"), done.log
    assert "| FAILED | 3 |" in done.summary


def test_retried_step_joins_its_first_job(action: Callable[..., Result]) -> None:
    first = action("exit 0")
    again = action("exit 0", extra={"GITHUB_RUN_ATTEMPT": "2"})
    assert again.status == 0, again.log
    assert again.outputs == first.outputs
    assert "Joined job" in again.log


def test_step_that_does_not_wait_ends_at_once(action: Callable[..., Result], stack: Stack) -> None:
    done = action("sleep 300", wait="false", artifacts="")
    assert (done.status, done.outputs["state"], done.outputs["exit-code"]) == (0, "PENDING", ""), done.log
    assert stack.job("alice", int(done.outputs["job-id"]))["job_state"][0] in ("PENDING", "RUNNING")


HOSTILE = '$(touch HACKED) `touch HACKED`; touch HACKED\n"; touch HACKED #'


@pytest.mark.parametrize("name", ["script", "options", "arguments", "idempotency_key", "artifacts", "user", "audience"])
def test_what_stands_in_an_input_is_never_run(action: Callable[..., Result], client: Client, name: str) -> None:
    done = action("true", **{"wait": "false", name: HOSTILE})
    assert [file for file in client.home.rglob("*") if "HACKED" in file.name and file.stat().st_size == 0] == []
    assert "Traceback" not in done.log
    # It came as far as the client, which took it for a value or refused it.
    refused = {"script": 2, "options": 2, "idempotency_key": 2, "user": 247, "audience": 247}
    assert done.status == refused.get(name, 0), done.log


def test_refused_script_says_which_line_on_one_screen(action: Callable[..., Result]) -> None:
    done = action("#SBATCH --tim=3", options="")
    assert done.status == 248
    assert "line 2" in done.log
    assert len(done.log.splitlines()) < 24
    assert "Traceback" not in done.log


def test_action_signs_as_a_role_that_it_assumes_by_its_oidc_token(
    action: Callable[..., Result], stack: Stack, forges: tuple[TokenService, Issuer]
) -> None:
    tokens = SecurityTokens(forges[0].issuer)
    done = action(
        "exit 5", role=f"arn:aws:iam::{ACCOUNT}:role/{principals.RESEARCHER_ROLE}", artifacts="",
        extra={"AWS_ENDPOINT_URL_STS": tokens.url},
    )  # fmt: skip
    tokens.server.shutdown()
    tokens.server.server_close()
    assert (done.status, done.outputs["state"]) == (5, "FAILED"), done.log
    job = stack.http.get(f"{stack.api}/jobs/{done.outputs['job-id']}", headers=stack.headers("bob")).json()
    assert job["user"] == "bob", "the role is bob's in the access document"
    assert forges[0].audiences[-1] == "sts.amazonaws.com"


def test_gitlab_job_ends_as_its_slurm_job_and_leaves_variables(
    client: Client, stack: Stack, forges: tuple[TokenService, Issuer]
) -> None:
    job = documented("GitLab CI")["simulate"]
    job["variables"] |= {"SLURM_GATEWAY_URL": stack.api, "SLURM_GATEWAY_PACKAGE": f"{ROOT}/client"}
    client.script("simulate.sh", "echo simulated; exit 6")
    environ = {
        "PATH": PATH, "HOME": str(client.home), "LANG": "C.UTF-8", "CI": "true", "GITLAB_CI": "true",
        "CI_BUILDS_DIR": str(ENVIRONMENT.parent), "CI_JOB_ID": "77", "CI_PIPELINE_ID": str(time.time_ns()),
        "CI_JOB_NAME": "simulate",
        "CI_PROJECT_ID": "22", "CI_SERVER_URL": forges[1].url, "CI_COMMIT_SHA": "0a1b2c",
    }  # fmt: skip
    done = gitlab(
        ROOT / "templates/slurm-job.gitlab-ci.yml", job, environ,
        lambda audience: forges[1].token(GITLAB_PUSH, aud=audience), client.home,
    )  # fmt: skip
    assert done.status == 6, done.log
    assert (done.outputs["state"], done.outputs["exit_code"]) == ("FAILED", "6")
    found = stack.http.get(f"{stack.api}/jobs/{done.outputs['job_id']}", headers=stack.headers("bob")).json()
    assert (found["user"], found["time_limit"]) == ("bob", 600)
    assert AUDIENCE == "slurm-gateway"


def test_nothing_of_an_action_s_shell_is_an_expression() -> None:
    for step in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]:
        assert "${{" not in step["run"]
        checked = subprocess.run(
            ["shellcheck", "--shell=bash", "-"], input=step["run"], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout


def test_examples_store_no_secret() -> None:
    text = (ROOT / "docs/ci.md").read_text() + (ROOT / "action.yml").read_text()
    text += Path(ROOT / "templates/slurm-job.gitlab-ci.yml").read_text()
    assert not re.search(r"secrets\.|AWS_SECRET|password", text, re.IGNORECASE)
