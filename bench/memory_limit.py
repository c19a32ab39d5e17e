"""A daemon's memory limit, kept by this machine where the head node's own systemd cannot.

The local head node has no memory controller, so that MemoryMax of slurmrestd's unit is only written there. Here the
kernel keeps the same limit, by the same means: it ends the process that passes it, and systemd starts it anew.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOT = Path("/sys/fs/cgroup/memory")
_LOOK = 0.05


class MemoryLimit:
    """While it lasts, a process and its successors live within a limit such as "2G". Takes what gives the process id.

    Needs the memory controller of cgroups of version 1; raises FileNotFoundError where there is none.
    """

    def __init__(self, size: str, pid: Callable[[], int]) -> None:
        self._size = size
        self._pid = pid
        self._group = _ROOT / f"slurm-gateway-{os.getpid()}-{id(self)}"
        self._over = threading.Event()
        self._follow = threading.Thread(target=self._following)
        self._moved = 0

    def __enter__(self) -> Self:
        self._group.mkdir()
        (self._group / "memory.limit_in_bytes").write_text(self._size)
        self._follow.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._follow.join()
        for pid in (self._group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (_ROOT / "cgroup.procs").write_text(pid)
        self._group.rmdir()

    def kills(self) -> int:
        """Give how often the kernel ended the process."""
        found = re.search(r"^oom_kill (\d+)", (self._group / "memory.oom_control").read_text(), re.MULTILINE)
        # Kernels that do not count: each process but the first came after one that was ended.
        return int(found[1]) if found else max(0, self._moved - 1)

    def peak(self) -> int:
        """Give the most bytes that were in use at once."""
        return int((self._group / "memory.max_usage_in_bytes").read_text())

    def _following(self) -> None:
        last = 0
        while not self._over.wait(_LOOK):
            pid = self._pid()
            if pid not in (0, last):
                with contextlib.suppress(ProcessLookupError):
                    (self._group / "cgroup.procs").write_text(str(pid))
                    last = pid
                    self._moved += 1
