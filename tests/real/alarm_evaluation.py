"""CloudWatch's evaluation of an alarm, on what the functions and the gateway of the local stack really wrote.

The emulator's own evaluation knows neither dimensions, nor periods, nor missing data, and reads no embedded metrics.
Sources: CloudWatch's user guide, "Evaluating an alarm" and "Configuring how alarms treat missing data", and the
embedded metric format's specification.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "Average": lambda values: sum(values) / len(values),
    "p95": lambda values: sorted(values)[math.ceil(0.95 * len(values)) - 1],
}


@dataclass(frozen=True)
class Point:
    """One value of one metric; time in Unix seconds."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    time: float
    value: float


def embedded(lines: Iterable[str]) -> list[Point]:
    """Read the points in a log's lines; a line that is no embedded metric has none."""
    points = []
    for line in lines:
        if '"_aws"' not in line:
            continue
        entry = json.loads(line)
        for directive in entry["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                for names in directive["Dimensions"]:
                    dimensions = frozenset((name, str(entry[name])) for name in names)
                    points.append(
                        Point(
                            directive["Namespace"],
                            metric["Name"],
                            dimensions,
                            entry["_aws"]["Timestamp"] / 1000,
                            float(entry[metric["Name"]]),
                        )
                    )
    return points


def state(alarm: Mapping[str, Any], points: Iterable[Point], now: float) -> str:
    """Tell an alarm's state, ALARM, OK or INSUFFICIENT_DATA, from its resolved properties and all there is to see."""
    dimensions = frozenset((item["Name"], str(item["Value"])) for item in alarm["Dimensions"])
    own = [
        point
        for point in points
        if (point.namespace, point.name, point.dimensions) == (alarm["Namespace"], alarm["MetricName"], dimensions)
    ]
    statistic = STATISTICS[alarm.get("Statistic") or alarm["ExtendedStatistic"]]
    breaches = COMPARISONS[alarm["ComparisonOperator"]]
    period, missing = int(alarm["Period"]), alarm["TreatMissingData"]
    results: list[bool | None] = []
    for back in range(int(alarm["EvaluationPeriods"])):
        end = now - back * period
        values = [point.value for point in own if end - period < point.time <= end]
        if values:
            results.append(breaches(statistic(values), float(alarm["Threshold"])))
        else:
            results.append({"breaching": True, "notBreaching": False}.get(missing))
    if all(result is None for result in results):
        return "INSUFFICIENT_DATA"
    return "ALARM" if results.count(True) >= int(alarm["DatapointsToAlarm"]) else "OK"


def lasting(alarm: Mapping[str, Any], points: Iterable[Point], now: float) -> list[Point]:
    """Give points as if what they tell of went on as it is for as long as the alarm looks back."""
    return [
        replace(point, time=now - back * int(alarm["Period"]) - 1)
        for point in points
        for back in range(int(alarm["EvaluationPeriods"]))
    ]
