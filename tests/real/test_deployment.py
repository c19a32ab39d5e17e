"""The README's and docs/deploy.md's commands, run verbatim against an emulator of their own as far as that goes.

sam, the AWS CLI and the filling-in of cluster-config.yaml are real; what stands for AWS is the emulator. pcluster's own
commands need an account: of them only the configuration is checked, by ParallelCluster's schema (in tests/unit).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.conftest import ROOT

pytestmark = pytest.mark.any_release

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
CREDENTIALS = """
import json
from local import aws_emulator, principals
aws_emulator.start()
print(json.dumps(principals.administrator().environment() | {"AWS_ENDPOINT_URL": aws_emulator.endpoint()}))
"""
ACCESS_DOCUMENT = """\
version: 1
rules:
  - {name: all, principal: {iam_role: "arn:aws:iam::123456789012:role/Researcher"}, users: [alice]}
"""


def commands(clone: Path) -> dict[str, str]:
    """Give the deployment's command blocks by names of their own."""
    readme = (clone / "README.md").read_text()
    part = readme.partition("## Deploying to AWS")[2].partition("## Developing")[0]
    guide = (clone / "docs/deploy.md").read_text()
    names = (
        "all", "access", "use", "accounting", "on-head-node", "several", "upgrade", "down", "bucket"
    )  # fmt: skip
    return {
        **dict(zip(("requirements", "cluster", "api"), BLOCK.findall(part), strict=True)),
        **dict(zip(names, BLOCK.findall(guide), strict=True)),
    }


@pytest.fixture
def account(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A clone with an emulator at an address of its own, and an administrator's environment."""
    clone = tmp_path / "slurm-gateway"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    shown = subprocess.run([sys.executable, "-c", CREDENTIALS], cwd=clone, capture_output=True, text=True, check=True)
    tools = [ROOT / ".local/tools/bin", Path(sys.executable).parent]
    environment = {
        "PATH": os.pathsep.join([*map(str, tools), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "PYTHON": str(ROOT / ".local/tools/bin/python"),
        "DEPLOY_PYTHON": str(ROOT / ".local/tools/bin/python"),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
        "AWS_PAGER": "",
        **json.loads(shown.stdout),
    }
    yield clone, environment
    stop = "from local import aws_emulator; aws_emulator.stop()"
    subprocess.run([sys.executable, "-c", stop], cwd=clone, check=True)


def run(script: str, clone: Path, environment: dict[str, str]) -> str:
    """Run a block as an operator would who answers yes to every question."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=clone, env=environment, input="y\n" * 20, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def test_deployment_commands_deploy_and_take_down(account: tuple[Path, dict[str, str]]) -> None:
    clone, environment = account
    blocks = commands(clone)

    deployed = run(blocks["requirements"], clone, environment)
    bucket = deployed.rpartition("headnode/ is in s3://")[2].partition("/")[0]
    listed = run(f"aws s3 ls s3://{bucket}/headnode/", clone, environment)
    assert "configure.sh" in listed
    arguments = run(f"aws s3 cp s3://{bucket}/headnode/arguments -", clone, environment)
    assert f"--bucket {bucket} " in arguments

    # What it does before it asks ParallelCluster to create anything.
    run(blocks["cluster"].replace("deploy-cluster", "cluster-config"), clone, environment)
    filled = (clone / "slurm-gateway-cluster.yaml").read_text()
    assert f"s3://{bucket}/headnode/configure.sh" in filled
    assert "${" not in filled.partition("\nImage:")[2]

    assert "ApiUrl" in run(blocks["api"], clone, environment)

    (clone / "access.yaml").write_text(ACCESS_DOCUMENT)
    run(blocks["access"], clone, environment)
    name = "/slurm-gateway/slurm-gateway-requirements/access"
    document = run(f"aws ssm get-parameter --name {name} --query Parameter.Value --output text", clone, environment)
    assert document.strip() == ACCESS_DOCUMENT.strip()

    updates_change_what_they_say_and_leave_the_access_document(clone, environment)
    a_second_cluster_in_the_same_network_collides_with_nothing(clone, environment)

    down = "\n".join(line for line in blocks["down"].splitlines() if not line.startswith("pcluster"))
    run(down, clone, environment)
    run(f"BUCKET={bucket}\n{blocks['bucket']}", clone, environment)
    assert bucket not in run("aws s3 ls", clone, environment)


def described(stack: str, clone: Path, environment: dict[str, str]) -> dict[str, str]:
    shown = run(f"aws cloudformation describe-stack-resources --stack-name {stack}", clone, environment)
    return {
        item["LogicalResourceId"]: item["PhysicalResourceId"] for item in json.loads(shown)["StackResources"]
    }  # fmt: skip


def updates_change_what_they_say_and_leave_the_access_document(clone: Path, environment: dict[str, str]) -> None:
    before = described("slurm-gateway", clone, environment)
    below = described("slurm-gateway-requirements", clone, environment)

    run('make deploy-requirements OPTIONS="ScriptDays=30"', clone, environment)
    # What `make deploy-api` does once it has built, which was a moment ago.
    run("sam deploy --parameter-overrides LogRetentionDays=30 Canary=false", clone, environment)

    after = described("slurm-gateway", clone, environment)
    gone = before.keys() - after.keys()
    assert {name for name in gone if not name.startswith(("Canary", "SigningKeyOld"))} == set()
    assert "CanaryFunction" in gone
    assert {name: after[name] for name in after} == {name: before[name] for name in after}
    assert described("slurm-gateway-requirements", clone, environment) == below
    groups = json.loads(run("aws logs describe-log-groups", clone, environment))["logGroups"]
    assert {group["retentionInDays"] for group in groups} == {30}
    name = "/slurm-gateway/slurm-gateway-requirements/access"
    document = run(f"aws ssm get-parameter --name {name} --query Parameter.Value --output text", clone, environment)
    assert document.strip() == ACCESS_DOCUMENT.strip()
    # The emulator keeps no lifecycle of a bucket; the parameter is what it can show.
    shown = run("aws cloudformation describe-stacks --stack-name slurm-gateway-requirements", clone, environment)
    parameters = json.loads(shown)["Stacks"][0]["Parameters"]
    assert {"ParameterKey": "ScriptDays", "ParameterValue": "30"} in parameters


def a_second_cluster_in_the_same_network_collides_with_nothing(clone: Path, environment: dict[str, str]) -> None:
    first = described("slurm-gateway-requirements", clone, environment)
    network = {
        "ExistingVpcId": first["Vpc"],
        **{f"Existing{name}Id": first[name] for name in (
            "ClusterSubnet1", "ClusterSubnet2", "GatewaySubnet1", "GatewaySubnet2"
        )},
    }  # fmt: skip
    options = " ".join(f"{name}={value}" for name, value in network.items())

    run(
        f'make deploy-requirements STACK=genomics-requirements API_STACK=genomics OPTIONS="{options}"',
        clone,
        environment,
    )
    deploy = (
        "sam deploy --stack-name genomics --s3-prefix genomics"
        " --parameter-overrides RequirementsStack=genomics-requirements"
    )
    run(deploy, clone, environment)
    run("make cluster-config STACK=genomics-requirements CLUSTER=genomics-cluster", clone, environment)

    second = described("genomics-requirements", clone, environment)
    assert first["ClusterSubnet1"] in (clone / "genomics-cluster.yaml").read_text()
    assert "Vpc" not in second
    assert set(second.values()) & set(first.values()) == set()
    run("sam delete --no-prompts --stack-name genomics", clone, environment)
    run("sam delete --no-prompts --stack-name genomics-requirements", clone, environment)


@pytest.mark.parametrize("target", ["deploy-requirements", "cluster-config", "deploy-cluster", "deploy-api"])
def test_without_an_account_a_command_says_what_to_do(target: str, tmp_path: Path) -> None:
    environment = {
        "PATH": os.pathsep.join(
            [*map(str, (ROOT / ".local/tools/bin", Path(sys.executable).parent)), os.environ["PATH"]]
        ),
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "DEPLOY_PYTHON": "unused",
    }

    done = subprocess.run(["make", target], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "AWS does not know you" in done.stderr
    assert "Log in first" in done.stderr


def test_a_missing_tool_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DEPLOY_PYTHON": "unused"}

    done = subprocess.run(
        ["make", "deploy-cluster"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "pcluster is not installed" in done.stderr
