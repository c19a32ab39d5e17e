"""What a child gives up before it begins.

Its user may trace it and have it do anything, and its memory and processes count as the service's own: without limits
it could keep the service from starting another child, for anybody.
"""

from __future__ import annotations

import resource

MEMORY = 256 * 1024 * 1024
"""Bytes of addresses: some twenty times what a child needs."""


def confine() -> None:
    """Let this process start no other one, write no core, and take so much memory and no more, for good."""
    for limit, value in ((resource.RLIMIT_NPROC, 0), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, MEMORY)):
        resource.setrlimit(limit, (value, value))
