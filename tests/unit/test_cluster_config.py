"""cluster-config.yaml: every placeholder is an output, and ParallelCluster's own schema takes the result."""

from __future__ import annotations

import io
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from templates_under_test import REQUIREMENTS_STACK, references, requirements

from local import cluster_config
from local.address import CHECKOUT
from local.cluster_config import (
    CLUSTER_CONFIG,
    HEAD_NODE,
    ClusterConfigError,
    fill,
    head_node_release,
    placeholders,
    read_outputs,
)
from local.intrinsics import resolve
from local.rootfs import CANARY_USER

# ParallelCluster and the local stack want other versions of the same libraries.
TOOLS_PYTHON = CHECKOUT / ".local" / "tools" / "bin" / "python"

OUTPUTS = {
    "BucketName": "slurm-gateway-requirements-bucket-0a1b2c3d4e5f",
    "ComputeSubnetId1": "subnet-0123456789abcdef0",
    "ComputeSubnetId2": "subnet-0123456789abcdef1",
    "HeadNodeArguments": "--keys-parameter /slurm-gateway/slurm-gateway-requirements/signing-keys --port 6830",
    "HeadNodePolicyArn": "arn:aws:iam::123456789012:policy/slurm-gateway-requirements-HeadNodePolicy-0A1B",
    "HeadNodeSecurityGroupId": "sg-0123456789abcdef0",
    "HeadNodeSubnetId": "subnet-0123456789abcdef0",
}


def filled() -> dict[str, Any]:
    values = {**OUTPUTS, "HeadNodeRelease": head_node_release(OUTPUTS)}
    config: dict[str, Any] = yaml.safe_load(fill(CLUSTER_CONFIG.read_text(), values))
    return config


def faults(config: dict[str, Any]) -> list[str]:
    if not TOOLS_PYTHON.exists():
        pytest.skip("ParallelCluster is not installed; `make lint` installs it")
    ran = subprocess.run(
        [TOOLS_PYTHON, "-m", "local.cluster_schema", "slurm-gateway-cluster"],
        input=yaml.safe_dump(config),
        env={"AWS_DEFAULT_REGION": "us-east-1", "HOME": "/nonexistent"},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    found: list[str] = json.loads(ran.stdout)
    return found


def test_every_placeholder_but_the_release_is_an_output_of_the_requirements_stack() -> None:
    assert placeholders(CLUSTER_CONFIG.read_text()) - set(requirements()["Outputs"]) == {"HeadNodeRelease"}


def test_every_placeholder_says_which_output_fills_it() -> None:
    lines = [line for line in CLUSTER_CONFIG.read_text().splitlines() if placeholders(line)]

    for line in lines:
        said = ["# no output:" if name == "HeadNodeRelease" else f"# output {name}:" for name in placeholders(line)]
        assert [words in line for words in said] == [True], line
    assert lines


def test_parallelclusters_schema_takes_the_filled_in_configuration() -> None:
    assert faults(filled()) == []


def test_parallelclusters_schema_refuses_a_misspelled_key() -> None:
    config = filled()
    config["HeadNode"]["CustomAction"] = config["HeadNode"].pop("CustomActions")

    assert re.search("CustomAction.*Unknown field", "".join(faults(config)))


def test_parallelcluster_refuses_slurm_settings_of_its_own() -> None:
    config = filled()
    config["Scheduling"]["SlurmSettings"]["CustomSlurmSettings"].append({"Prolog": "/bin/true"})

    assert "Prolog" in "".join(faults(config))


def test_the_nodes_are_called_as_the_local_cluster_calls_them() -> None:
    [queue] = filled()["Scheduling"]["SlurmQueues"]
    [resource] = queue["ComputeResources"]

    assert (queue["Name"], resource["Name"], resource["MaxCount"]) == ("queue1", "t3micro", 4)


def test_a_user_sees_their_own_jobs_only_and_the_default_user_has_no_sudo() -> None:
    settings = filled()["Scheduling"]["SlurmSettings"]["CustomSlurmSettings"]

    assert {"PrivateData": "jobs"} in settings
    assert {"MaxJobCount": 20000} in settings
    assert filled()["DeploymentSettings"] == {"DisableSudoAccessForDefaultUser": True}


def test_the_head_node_is_configured_again_after_an_update() -> None:
    actions = filled()["HeadNode"]["CustomActions"]
    made, updated = actions["OnNodeConfigured"], actions["OnNodeUpdated"]

    assert made["Script"] == updated["Script"] == f"s3://{OUTPUTS['BucketName']}/headnode/configure.sh"
    assert updated["Args"] == [*made["Args"], "--release", head_node_release(OUTPUTS)]


def test_what_parallelcluster_lets_no_update_change_names_the_bucket_and_nothing_else() -> None:
    actions = yaml.safe_load(CLUSTER_CONFIG.read_text())["HeadNode"]["CustomActions"]

    assert placeholders(json.dumps(actions["OnNodeConfigured"])) == {"BucketName"}
    assert actions["OnNodeConfigured"]["Args"] == [
        "--arguments",
        "s3://${BucketName}/headnode/arguments",
        "--source",
        "s3://${BucketName}/headnode/",
    ]


def test_a_release_is_another_when_files_or_arguments_are(tmp_path: Path) -> None:
    (tmp_path / "manifest").write_text("configure.sh\nlib.sh\n")
    (tmp_path / "configure.sh").write_text("a")
    (tmp_path / "lib.sh").write_text("b")
    before = head_node_release(OUTPUTS, tmp_path)

    assert head_node_release({**OUTPUTS, "BucketName": "x"}, tmp_path) == before
    assert head_node_release({**OUTPUTS, "HeadNodeArguments": "--port 6840"}, tmp_path) != before
    (tmp_path / "lib.sh").write_text("c")
    assert head_node_release(OUTPUTS, tmp_path) != before


def test_the_head_nodes_script_knows_the_arguments_it_is_given() -> None:
    output = requirements()["Outputs"]["HeadNodeArguments"]["Value"]
    resolved = resolve(output, references(requirements(), REQUIREMENTS_STACK, {}), "HeadNodeArguments").split()
    script = (HEAD_NODE / "configure.sh").read_text()
    given = dict(zip(resolved[::2], resolved[1::2], strict=True))
    of_cluster = filled()["HeadNode"]["CustomActions"]["OnNodeUpdated"]["Args"]

    assert given == {
        "--keys-parameter": "KeysParameter",
        "--event-bus": "EventBus",
        "--bucket": "Bucket",
        "--orders-queue": "HeadNodeQueue",
        "--target-group-arn": "TargetGroup",
        "--lists-target-group-arn": "ListsTargetGroup",
        "--allow-cidrs": "10.0.1.0/27,10.0.1.32/27",
        "--port": "6830",
        "--canary-user": CANARY_USER,
        "--users-object": "s3://Bucket/headnode-state/users.json",
    }
    assert [option for option in [*given, *of_cluster[::2]] if f" {option} |" not in script] == ["--release"]
    assert " --release)" in script


def test_a_missing_output_is_named() -> None:
    with pytest.raises(ClusterConfigError, match="no output BucketName, TargetGroupArn: deploy"):
        fill("${TargetGroupArn} ${BucketName} ${VpcId}", {"VpcId": "vpc-0"})


def test_what_is_no_placeholder_stays() -> None:
    assert fill("${...} $VpcId ${VpcId}", {"VpcId": "vpc-0", "Other": "x"}) == "${...} $VpcId vpc-0"


@pytest.mark.parametrize("text", ["", "null", "{}x", '["x"]', '[{"OutputKey": "VpcId"}]'])
def test_what_are_no_outputs_is_refused_with_the_command_that_gives_them(text: str) -> None:
    with pytest.raises(ClusterConfigError, match="describe-stacks --stack-name"):
        read_outputs(text)


def test_the_command_prints_the_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [{"OutputKey": name, "OutputValue": value} for name, value in OUTPUTS.items()]
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(given)))

    assert cluster_config.main([]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == filled()


DATABASE = ["--DatabaseUri", "db.example.org:3306", "--DatabaseUser", "slurm"]
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:slurm-0A1b2C"


def test_a_database_goes_to_parallelclusters_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [{"OutputKey": name, "OutputValue": value} for name, value in OUTPUTS.items()]
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(given)))

    assert cluster_config.main([*DATABASE, "--DatabaseSecretArn", SECRET]) == 0

    config = yaml.safe_load(capsys.readouterr().out)
    assert config["Scheduling"]["SlurmSettings"]["Database"] == {
        "Uri": "db.example.org:3306",
        "UserName": "slurm",
        "PasswordSecretArn": SECRET,
    }
    assert faults(config) == []
    del config["Scheduling"]["SlurmSettings"]["Database"]
    assert config == filled()


def test_half_a_database_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("[]"))

    assert cluster_config.main(DATABASE) == 1
    assert "DatabaseSecretArn together" in capsys.readouterr().err


def test_a_configuration_that_parallelcluster_refuses_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(TOOLS_PYTHON))

    cluster_config.check(yaml.safe_dump(filled()), "slurm-gateway-cluster")
    with pytest.raises(ClusterConfigError, match=r"refuses it: .*Nonsense"):
        cluster_config.check(yaml.safe_dump(filled() | {"Nonsense": 1}), "slurm-gateway-cluster")


def test_the_command_says_why_it_cannot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("[]"))

    assert cluster_config.main([]) == 1
    assert "the requirements stack has no output HeadNodeArguments" in capsys.readouterr().err
