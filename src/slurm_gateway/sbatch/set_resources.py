"""Setters of options that say what a job runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import distribution, durations, frequencies, memory_binding, numbers, tres
from .errors import ValueNotCarriedError, ValueRefusedError
from .releases import Release

if TYPE_CHECKING:
    from .request import Request

_GRES_FLAGS = {
    "disable-binding": "GRES_BINDING_DISABLED",
    "enforce-binding": "GRES_BINDING_ENFORCED",
    "multiple-tasks-per-sharing": "GRES_MULTIPLE_TASKS_PER_SHARING",
}


def core_spec(request: Request, value: str | None) -> None:
    """--core-spec; the other of the two is forgotten, as they are one field."""
    request.core_spec, request.thread_spec = numbers.count(value or "", least=0), None
    if request.core_spec == 0:
        raise ValueNotCarriedError("slurmrestd takes 1 or more")


def thread_spec(request: Request, value: str | None) -> None:
    """--thread-spec."""
    request.core_spec, request.thread_spec = None, numbers.count(value or "")


def cpu_frequency(request: Request, value: str | None) -> None:
    """--cpu-freq."""
    frequencies.check(value or "")
    request.cpu_frequency = value


def set_distribution(request: Request, value: str | None) -> None:
    """--distribution."""
    request.distribution = distribution.read(value or "")


def exclusive(request: Request, value: str | None) -> None:
    """--exclusive[={user|mcs|topo}]."""
    known = {"exclusive": "none", "oversubscribe": "oversubscribe", "user": "user", "mcs": "mcs", "topo": "topo"}
    if request.release >= Release.R26_05:
        known["allocation"] = "none"
    kind = (value or "exclusive").lower()
    if kind not in known:
        raise ValueRefusedError(f'"{value}" is none of user, mcs, topo')
    request.shared = known[kind]


def oversubscribe(request: Request, value: str | None) -> None:  # noqa: ARG001 - a setter
    """--oversubscribe."""
    request.shared = "oversubscribe"


def extra_node_info(request: Request, value: str | None) -> None:
    """--extra-node-info=SOCKETS[:CORES[:THREADS]], each a count, a range's minimum or *."""
    parts = (value or "").split(":")
    if len(parts) > 3:
        raise ValueRefusedError(f'"{value}" has more than sockets, cores and threads')
    counts = [_least(part) for part in parts] + [None, None]
    request.sockets_per_node, request.cores_per_socket, request.threads_per_core = counts[:3]
    request.extra_node_info = True


def _least(part: str) -> int | None:
    if part in ("", "*"):
        return None
    number, rest = numbers.leading(part)
    if number is None or number < 0 or (rest and not rest.startswith("-")):
        raise ValueRefusedError(f'"{part}" is no count')
    return number


def gpu_bind(request: Request, value: str | None) -> None:
    """--gpu-bind is --tres-bind for GPUs."""
    request.tres_bind = tres.gpu_binding(value or "")


def gpu_frequency(request: Request, value: str | None) -> None:
    """--gpu-freq."""
    tres.gpu_frequency(value or "")
    request.gpu_frequency = value


def gres(request: Request, value: str | None) -> None:
    """--gres."""
    request.gres = tres.gres(value or "")


def gres_flags(request: Request, value: str | None) -> None:
    """--gres-flags: what was given before is forgotten."""
    request.flags -= {"GRES_BINDING_DISABLED", "GRES_BINDING_ENFORCED"}
    for part in (value or "").split(","):
        if part.lower() == "one-task-per-sharing":
            raise ValueNotCarriedError(
                "sbatch allows one-task-per-sharing only where SelectTypeParameters has MULTIPLE_SHARING_GRES_PJ, "
                "which the REST API does not tell"
            )
        if part.lower() not in _GRES_FLAGS:
            raise ValueRefusedError(f'"{part}" is none of {", ".join(_GRES_FLAGS)}')
        request.flags.add(_GRES_FLAGS[part.lower()])
    if {"GRES_BINDING_DISABLED", "GRES_BINDING_ENFORCED"} <= request.flags:
        raise ValueRefusedError("disable-binding and enforce-binding exclude each other")


def mem_bind(request: Request, value: str | None) -> None:
    """--mem-bind."""
    request.mem_bind = memory_binding.read(value or "", request.mem_bind, sorting=request.release <= Release.R25_05)


def mem_update(request: Request, value: str | None) -> None:
    """--mem-update=MARGIN@DELAY."""
    margin, at, delay = (value or "").partition("@")
    percent, rest = numbers.leading(margin)
    wait = durations.minutes(delay) if at else 0
    if rest or not percent or not 0 < percent <= 0xFFFF or not 0 < wait <= 0xFFFF:
        raise ValueRefusedError(f'"{value}" is no MARGIN@DELAY')
    request.mem_update = (percent, wait)


def nodes(request: Request, value: str | None) -> None:
    """--nodes."""
    request.nodes = numbers.nodes(value or "")


def resv_ports(request: Request, value: str | None) -> None:
    """--resv-ports[=COUNT]."""
    request.resv_ports = 0 if value is None else numbers.count(value, least=0)


def segment(request: Request, value: str | None) -> None:
    """--segment=SIZE."""
    request.segment = numbers.sixteen_bits(value or "")


def switches(request: Request, value: str | None) -> None:
    """--switches=COUNT[@TIME]."""
    number, at, wait = (value or "").partition("@")
    request.switches = numbers.count(number)
    if at:
        request.switch_wait = durations.seconds(wait)
