"""The access document and the function that reads it, as operators and faults treat them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from local import aws_emulator, principals, stacks
from local.process import Process
from tests.real.conftest import ROOT, Stack, wait_for

EMULATOR_LOG = ROOT / ".local/log/aws-emulator.log"


def put_access_document(text: str) -> None:
    """Write the document as an operator does."""
    parameter = stacks.outputs_of(stacks.REQUIREMENTS_STACK)["AccessParameterName"]
    ssm = aws_emulator.client("ssm", principals.administrator())
    ssm.put_parameter(Name=parameter, Value=text, Overwrite=True)


@contextmanager
def access_document_kept(stack: Stack) -> Iterator[None]:
    """Put the document back as it was, and wait until it is in force again."""
    try:
        yield
    finally:
        put_access_document(principals.ACCESS_DOCUMENT)
        start_cold("TokenFunction")
        wait_for(lambda: stack.signed("bob", "POST", "/token").status_code == 200, "the access document to be back")


def start_cold(function: str) -> None:
    """Kill the processes of a function, by its logical id, so that the next request starts it anew."""
    emulator = Process("aws-emulator").pid()
    for thread in Path(f"/proc/{emulator}/task").iterdir():
        # Threads and processes come and go while one looks.
        with suppress(OSError):
            for pid in (thread / "children").read_text().split():
                if function.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGKILL)


def audit_lines(since: int) -> list[dict[str, Any]]:
    """Give what the functions wrote to the audit log after a place in the emulator's log (`log_end`)."""
    lines = log_after(since).splitlines()
    found = [json.loads(line[line.index("{") :]) for line in lines if '"logger": "slurm_gateway.' in line]
    return [line for line in found if line["logger"] == "slurm_gateway.audit"]


def log_after(place: int) -> str:
    """Give what the emulator and the functions logged after a place (`log_end`)."""
    with EMULATOR_LOG.open("rb") as file:
        file.seek(place)
        return file.read().decode(errors="replace")


def log_end() -> int:
    """Give the place where the log ends now."""
    return EMULATOR_LOG.stat().st_size
