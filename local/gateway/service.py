"""The gateway as a background process of this checkout."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

from local.address import CHECKOUT, GATEWAY_PORT, RUN_DIRECTORY, address
from local.process import Process, wait_until

PROCESS = Process("gateway")
CONFIG_FILE = RUN_DIRECTORY / "gateway.json"
START_TIMEOUT = 20.0


def start(config: dict[str, Any]) -> None:
    """Start the gateway with a configuration and wait until it answers.

    Takes what :func:`local.gateway.config.build_config` gives. One that runs with the same configuration is
    left alone, one with another is restarted. Raises ProcessError.
    """
    text = json.dumps(config, indent=1, sort_keys=True)
    if PROCESS.is_running() and is_answering() and CONFIG_FILE.exists() and CONFIG_FILE.read_text() == text:
        return
    PROCESS.stop()
    RUN_DIRECTORY.mkdir(parents=True, exist_ok=True)
    # It holds the emulator's administrator key.
    with os.fdopen(os.open(CONFIG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    PROCESS.start([sys.executable, "-m", "local.gateway", "--config", CONFIG_FILE], cwd=CHECKOUT)
    wait_until(is_answering, "the gateway to answer", START_TIMEOUT, process=PROCESS)


def stop() -> bool:
    """Stop the gateway; False where none ran."""
    return PROCESS.stop()


def is_answering(port: int = GATEWAY_PORT) -> bool:
    """Tell whether something accepts connections at a port of this checkout's, by default the gateway's."""
    try:
        with socket.create_connection((address(), port), timeout=1.0):
            return True
    except OSError:
        return False
