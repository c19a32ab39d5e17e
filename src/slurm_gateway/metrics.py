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
    "TokensRefused": "Count",
    "TokensUnavailable": "Count",
    "AccessDocumentNotValid": "Count",
    "SigningKeyAgeDays": "Count",
    "CanaryFailures": "Count",
    "CanaryDuration": "Milliseconds",
    "FeedLag": "Seconds",
    "JobEnds": "Count",
    "InboxJobs": "Count",
    "InboxKnown": "Count",
    "InboxUnmatched": "Count",
    "InboxRetries": "Count",
    "InboxDeadLetters": "Count",
}


def emit(values: Mapping[str, float], *, by: Mapping[str, str] | None = None, **about: object) -> None:
    """Write metrics of this moment as a line of their own; `about` is told beside them. Otherwise as `embedded`."""
    # Past the logger, whose level must not silence metrics; one write, so that no other line comes between.
    line = {**about, **embedded(values, by=by)}
    sys.stderr.write(json.dumps(line, separators=(",", ":"), default=str) + "\n")


def embedded(values: Mapping[str, float], *, by: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the members by which a log line is metrics of this moment too: `values` by a name in UNITS, in its unit.

    They are for lines that are written at every log level. Each value counts for the whole API (dimension Api, the
    stack's name) and, with `by`, also for that dimension, such as {"Reason": "token-expired"}: a small set of fixed
    words, for each is a metric that is paid for. Raises KeyError for a metric that UNITS does not have.
    """
    dimensions = {"Api": os.environ.get("API_STACK", "unknown"), **(by or {})}
    return {
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
        **dimensions,
        **values,
    }


def answered(status: int, reason: str, **about: object) -> None:
    """Count an answer that is no success: a fault of ours or of what stands behind us, else a refusal."""
    emit({"Faults" if status >= 500 else "Refusals": 1}, by={"Reason": reason}, **about)
