"""Metrics as CloudWatch's embedded metric format: a log line that says of itself what in it is a metric.

CloudWatch Logs makes the metric of the line, so that it costs no call and no permission. The namespace is
slurm-gateway, the one dimension the function's name.
Source: CloudWatch user guide, "Specification: Embedded metric format".
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "slurm-gateway"


def count(name: str, times: int = 1) -> dict[str, Any]:
    """Return what makes a log line, given to it as `extra`, also say that something happened so many times."""
    return counts({name: times})


def counts(times: Mapping[str, int]) -> dict[str, Any]:
    """Return what makes a log line also say of several things how often each happened."""
    return {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["function"]],
                    "Metrics": [{"Name": name, "Unit": "Count"} for name in times],
                }
            ],
        },
        "function": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "none"),
        **times,
    }
