"""deploy/deploy, with the command lines that it drives stood in for: what they are told, in which order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from local.address import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

# Each notes how it was called, and aws answers as the requirements stack would. `cp -` also notes its standard input.
STAND_IN = """#!/bin/sh
[ "$1" = sts ] || echo "$(basename "$0") $*" >>"$CALLS"
case "$*" in
  *"OutputKey=='BucketName'"*) echo bucket ;;
  *"OutputKey=='HeadNodeArguments'"*) [ -n "$NO_ARGUMENTS" ] || echo "--port 6830 --bucket bucket" ;;
  *"s3 cp"*" - "*) cat >>"$CALLS" ;;
esac
"""
TOOLS = ("aws", "sam", "pcluster", "node")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A directory of programs: the stand-ins, and of the machine's own what the script itself needs."""
    for tool in TOOLS:
        (tmp_path / tool).write_text(STAND_IN)
        (tmp_path / tool).chmod(0o755)
    for tool in ("bash", "sh", "basename", "dirname", "readlink", "cat", "sed", "tr", "mv", "rm"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def deploy(machine: Path, step: str, **environment: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """Run a step; give how the stand-ins were called, and the run."""
    calls = machine / "calls"
    calls.touch()
    done = subprocess.run(
        [CHECKOUT / "deploy" / "deploy", step],
        env={"PATH": str(machine), "CALLS": str(calls), "HOME": os.devnull, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return calls.read_text().splitlines(), done


def test_head_node_files_go_into_the_bucket_and_the_stacks_arguments_beside_them(machine: Path) -> None:
    calls, done = deploy(machine, "upload_head_node")

    assert done.returncode == 0, done.stderr
    assert calls[-3:] == [
        "aws s3 cp --only-show-errors --recursive headnode/ s3://bucket/headnode/",
        "aws s3 cp --only-show-errors - s3://bucket/headnode/arguments",
        "--port 6830 --bucket bucket",
    ]


def test_nothing_is_uploaded_for_a_stack_that_does_not_say_the_arguments(machine: Path) -> None:
    calls, done = deploy(machine, "upload_head_node", NO_ARGUMENTS="1")

    assert done.returncode == 1
    assert "no output HeadNodeArguments: deploy it again" in done.stderr
    assert [call for call in calls if " s3 " in call] == []


def test_each_stacks_packages_lie_in_a_folder_of_its_own(machine: Path) -> None:
    deploy(machine, "requirements", STACK="genomics-requirements", API_STACK="genomics")
    calls, done = deploy(machine, "api", STACK="genomics-requirements", API_STACK="genomics")

    assert done.returncode == 0, done.stderr
    deploys = [call.split() for call in calls if call.startswith("sam deploy")]
    assert [call[call.index("--stack-name") + 1 : call.index("--parameter-overrides")] for call in deploys] == [
        ["genomics-requirements", "--s3-prefix", "genomics-requirements"],
        ["genomics", "--s3-prefix", "genomics"],
    ]


@pytest.mark.parametrize(
    ("given", "overrides"),
    [
        ({}, ["RequirementsStack=slurm-gateway-requirements"]),
        # Slurm has it in small letters.
        ({"CLUSTER": "Genomics"}, ["RequirementsStack=slurm-gateway-requirements", "ClusterName=genomics"]),
    ],
)
def test_the_api_is_told_the_clusters_name_and_keeps_the_one_it_has(
    machine: Path, given: dict[str, str], overrides: list[str]
) -> None:
    calls, done = deploy(machine, "api", **given)

    assert done.returncode == 0, done.stderr
    [call] = [call.split() for call in calls if call.startswith("sam deploy")]
    assert call[call.index("--parameter-overrides") + 1 :] == overrides


def test_the_apis_cluster_has_the_name_that_the_command_gives_it() -> None:
    declared = re.search(
        r"^  ClusterName:.*?^    Default: (\S+)", (CHECKOUT / "template.yaml").read_text(), re.M | re.S
    )
    named = re.search(r"^CLUSTER=\$\{CLUSTER:-(\S+)\}", (CHECKOUT / "deploy" / "deploy").read_text(), re.M)

    assert declared is not None
    assert named is not None
    assert declared[1] == named[1]


def test_samconfigs_folders_are_its_stacks_names() -> None:
    config = tomllib.loads((CHECKOUT / "samconfig.toml").read_text())

    for environment in ("default", "requirements"):
        of_stack = config[environment]
        assert of_stack["deploy"]["parameters"]["s3_prefix"] == of_stack["global"]["parameters"]["stack_name"]


@pytest.mark.parametrize(
    ("tool", "comes_with"),
    [("pcluster", "pip install aws-parallelcluster=="), ("node", "Node.js"), ("aws", "pip install awscli")],
)
def test_a_tool_that_the_cluster_needs_is_missed_before_anything_is_begun(
    machine: Path, tool: str, comes_with: str
) -> None:
    (machine / tool).unlink()

    calls, done = deploy(machine, "cluster")

    assert (done.returncode, calls) == (1, [])
    assert f"{tool} is not installed. It comes with: {comes_with}" in done.stderr


# A bucket of full lists of long keys: each deletion takes one away, and an empty request is an error as it is on AWS.
BUCKET = """#!/bin/bash
echo "$(basename "$0") $*" >>"$CALLS"
left=$(cat "$LEFT")
case "$*" in
  "s3api list-object-versions --bucket b --max-items 1000 "*)
    echo '{"Quiet": true, "Objects": ['
    if ((left > 0)); then
      key=$(printf '%0900d' 0)
      for ((i = 0; i < 999; i++)); do echo "{\\"Key\\": \\"$key\\", \\"VersionId\\": \\"$i\\"},"; done
      echo '{"Key": "last", "VersionId": "null"}'
    fi
    echo ']}' ;;
  "s3api delete-objects --bucket b --delete file://versions.json")
    grep -q VersionId versions.json || exit 254
    echo $((left - 1)) >"$LEFT" ;;
  "s3 rb s3://b") exit "$left" ;;
  *) exit 252 ;;
esac
"""


@pytest.mark.parametrize("lists", [0, 1, 3])
def test_the_pages_commands_empty_a_bucket_of_any_size(tmp_path: Path, lists: int) -> None:
    guide = (CHECKOUT / "docs" / "deploy.md").read_text()
    block = re.findall(r"^```sh\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)[-1]
    (tmp_path / "aws").write_text(BUCKET)
    (tmp_path / "aws").chmod(0o755)
    (tmp_path / "left").write_text(str(lists))
    files = {"CALLS": str(tmp_path / "calls"), "LEFT": str(tmp_path / "left")}

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path, env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "BUCKET": "b", **files},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().count("delete-objects") == lists
