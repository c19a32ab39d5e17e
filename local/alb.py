"""``python -m local.alb --config FILE``: HAProxy in the place of the Application Load Balancer.

HAProxy is the one of a Slurm release's root file system, run by chroot, so nothing is asked of the host. A
loop looks every 2 s for the targets that are registered in the target group. When they changed, a new
HAProxy takes the port over and the old one ends after its last request: no connection is refused in
between. While the AWS emulator does not answer, the last known targets stay.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local.address import CHECKOUT, LOAD_BALANCER_PORT, LOG_DIRECTORY, RUN_DIRECTORY, address
from local.haproxy import Forward, HealthCheck, LoadBalancer, Refusal, configuration, read_load_balancer
from local.process import Process, wait_until

PROCESS = Process("load-balancer")
CONFIG_FILE = RUN_DIRECTORY / "load-balancer.json"
LOG_FILE = LOG_DIRECTORY / "alb.log"
POLL_INTERVAL = 2.0
START_TIMEOUT = 20.0
STOP_TIMEOUT = 5.0

HAPROXY = Path("usr/sbin/haproxy")
INSIDE = Path("var/lib/slurm-gateway-load-balancer.cfg")
"""HAProxy's program and configuration, within the root file system."""

Targets = Callable[[str], list[tuple[str, int]]]
"""Gives the hosts and ports registered in a target group, by its ARN."""


class LoadBalancerError(Exception):
    """HAProxy is not there, or does not take its configuration; the message holds its own words."""


@dataclass(frozen=True)
class Config:
    """What the load balancer is told: what it is, where it listens, whose targets, and where HAProxy lies."""

    balancer: LoadBalancer
    target_group_arn: str
    root: str
    host: str
    port: int
    log_file: str


def build_config(
    *,
    load_balancer: Mapping[str, Any],
    target_group: Mapping[str, Any],
    target_group_arn: str,
    root: Path,
    listener_rules: Sequence[Mapping[str, Any]] = (),
    host: str = address(),
    port: int = LOAD_BALANCER_PORT,
    log_file: Path = LOG_FILE,
) -> dict[str, Any]:
    """Give the configuration as it is written to the file.

    Takes the resolved properties of the LoadBalancer, the TargetGroup and the ListenerRules, the ARN of the target
    group as deployed, and the root file system that holds HAProxy. Raises UnknownSettingError for what the stand-in
    does not know.
    """
    balancer = read_load_balancer(load_balancer, target_group, listener_rules)
    return asdict(Config(balancer, target_group_arn, str(root), host, port, str(log_file)))


def load_config(path: Path) -> Config:
    """Read the file that holds what :func:`build_config` gave."""
    read = json.loads(path.read_text())
    balancer = read.pop("balancer")
    check = HealthCheck(**balancer.pop("health_check"))
    refusals = tuple(Refusal(**{**rule, "conditions": tuple(rule["conditions"])}) for rule in balancer.pop("refusals"))
    forwards = tuple(Forward(**{**rule, "conditions": tuple(rule["conditions"])}) for rule in balancer.pop("forwards"))
    made = LoadBalancer(**balancer, health_check=check, refusals=refusals, forwards=forwards)
    return Config(balancer=made, **read)


def start(config: dict[str, Any]) -> None:
    """Start the load balancer in the background and wait until it listens.

    One that runs with the same configuration is left alone, one with another is restarted. Raises
    ProcessError.
    """
    text = json.dumps(config, indent=1, sort_keys=True)
    if PROCESS.is_running() and is_answering() and CONFIG_FILE.exists() and CONFIG_FILE.read_text() == text:
        return
    PROCESS.stop()
    RUN_DIRECTORY.mkdir(parents=True, exist_ok=True)
    CONFIG_FILE.write_text(text)
    PROCESS.start([sys.executable, "-m", "local.alb", "--config", CONFIG_FILE], cwd=CHECKOUT)
    wait_until(is_answering, "the load balancer to listen", START_TIMEOUT, process=PROCESS)


def stop() -> bool:
    """Stop the load balancer; False where none ran."""
    return PROCESS.stop()


def is_answering() -> bool:
    """Tell whether something accepts connections at the load balancer's port."""
    try:
        with socket.create_connection((address(), LOAD_BALANCER_PORT), timeout=1.0):
            return True
    except OSError:
        return False


class Supervisor:
    """Keeps one HAProxy running with the targets of the moment. Takes what gives a group's targets."""

    def __init__(self, config: Config, targets: Targets) -> None:
        self._config = config
        self._targets = targets
        self._root = Path(config.root)
        self._current: subprocess.Popen[bytes] | None = None
        self._leaving: list[subprocess.Popen[bytes]] = []
        self._serving: dict[str, list[tuple[str, int]]] | None = None

    def step(self) -> None:
        """Look once: start HAProxy, replace it when the targets changed or when it died.

        Raises LoadBalancerError when HAProxy cannot be started.
        """
        self._leaving = [process for process in self._leaving if process.poll() is None]
        wanted = self._wanted()
        dead = self._current is None or self._current.poll() is not None
        if dead or wanted != self._serving:
            self._replace(wanted)

    def stop(self) -> None:
        """End every HAProxy that this supervisor started, without waiting for their requests."""
        processes = [*self._leaving, *([self._current] if self._current else [])]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wanted(self) -> dict[str, list[tuple[str, int]]]:
        balancer = self._config.balancer
        groups = [self._config.target_group_arn, *(forward.target_group_arn for forward in balancer.forwards)]
        try:
            return {group: sorted(set(self._targets(group))) for group in groups}
        except Exception as exc:  # noqa: BLE001 - whatever it is, the last known targets go on serving
            print(f"targets unknown, keeping the last ones: {type(exc).__name__}", file=sys.stderr, flush=True)
            return self._serving or {}

    def _replace(self, groups: dict[str, list[tuple[str, int]]]) -> None:
        config = self._config
        program = self._root / HAPROXY
        if not program.exists():
            raise LoadBalancerError(f"{program} is missing: the root file system has no haproxy package")
        targets = groups.get(config.target_group_arn, [])
        text = configuration(config.balancer, config.host, config.port, targets, groups)
        (self._root / INSIDE).write_text(text)
        argv = ["chroot", config.root, f"/{HAPROXY}", "-db", "-f", f"/{INSIDE}"]
        checked = subprocess.run([*argv, "-c"], capture_output=True, text=True, check=False)
        if checked.returncode:
            raise LoadBalancerError(f"HAProxy refuses its configuration:\n{checked.stderr}")
        if self._current is None or self._current.poll() is not None:
            self._require_free_port()
        else:
            argv += ["-sf", str(self._current.pid)]
            self._leaving.append(self._current)
        Path(config.log_file).parent.mkdir(parents=True, exist_ok=True)
        with Path(config.log_file).open("ab") as log:
            self._current = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log)
        self._serving = groups
        served = ", ".join(f"{host}:{port}" for host, port in targets) or "none"
        print(f"targets: {served}", file=sys.stderr, flush=True)

    def _require_free_port(self) -> None:
        """HAProxies share a port (SO_REUSEPORT): a stranger's would silently take half of the requests."""
        host, port = self._config.host, self._config.port
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as exc:
                raise LoadBalancerError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc


def main() -> int:
    """Run the command until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local.alb")
    parser.add_argument("--config", type=Path, required=True, help="JSON file made by local.alb.build_config")
    config = load_config(parser.parse_args().config)
    from local import stacks

    supervisor = Supervisor(config, stacks.targets)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        while not stopping.is_set():
            supervisor.step()
            stopping.wait(POLL_INTERVAL)
    except LoadBalancerError as exc:
        print(f"load balancer: {exc}", file=sys.stderr)
        return 1
    finally:
        supervisor.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
