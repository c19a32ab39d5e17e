"""Counts for CloudWatch, written to the log in its embedded metric format: no call, and nothing to wait for."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def emit(namespace: str, counts: Mapping[str, int]) -> None:
    """Count under a namespace, such as "slurm-gateway/STACK"; what is zero is not written."""
    told = {name: count for name, count in counts.items() if count}
    if not told:
        return
    metrics = [{"Name": name, "Unit": "Count"} for name in told]
    head = {
        "Timestamp": int(time.time() * 1000),
        "CloudWatchMetrics": [{"Namespace": namespace, "Dimensions": [[]], "Metrics": metrics}],
    }
    # Not by the logger: a count is no message, and has no level that could leave it out.
    sys.stderr.write(json.dumps({"_aws": head, **told}, separators=(",", ":")) + "\n")
