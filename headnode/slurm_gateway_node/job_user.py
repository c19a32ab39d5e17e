"""Children that act on files as a job's user.

A child is another program, started by fork and exec with the user's numbers and groups set in between: of the service
it has neither memory, nor environment, nor an open file, nor a capability.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).parent


class UnknownUserError(Exception):
    """There is no such user on this head node, or it is one that nothing is done as."""


@dataclass(frozen=True)
class JobUser:
    """A user of the cluster, with the numbers of its group and of all its groups."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def find(name: str) -> JobUser:
    """Return a user by name; UnknownUserError, also for root: a child of root's would be no less than the service."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError) as exc:
        raise UnknownUserError(f"there is no user {name!r} on this head node") from exc
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise UnknownUserError(f"nothing is read or written as {name}")
    return JobUser(name, entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid)))


def start(user: JobUser, program: str) -> subprocess.Popen[bytes]:
    """Start one of this package's programs, such as "read_child", as a user, with pipes to it; OSError."""
    return subprocess.Popen(
        # -I and -S: neither the environment nor a user's own files say what it runs.
        [sys.executable, "-I", "-S", "-B", str(_PACKAGE / f"{program}.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # What it has to say it says in frames.
        stderr=subprocess.DEVNULL,
        bufsize=0,
        close_fds=True,
        cwd="/",
        env={"LC_ALL": "C.UTF-8"},
        start_new_session=True,
        umask=0o077,
        user=user.uid,
        group=user.gid,
        extra_groups=user.groups,
    )


def end(child: subprocess.Popen[bytes]) -> int:
    """Close the pipes, kill the child if it goes on, and return its status; one that hangs in the kernel is left."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None and not pipe.closed:
            pipe.close()
    try:
        return child.wait(timeout=1)
    except subprocess.TimeoutExpired:
        child.kill()
    try:
        return child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return -9
