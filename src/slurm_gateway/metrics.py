"""Metrics in CloudWatch's embedded metric format: a line in the log that CloudWatch reads as metrics.

So a metric costs a request one write to standard error, no call, and CloudWatch nothing but its price. The line's other
members, such as the request's id, are no metrics: they can be searched for in Logs Insights.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "slurm-gateway"

# Every metric there is, with its unit: what stands here only, the template's alarms and dashboard may ask for.
UNITS = {
    "Submits": "Count",
    "Refusals": "Count",
    "Faults": "Count",
    "SlurmrestdLatency": "Milliseconds",
    "SlurmrestdFailures": "Count",
    "TokensMinted": "Count",
    "SigningKeyAgeDays": "Count",
    "CanaryFailures": "Count",
    "CanaryDuration": "Milliseconds",
    "JobsEnded": "Count",
    "FeedLag": "Seconds",
}


def emit(values: Mapping[str, float], *, by: Mapping[str, str] | None = None, **about: object) -> None:
    """Write metrics of this moment: `values` by a name in UNITS, in its unit.

    Each counts for the whole API (dimension Api, the stack's name) and, with `by`, also for that dimension, such as
    {"Reason": "token-expired"}: a small set of fixed words, for each is a metric that is paid for. `about` is told
    beside them. Raises KeyError for a metric that UNITS does not have.
    """
    dimensions = {"Api": os.environ.get("API_STACK", "unknown"), **(by or {})}
    line = {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["Api"], list(dimensions)] if by else [["Api"]],
                    "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in values],
                }
            ],
        },
        **about,
        **dimensions,
        **values,
    }
    # Past the logger, whose level must not silence metrics; one write, so that no other line comes between.
    sys.stderr.write(json.dumps(line, separators=(",", ":"), default=str) + "\n")


def answered(status: int, reason: str, **about: object) -> None:
    """Count an answer that is no success: a fault of ours or of what stands behind us, else a refusal."""
    emit({"Faults" if status >= 500 else "Refusals": 1}, by={"Reason": reason}, **about)


def count(name: str, times: int = 1) -> dict[str, Any]:
    """Return what makes a log line, given to it as `extra`, also say that something happened so many times."""
    return counts({name: times})


def counts(times: Mapping[str, int]) -> dict[str, Any]:
    """Return what makes a log line also say of several things how often each happened, by function."""
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
