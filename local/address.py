"""The loopback address that belongs to this checkout, and the ports of everything that listens on it.

Linux routes all of 127.0.0.0/8 to the loopback interface, so every checkout takes an address of its own and
keeps the same ports: two checkouts live beside each other on one machine, and nothing is reachable from
outside.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
"""The root directory of this checkout, with symbolic links resolved."""

STATE_DIRECTORY = CHECKOUT / ".local"
RUN_DIRECTORY = STATE_DIRECTORY / "run"
LOG_DIRECTORY = STATE_DIRECTORY / "log"

GATEWAY_PORT = 18080
LOAD_BALANCER_PORT = 18081
AWS_EMULATOR_PORT = 14566
SLURMCTLD_PORT = 6817
SLURMDBD_PORT = 6819
SLURMRESTD_PORT = 6830
LISTS_PORT = SLURMRESTD_PORT + 1
SLURMD_PORTS = (17001, 17002, 17003, 17004)


def address(checkout: Path = CHECKOUT) -> str:
    """Give the IPv4 loopback address ``127.A.B.1`` that belongs to a checkout.

    Takes the checkout's root directory. The same directory always gives the same address; two directories
    share one with a probability of 1 in 58,750. A is 16 to 250 and B 1 to 250, which keeps clear of
    127.0.0.1, Debian's 127.0.1.1 and systemd-resolved's 127.0.0.53.
    """
    digest = hashlib.sha256(str(checkout.resolve()).encode()).digest()
    second = 16 + int.from_bytes(digest[:4], "big") % 235
    third = 1 + int.from_bytes(digest[4:8], "big") % 250
    return f"127.{second}.{third}.1"


def url(port: int) -> str:
    """Give the base URL (no slash at its end) of what listens on ``port`` of this checkout's address."""
    return f"http://{address()}:{port}"
