"""Metrics that functions write into their logs, which CloudWatch reads there on AWS, and ministack 1.5.33 does not."""

from __future__ import annotations

import json
from typing import Any

from ministack.core import lambda_runtime, responses
from ministack.services import cloudwatch

from local.aws_emulator import ACCOUNT, REGION


def read() -> None:
    """Have ministack count what functions' log lines say, in this process."""
    invoke = lambda_runtime.Worker.invoke

    def invoking(*arguments: Any, **named: Any) -> dict[str, Any]:  # noqa: ANN401 (ministack's own, passed on)
        result: dict[str, Any] = invoke(*arguments, **named)
        for line in str(result.get("log") or "").splitlines():
            if '"CloudWatchMetrics"' in line:
                _count(json.loads(line))
        return result

    lambda_runtime.Worker.invoke = invoking

    describe = cloudwatch._describe_alarms

    def describing(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 (as above)
        # On AWS they are looked at every minute; here when somebody asks.
        cloudwatch._evaluate_all_alarms()
        return describe(*arguments, **named)

    cloudwatch._describe_alarms = describing


def _count(line: dict[str, Any]) -> None:
    responses.set_request_account_id(ACCOUNT)
    responses.set_request_region(REGION)
    head = line["_aws"]
    # Not by PutMetricData, which looks at every alarm and all its points each time.
    for directive in head["CloudWatchMetrics"]:
        for metric in directive["Metrics"]:
            for names in directive["Dimensions"]:
                cloudwatch._store_datum(
                    directive["Namespace"], metric["Name"], {name: line[name] for name in names},
                    head["Timestamp"] / 1000, metric["Unit"], line[metric["Name"]], None, None, None,
                )  # fmt: skip
