"""Whether Slurm's daemons answer, asked as cheaply as each can be."""

from __future__ import annotations

import http.client
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .settings import Settings

_TIMEOUT = 10.0


def states(settings: Settings) -> dict[str, str]:
    """Return "UP" or "DOWN" of slurmctld and slurmrestd, and of slurmdbd where there is accounting."""
    up = {
        "slurmctld": _says_up([settings.command("scontrol"), "ping"]),
        "slurmrestd": _answers(settings.slurmrestd_address, settings.slurmrestd_port),
    }
    if settings.accounting:
        up["slurmdbd"] = _says_up([settings.command("sacctmgr"), "ping"])
    return {daemon: "UP" if is_up else "DOWN" for daemon, is_up in up.items()}


def _says_up(argv: list[str]) -> bool:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except (subprocess.TimeoutExpired, OSError):
        # Also where there is no memory to start a command: the feed goes on.
        return False
    return done.returncode == 0 and "is UP" in done.stdout


def _answers(address: str, port: int) -> bool:
    """Tell whether slurmrestd refuses a request without a token, which costs it and slurmctld nothing."""
    connection = http.client.HTTPConnection(address, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/is-alive")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
