from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from slurm_gateway.logs import JsonFormatter


@pytest.fixture
def record() -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": "slurm_gateway.edge",
            "levelname": "WARNING",
            "msg": "refused %s",
            "args": ("it",),
            "created": 1_700_000_000.25,
            "msecs": 250.0,
            "reason": "expired",
        }
    )


def test_a_record_is_one_line_of_json_with_its_extra_fields(record: logging.LogRecord) -> None:
    assert json.loads(JsonFormatter().format(record)) == {
        "timestamp": "2023-11-14T22:13:20.250Z",
        "level": "WARNING",
        "logger": "slurm_gateway.edge",
        "message": "refused it",
        "reason": "expired",
    }


def test_a_traceback_stays_on_that_line(record: logging.LogRecord) -> None:
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        record.exc_info = sys.exc_info()

    text = JsonFormatter().format(record)

    assert "\n" not in text
    assert "RuntimeError: a bug" in json.loads(text)["traceback"]


def test_libraries_are_not_heard_below_warning_whatever_our_level_is() -> None:
    script = (
        "import logging; from slurm_gateway import logs; logs.configure('DEBUG');"
        "logging.getLogger('botocore').info('a request');"
        "logging.getLogger('slurm_gateway.edge').debug('ours')"
    )
    path = ":".join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )

    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["ours"]
