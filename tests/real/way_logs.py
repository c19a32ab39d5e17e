"""What the load balancer and slurmrestd have logged since a moment: which requests came how far."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from local import cluster
from tests.real.conftest import NATIVE_VERSION, ROOT, Stack, wait_for

_BALANCED = re.compile(r'^\S+ (\S+) "(.*)" \d+ -?\d+ \S+$')
_ROUTED = re.compile(r"operations_router: \[.*\] ([A-Z]+) (.*)$")
_HEALTH_CHECK = "GET /is-alive"
_LOAD_BALANCER_LOG = ROOT / ".local/log/alb.log"


@dataclass(frozen=True)
class Passed:
    """Requests as `METHOD PATH`: those that reached the load balancer, and those that reached slurmrestd."""

    balanced: list[str]
    routed: list[str]


class WayLogs:
    """Begins now; :meth:`passed` tells what came since."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._offset = _LOAD_BALANCER_LOG.stat().st_size
        self._cursor = _journal("-n", "0", "--show-cursor").rpartition("-- cursor: ")[2].strip()

    def passed(self) -> Passed:
        """Tell what came, once a request of our own shows that both logs have caught up; that one is left out."""
        marker = f"/slurm/{NATIVE_VERSION}/node/{uuid.uuid4().hex}"
        self._stack.http.get(self._stack.api + marker, headers=self._stack.headers("alice"))
        wait_for(lambda: any(marker in line for line in self._balanced()), "the load balancer's log")
        wait_for(lambda: any(marker in line for line in self._routed()), "slurmrestd's journal")
        return Passed(
            [line for line in self._balanced() if marker not in line],
            # The load balancer's own check, which comes from no client: a client's would stand in the other log.
            [line for line in self._routed() if marker not in line and line != _HEALTH_CHECK],
        )

    def _balanced(self) -> list[str]:
        with _LOAD_BALANCER_LOG.open(encoding="utf-8", errors="backslashreplace") as log:
            log.seek(self._offset)
            return [f"{found[1]} {found[2]}" for line in log if (found := _BALANCED.match(line))]

    def _routed(self) -> list[str]:
        lines = _journal("--after-cursor", self._cursor).splitlines()
        return [f"{found[1]} {found[2]}" for line in lines if (found := _ROUTED.search(line))]


def _journal(*arguments: str) -> str:
    done = cluster.run(["journalctl", "--unit=slurmrestd", "--no-pager", "--output=cat", *arguments])
    assert done.returncode == 0, done.stderr
    return str(done.stdout)
