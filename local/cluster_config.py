"""cluster-config.yaml with its placeholders filled in from the requirements stack's outputs.

One placeholder is no output: HeadNodeRelease, which differs whenever what configure.sh would do differs. Without a
change ParallelCluster takes no update, and so would not run the script again.

Also a command: it reads what ``aws cloudformation describe-stacks --query 'Stacks[0].Outputs'`` prints, and prints the
cluster configuration, checked by ParallelCluster's own schema where ``--cluster`` names the cluster. ``make
cluster-config`` runs it so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CLUSTER_CONFIG = Path(__file__).resolve().parent.parent / "cluster-config.yaml"
HEAD_NODE = CLUSTER_CONFIG.with_name("headnode")

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z0-9]+)\}")
_NO_DATABASE = "    # For accounting (sacct, /slurmdb) give a Database here"
_COMMAND = (
    "aws cloudformation describe-stacks --stack-name slurm-gateway-requirements"
    " --query 'Stacks[0].Outputs' --output json | python3 -m local.cluster_config > my-cluster.yaml"
)


class ClusterConfigError(Exception):
    """The configuration cannot be filled in; the message says what to do."""


@dataclass(frozen=True)
class Database:
    """An accounting database: its host and port, the user, and the ARN of the secret that holds the password."""

    uri: str
    user: str
    secret_arn: str

    def lines(self) -> str:
        """Give what stands below SlurmSettings."""
        fields = {"Uri": self.uri, "UserName": self.user, "PasswordSecretArn": self.secret_arn}
        return "    Database:\n" + "".join(f"      {name}: {json.dumps(value)}\n" for name, value in fields.items())


def placeholders(text: str) -> set[str]:
    """Give the names of the outputs that a configuration asks for."""
    return set(_PLACEHOLDER.findall(text))


def fill(text: str, outputs: Mapping[str, str]) -> str:
    """Put the stack's outputs in place of the configuration's placeholders.

    Takes the text of the configuration and the outputs by name; outputs that it does not ask for are no harm.
    Raises ClusterConfigError naming every output that is missing.
    """
    _require(placeholders(text), outputs)
    return _PLACEHOLDER.sub(lambda match: outputs[match[1]], text)


def head_node_release(outputs: Mapping[str, str], directory: Path = HEAD_NODE) -> str:
    """Give a digest of what configure.sh installs and of its arguments, which the stack's outputs hold.

    Raises ClusterConfigError where they do not.
    """
    _require({"HeadNodeArguments"}, outputs)
    digest = hashlib.sha256(outputs["HeadNodeArguments"].encode())
    for name in ["manifest", *(directory / "manifest").read_text().split()]:
        digest.update(hashlib.sha256((directory / name).read_bytes()).digest())
    return digest.hexdigest()[:16]


def with_database(text: str, database: Database) -> str:
    """Put an accounting database where the configuration says that one may stand."""
    before, found, after = text.partition(_NO_DATABASE)
    if not found:
        raise ClusterConfigError(f"cluster-config.yaml has no line that begins with {_NO_DATABASE.strip()!r}")
    return before + database.lines() + after.partition("\n")[2]


def check(text: str, cluster: str) -> None:
    """Let ParallelCluster's schema judge a configuration; raise ClusterConfigError with its words if it refuses."""
    # The clients that it makes while it reads want a region, and ask nothing of it.
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ}
    command = [sys.executable, "-m", "local.cluster_schema", cluster]
    ran = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        last = ran.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ClusterConfigError(
            f"ParallelCluster's schema could not be asked ({last[0]}): run make cluster-config, which installs it"
        )
    if refusals := json.loads(ran.stdout):
        raise ClusterConfigError("ParallelCluster refuses it: " + "; ".join(refusals))


def read_outputs(text: str) -> dict[str, str]:
    """Read the outputs of a stack as the AWS CLI prints them, in JSON.

    Raises ClusterConfigError when the text is something else.
    """
    try:
        return {output["OutputKey"]: output["OutputValue"] for output in json.loads(text)}
    except (ValueError, TypeError, KeyError) as exc:
        raise ClusterConfigError(f"standard input does not hold a stack's outputs; run: {_COMMAND}") from exc


def _require(names: set[str], outputs: Mapping[str, str]) -> None:
    missing = sorted(names - set(outputs))
    if missing:
        raise ClusterConfigError(
            f"the requirements stack has no output {', '.join(missing)}: deploy the requirements-stack.yaml"
            " that lies beside this cluster-config.yaml, and read its outputs again"
        )


def main(argv: list[str] | None = None) -> int:
    """Fill cluster-config.yaml in from the outputs on standard input; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.cluster_config", description=__doc__)
    parser.add_argument("--cluster", help="the cluster's name; then ParallelCluster's schema checks the result")
    parser.add_argument("--DatabaseUri", metavar="HOST:PORT", help="an accounting database")
    parser.add_argument("--DatabaseUser", metavar="NAME")
    parser.add_argument("--DatabaseSecretArn", metavar="ARN", help="the secret that holds its password")
    given = parser.parse_args(argv)
    database = [given.DatabaseUri, given.DatabaseUser, given.DatabaseSecretArn]
    try:
        if any(database) and not all(database):
            raise ClusterConfigError("give DatabaseUri, DatabaseUser and DatabaseSecretArn together")
        outputs = read_outputs(sys.stdin.read())
        text = fill(CLUSTER_CONFIG.read_text(), {**outputs, "HeadNodeRelease": head_node_release(outputs)})
        if given.DatabaseUri:
            text = with_database(text, Database(*database))
        if given.cluster:
            check(text, given.cluster)
        sys.stdout.write(text)
    except ClusterConfigError as exc:
        print(f"cluster-config.yaml: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
