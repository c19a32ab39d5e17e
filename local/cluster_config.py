"""cluster-config.yaml with its placeholders filled in from the requirements stack's outputs.

Also a command, which needs nothing but Python: it reads what ``aws cloudformation describe-stacks --query
'Stacks[0].Outputs'`` prints, and prints the cluster configuration.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CLUSTER_CONFIG = Path(__file__).resolve().parent.parent / "cluster-config.yaml"

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z0-9]+)\}")
_COMMAND = (
    "aws cloudformation describe-stacks --stack-name slurm-gateway-requirements"
    " --query 'Stacks[0].Outputs' --output json | python3 -m local.cluster_config > my-cluster.yaml"
)


class ClusterConfigError(Exception):
    """The configuration cannot be filled in; the message says what to do."""


def placeholders(text: str) -> set[str]:
    """Give the names of the outputs that a configuration asks for."""
    return set(_PLACEHOLDER.findall(text))


def fill(text: str, outputs: Mapping[str, str]) -> str:
    """Put the stack's outputs in place of the configuration's placeholders.

    Takes the text of the configuration and the outputs by name; outputs that it does not ask for are no harm.
    Raises ClusterConfigError naming every output that is missing.
    """
    missing = sorted(placeholders(text) - set(outputs))
    if missing:
        raise ClusterConfigError(
            f"the requirements stack has no output {', '.join(missing)}: deploy the requirements-stack.yaml"
            " that lies beside this cluster-config.yaml, and read its outputs again"
        )
    return _PLACEHOLDER.sub(lambda match: outputs[match[1]], text)


def read_outputs(text: str) -> dict[str, str]:
    """Read the outputs of a stack as the AWS CLI prints them, in JSON.

    Raises ClusterConfigError when the text is something else.
    """
    try:
        return {output["OutputKey"]: output["OutputValue"] for output in json.loads(text)}
    except (ValueError, TypeError, KeyError) as exc:
        raise ClusterConfigError(f"standard input does not hold a stack's outputs; run: {_COMMAND}") from exc


def main() -> int:
    """Fill cluster-config.yaml in from the outputs on standard input; give the exit status."""
    try:
        sys.stdout.write(fill(CLUSTER_CONFIG.read_text(), read_outputs(sys.stdin.read())))
    except ClusterConfigError as exc:
        print(f"cluster-config.yaml: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
