"""Metrics as CloudWatch's embedded metric format: a log line that says of itself what in it is a metric.

CloudWatch Logs makes the metric of the line, so that it costs no call and no permission. The namespace is
slurm-gateway, the one dimension the function's name.
Source: CloudWatch user guide, "Specification: Embedded metric format".
"""

from __future__ import annotations

import os
import time
from typing import Any

NAMESPACE = "slurm-gateway"


def count(name: str, times: int = 1) -> dict[str, Any]:
    """Return what makes a log line, given to it as `extra`, also say that something happened so many times."""
    return {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["function"]],
                    "Metrics": [{"Name": name, "Unit": "Count"}],
                }
            ],
        },
        "function": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "none"),
        name: times,
    }
