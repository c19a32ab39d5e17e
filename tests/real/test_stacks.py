"""The project's own templates in the AWS emulator: deployed whole, again without harm, after a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local import aws_emulator, credentials, principals, process, stacks, template
from local.address import CHECKOUT, address
from local.aws_emulator import ACCOUNT, REGION
from local.intrinsics import TemplateError

pytestmark = [pytest.mark.any_release, pytest.mark.usefixtures("stack")]


@pytest.fixture(autouse=True)
def no_jobs_left() -> None:
    """Nothing here makes a job, so none is looked for after each test."""


@pytest.fixture(scope="module")
def outputs() -> dict[str, str]:
    return stacks.outputs_of(stacks.REQUIREMENTS_STACK)


@pytest.fixture(scope="module")
def api() -> stacks.DeployedApi:
    return stacks.deploy_api()


def deployed_types(stack: str) -> list[str]:
    cloudformation = aws_emulator.client("cloudformation", principals.administrator())
    resources = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    return sorted(f"{resource['LogicalResourceId']} {resource['ResourceType']}" for resource in resources)


def test_every_resource_of_the_requirements_is_deployed() -> None:
    resources = template.load(CHECKOUT / "requirements-stack.yaml")["Resources"]

    expected = sorted(f"{name} {resource['Type']}" for name, resource in resources.items())

    assert expected == deployed_types(stacks.REQUIREMENTS_STACK)


def test_every_resource_of_the_api_is_deployed(api: stacks.DeployedApi) -> None:
    expected = sorted(
        f"{name} {resource['Type']}"
        for name, resource in api.template["Resources"].items()
        if api.references.conditions.get(resource.get("Condition", ""), True)
    )

    assert expected == deployed_types(stacks.API_STACK)


def test_the_api_document_is_fully_resolved(api: stacks.DeployedApi) -> None:
    def intrinsics(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [key for key in value if key == "Ref" or str(key).startswith("Fn::")]
            return own + [found for item in value.values() for found in intrinsics(item)]
        return [found for item in value for found in intrinsics(item)] if isinstance(value, list) else []

    assert intrinsics([api.body, api.stage]) == []
    assert api.functions["TokenFunction"] in json.dumps(api.body)
    assert api.listener_arn in json.dumps(api.body)


def test_deploying_again_changes_nothing(outputs: dict[str, str], api: stacks.DeployedApi) -> None:
    assert outputs == stacks.deploy_requirements()
    assert api == stacks.deploy_api()
    assert principals.ensure(outputs) == principals.ensure(outputs)
    assert stacks.head_node_environment(outputs) == stacks.head_node_environment(outputs)


def test_a_stack_that_cannot_be_deployed_says_why() -> None:
    with pytest.raises(TemplateError, match=r"AllowHeadNodeTokens: 'perhaps' is none of"):
        stacks.deploy_api({"AllowHeadNodeTokens": "perhaps"})


def test_a_function_runs_the_code_and_the_environment_of_the_template(api: stacks.DeployedApi) -> None:
    functions = aws_emulator.client("lambda", principals.administrator())

    deployed = functions.get_function_configuration(FunctionName=api.functions["EdgeAuthorizerFunction"])

    assert deployed["Handler"] == "slurm_gateway.edge_authorizer.handler"
    assert {"KEYS_PARAMETER", "ALLOW_HEAD_NODE_TOKENS", "DEFAULT_USER_SUDO", "LOG_LEVEL", "API_STACK"} == set(
        deployed["Environment"]["Variables"]
    )


def test_the_functions_import_nothing_that_their_requirements_do_not_pin() -> None:
    listing = """
import importlib.metadata, json, sys
import slurm_gateway.edge_authorizer, slurm_gateway.jwks_api, slurm_gateway.token_api
owners = importlib.metadata.packages_distributions()
loaded = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted({owner for name in loaded for owner in owners.get(name, [])})))
"""
    environment = {
        "PYTHONPATH": str(CHECKOUT / "src"),
        "PATH": os.environ["PATH"],
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "KEYS_PARAMETER": "/k",
        "ACCESS_PARAMETER": "/a",
        "BUCKET": "a-bucket",
        "ALLOW_HEAD_NODE_TOKENS": "false",
        "DEFAULT_USER_SUDO": "true",
    }
    # -P: not from the checkout, whose root is no place that the functions know.
    ran = subprocess.run(
        [sys.executable, "-P", "-c", listing],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (CHECKOUT / "src" / "requirements.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if "==" in line}

    # setuptools reaches into every Python of a virtual environment, by way of a .pth file; certifi is botocore's where
    # somebody else installed it, and botocore carries certificates of its own.
    assert set() == {name.lower() for name in json.loads(ran.stdout)} - pinned - {"setuptools", "certifi"}


@pytest.mark.parametrize("name", principals.NAMES)
def test_a_principal_may_call_post_token_and_nothing_else(name: str) -> None:
    identity = credentials.secret_for(principals.credentials(name).access_key_id, None)

    assert identity is not None
    assert f"arn:aws:iam::{ACCOUNT}:user/{name}" == identity.arn
    assert principals.credentials(name).secret_access_key == identity.secret
    assert identity.secret not in repr(identity)
    api = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:anyapi/$default"
    assert credentials.is_allowed(identity, "execute-api:Invoke", f"{api}/POST/token")
    assert not credentials.is_allowed(identity, "execute-api:Invoke", f"{api}/GET/token")
    assert not credentials.is_allowed(identity, "execute-api:Invoke", f"{api}/POST/jobs")


def test_a_session_of_a_role_needs_its_token() -> None:
    session = principals.credentials(principals.RESEARCHER_ROLE)

    identity = credentials.secret_for(session.access_key_id, session.session_token)

    assert identity is not None
    assert f"arn:aws:sts::{ACCOUNT}:assumed-role/researcher/local" == identity.arn
    assert session.secret_access_key == identity.secret
    assert None is credentials.secret_for(session.access_key_id, None)
    assert None is credentials.secret_for(session.access_key_id, "another")


@pytest.mark.parametrize("access_key_id", ["AKIAIOSFODNN7EXAMPLE", "test", ACCOUNT, ""])
def test_nobody_is_behind_an_unknown_key_nor_behind_roots(access_key_id: str) -> None:
    assert None is credentials.secret_for(access_key_id, None)
    assert None is credentials.secret_for(aws_emulator.root().access_key_id, None)


def test_the_registered_head_node_leads_to_this_checkouts_address(outputs: dict[str, str]) -> None:
    elb = aws_emulator.client("elbv2", principals.administrator())
    target = {"Id": stacks.head_node_instance_id(outputs)}

    elb.register_targets(TargetGroupArn=outputs["TargetGroupArn"], Targets=[target])

    assert [(address(), int(outputs["SlurmrestdPort"]))] == stacks.targets(outputs["TargetGroupArn"])


def test_an_operators_access_document_is_left_alone(outputs: dict[str, str]) -> None:
    ssm = aws_emulator.client("ssm", principals.administrator())
    name = outputs["AccessParameterName"]
    before = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    own = before.replace("name: alice", "name: the operator's own")
    assert own != before
    ssm.put_parameter(Name=name, Value=own, Overwrite=True)
    try:
        assert not principals.write_access_document(name)
        assert own == ssm.get_parameter(Name=name)["Parameter"]["Value"]
    finally:
        ssm.put_parameter(Name=name, Value=before, Overwrite=True)


def test_a_killed_emulator_comes_back_with_its_keys_and_sessions(outputs: dict[str, str]) -> None:
    kms = aws_emulator.client("kms", principals.administrator())
    public_key = kms.get_public_key(KeyId=outputs["SigningKeyArn"])["PublicKey"]
    keys = principals.ensure(outputs)
    head_node = stacks.head_node_environment(outputs)
    pid = process.Process("aws-emulator").pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    aws_emulator.start()

    assert pid != process.Process("aws-emulator").pid()
    assert public_key == kms.get_public_key(KeyId=outputs["SigningKeyArn"])["PublicKey"]
    assert keys == principals.ensure(outputs)
    assert head_node == stacks.head_node_environment(outputs)
    assert outputs == stacks.deploy_requirements()


def test_the_emulator_listens_on_this_checkouts_address_only() -> None:
    pid = process.Process("aws-emulator").pid()
    sockets: set[str] = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        # It opens and closes files while one looks.
        with suppress(FileNotFoundError):
            sockets.add(str(link.readlink()))
    listening = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            # 0A is LISTEN; a UDP socket that receives from anyone is 07.
            if f"socket:[{fields[9]}]" in sockets and fields[3] in ("0A", "07"):
                listening.append((table, fields[1]))
    host = bytes(int(part) for part in reversed(address().split("."))).hex().upper()

    assert [("tcp", f"{host}:{14566:04X}")] == listening


def run_cli(*arguments: str, cwd: Path) -> str:
    ran = subprocess.run([CHECKOUT / "local" / "aws", *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return ran.stdout


def test_the_cli_is_an_administrator_or_whom_it_is_told_and_takes_the_callers_paths(
    outputs: dict[str, str], tmp_path: Path
) -> None:
    arn = ("sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    (tmp_path / "script.sh").write_text("#!/bin/sh\n")

    assert f"arn:aws:iam::{ACCOUNT}:user/administrator\n" == run_cli(*arn, cwd=tmp_path)
    assert f"arn:aws:iam::{ACCOUNT}:user/alice\n" == run_cli("--as", "alice", *arn, cwd=tmp_path)
    run_cli("s3", "cp", "script.sh", f"s3://{outputs['BucketName']}/cli/script.sh", cwd=tmp_path)
    assert run_cli("s3", "cp", f"s3://{outputs['BucketName']}/cli/script.sh", "-", cwd=tmp_path) == "#!/bin/sh\n"
    with pytest.raises(subprocess.CalledProcessError):
        run_cli("--as", "mallory", "s3", "ls", cwd=tmp_path)


def test_nobody_resets_the_emulator(outputs: dict[str, str]) -> None:
    with pytest.raises(aws_emulator.EmulatorError, match="403"):
        aws_emulator.ask("POST", "/_ministack/reset", timeout=5.0)

    assert outputs == stacks.outputs_of(stacks.REQUIREMENTS_STACK)


def test_the_administration_needs_roots_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_emulator, "root", lambda: aws_emulator.Credentials("x", "guessed"))

    with pytest.raises(aws_emulator.EmulatorError, match="403"):
        aws_emulator.ask("GET", f"/_local/stacks/{stacks.API_STACK}", timeout=5.0)


def test_a_policy_that_demands_tls_lets_the_administrator_in(outputs: dict[str, str]) -> None:
    s3 = aws_emulator.client("s3", principals.administrator())
    assert "aws:SecureTransport" in s3.get_bucket_policy(Bucket=outputs["BucketName"])["Policy"]

    try:
        s3.list_objects_v2(Bucket=outputs["BucketName"])
    except ClientError as exc:
        pytest.fail(f"loopback should pass for TLS: {exc}")
