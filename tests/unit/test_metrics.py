"""Metrics: the lines are CloudWatch's embedded metric format, word for word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slurm_gateway import metrics


def emitted(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    [line] = capsys.readouterr().err.splitlines()
    read: dict[str, Any] = json.loads(line)
    return read


@pytest.fixture(autouse=True)
def _stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_STACK", "slurm-gateway")


def test_a_metric_counts_for_the_whole_api(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.emit({"Submits": 1}, request_id="r-1")

    line = emitted(capsys)
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive == {
        "Namespace": "slurm-gateway",
        "Dimensions": [["Api"]],
        "Metrics": [{"Name": "Submits", "Unit": "Count"}],
    }
    assert (line["Submits"], line["Api"], line["request_id"]) == (1, "slurm-gateway", "r-1")
    assert isinstance(line["_aws"]["Timestamp"], int)


def test_a_dimension_counts_beside_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.emit({"Refusals": 1}, by={"Reason": "token-expired"})

    line = emitted(capsys)
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Api"], ["Api", "Reason"]]
    assert line["Reason"] == "token-expired"


def test_what_is_told_beside_a_metric_cannot_take_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.emit({"Submits": 1}, Submits="none", Api="another")

    line = emitted(capsys)
    assert (line["Submits"], line["Api"]) == (1, "slurm-gateway")


def test_a_line_of_the_log_can_be_a_metric_too() -> None:
    members = metrics.embedded({"TokensMinted": 1})

    assert members["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [{"Name": "TokensMinted", "Unit": "Count"}]
    assert (members["TokensMinted"], members["Api"]) == (1, "slurm-gateway")


def test_a_metric_that_is_in_no_list_is_an_error() -> None:
    with pytest.raises(KeyError, match="Sumbits"):
        metrics.emit({"Sumbits": 1})


def test_every_unit_is_one_of_cloudwatchs() -> None:
    assert set(metrics.UNITS.values()) <= {"Count", "Milliseconds", "Seconds", "Bytes"}
