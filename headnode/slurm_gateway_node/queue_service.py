"""Shows Slurm's queue over a Unix socket: python -m slurm_gateway_node.queue_service, run as SlurmUser.

A request is one line of JSON, the answer a line of JSON with the command's exit status and then what it printed:

    {"ask": "states"}                               every job's id, state and number
    {"ask": "jobs", "numbers": [12, 13]}            those jobs in full, as JSON
    {"ask": "accounts", "numbers": [12, 13]}        what slurmdbd knows of how they ended

Whoever may open the socket may ask; its directory is the feed's group's alone. Users write nothing of what is printed
by "states" and "accounts", so their lines can be trusted; what they wrote comes as JSON only.
"""

from __future__ import annotations

import json
import logging
import os
import socketserver
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import logs
from .settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET = Path("/run/slurm-gateway-queue/socket")
MOST_NUMBERS = 1000
_LONGEST_REQUEST = 20 * MOST_NUMBERS
# Where slurmctld is away squeue tries again for a minute, and more and more seldom: it would be back long before it is
# seen. What costs it next to nothing is asked anew instead.
_TIMEOUTS = {"states": 10.0, "jobs": 60.0, "accounts": 60.0}
_ACCOUNTS = "JobID,JobIDRaw,User,State,ExitCode,Submit,Start,End,NNodes,NCPUS,NodeList"
# Times in Unix seconds, and lists of an array's tasks whole.
_ENVIRONMENT = {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}

_logger = logging.getLogger(__name__)


class RequestError(ValueError):
    """A request asks for what there is not; the message says what."""


def command(settings: Settings, request: Mapping[str, Any]) -> list[str]:
    """Return the command line for a request; raise RequestError where it is none of the three."""
    asked = request.get("ask")
    if asked == "states":
        # The one query that costs slurmctld next to nothing, at 20,000 jobs too. 26.05 takes no --all beside it, nor is
        # one needed: it tells of jobs in hidden partitions too.
        return [
            settings.command("squeue"), "--noheader", "--states=all", "--only-job-state", "--format=%i|%T|%A",
        ]  # fmt: skip
    numbers = request.get("numbers")
    if not isinstance(numbers, list) or not 0 < len(numbers) <= MOST_NUMBERS:
        raise RequestError(f"numbers should be a list of 1 to {MOST_NUMBERS} jobs' numbers")
    if not all(isinstance(number, int) and 0 < number <= 0xFFFFFFFF for number in numbers):
        raise RequestError("a job's number is a whole number above 0")
    jobs = ",".join(map(str, numbers))
    if asked == "jobs":
        return [settings.command("squeue"), "--states=all", "--all", f"--jobs={jobs}", "--json"]
    if asked == "accounts":
        return [
            settings.command("sacct"), "--noheader", "--parsable2", "--allocations", "--allusers", "--duplicates",
            "--array", f"--jobs={jobs}", f"--format={_ACCOUNTS}",
        ]  # fmt: skip
    raise RequestError("ask should be states, jobs or accounts")


class _Handler(socketserver.StreamRequestHandler):
    """Answers one request."""

    timeout = 10

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, QueueServer)  # noqa: S101 - for the reader and mypy
        try:
            request = json.loads(self.rfile.readline(_LONGEST_REQUEST))
            argv = command(server.settings, request if isinstance(request, dict) else {})
            timeout = _TIMEOUTS[request["ask"]]
        except ValueError as exc:
            self._answer(64, str(exc).encode())
            return
        try:
            done = subprocess.run(
                argv, env={**os.environ, **_ENVIRONMENT}, stdin=subprocess.DEVNULL, capture_output=True,
                timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            self._answer(75, f"{Path(argv[0]).name} took longer than {timeout:.0f} s".encode())
            return
        self._answer(done.returncode, done.stdout if done.returncode == 0 else done.stderr)

    def _answer(self, status: int, printed: bytes) -> None:
        self.wfile.write(json.dumps({"status": status}).encode() + b"\n" + printed)


class QueueServer(socketserver.ThreadingUnixStreamServer):
    """The socket. A request holds a thread while its command runs."""

    daemon_threads = True

    def __init__(self, path: Path, settings: Settings) -> None:
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Handler)
        self.settings = settings

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - socketserver's own
        """Say in one line what went wrong with a connection, such as that the feed was ended in the middle of one."""
        _logger.warning("a request ended early: %r", sys.exc_info()[1])


def main() -> int:
    """Serve until SIGTERM; return the exit status."""
    logs.configure()
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as exc:
        _logger.error("%s", exc)
        return 1
    with QueueServer(SOCKET, settings) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
