"""sbatch's own checks of options against each other, and what it concludes from them.

:func:`complete` does both, in sbatch's order, and leaves a request from which the job description follows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import hosts, tres
from .errors import OptionError, ValueRefusedError
from .numbers import Nodes
from .releases import Release

if TYPE_CHECKING:
    from .request import Request

MULTITHREAD = 0xFFFF  # what sbatch sends as tasks per core for --hint=multithread
_LAYOUT = ("ntasks-per-core", "threads-per-core", "extra-node-info")
_LAYOUT_SINCE_25_11 = ("cores-per-socket", "sockets-per-node")


def complete(request: Request) -> None:
    """Check a request and draw sbatch's conclusions. Raises OptionError."""
    _exclusions(request)
    _tasks_resources(request)
    _cpus_per_gpu(request)
    _arbitrary(request)
    _segment(request)
    _ports(request)
    _hint(request)
    if request.nodelist is not None and request.nodes is None and "{" not in request.nodelist:
        request.nodes = Nodes(len(set(hosts.names(request.nodelist))), 0)
    if request.cpus_per_task is not None and (request.min_cpus_per_node or 0) < request.cpus_per_task:
        request.min_cpus_per_node = request.cpus_per_task
    _plane(request)
    _tasks_and_nodes(request)
    if request.distribution is not None and request.distribution.is_arbitrary and request.ntasks is None:
        request.ntasks = len(hosts.names(request.nodelist or ""))
    if (request.threads_per_core is not None and request.ntasks_per_core is not None
            and request.threads_per_core < request.ntasks_per_core):  # fmt: skip
        raise _error(request, "--ntasks-per-core can not be bigger than --threads-per-core", "ntasks-per-core")
    if request.begin and request.deadline and request.deadline < request.begin:
        raise _error(request, "--deadline is before --begin", "deadline")


def least_nodes(request: Request) -> int:
    """Return sbatch's minimum node count, which is 1 where none was given."""
    return request.nodes.least if request.nodes else 1


def most_nodes(request: Request) -> int:
    """Return sbatch's maximum node count, 0 for none."""
    return request.nodes.most if request.nodes else 0


def _error(request: Request, reason: str, *names: str) -> OptionError:
    given = next((name for name in names if name in request.given), names[0])
    return OptionError(request.place_of(*names), f"--{given}", reason)


def _exclude_each_other(request: Request, *names: str) -> None:
    given = [name for name in names if name in request.given]
    if len(given) > 1:
        listed = " and ".join(f"--{name}" for name in given)
        raise OptionError(request.given[given[-1]], f"--{given[-1]}", f"{listed} exclude each other")


def _exclusions(request: Request) -> None:
    if request.release >= Release.R26_05 and request.gres and "gres/gpu" in request.gres:
        _exclude_each_other(request, "gres", "gpus-per-node")
    gpu, any_tres = request.ntasks_per_gpu, request.ntasks_per_tres
    if gpu is not None and any_tres is not None and gpu != any_tres:
        raise _error(request, "--ntasks-per-gpu and --ntasks-per-tres differ", "ntasks-per-gpu")
    for name in ("ntasks-per-gpu", "ntasks-per-tres"):
        if name in request.given:
            for other in ("tres-per-task", "gpus-per-task", "gpus-per-socket", "ntasks-per-node"):
                _exclude_each_other(request, name, other)
    _exclude_each_other(request, "core-spec", "thread-spec")
    _exclude_each_other(request, "mem", "mem-per-cpu", "mem-per-gpu")
    _exclude_each_other(request, "exclusive", "oversubscribe")


def _tasks_resources(request: Request) -> None:
    """Put --gpus-per-task and --cpus-per-task into --tres-per-task, and take what it has of them out."""
    try:
        request.tres_per_task = tres.per_task(request.tres_per_task)
    except ValueRefusedError as exc:
        raise _error(request, str(exc), "tres-per-task") from exc
    wanted = tres.gpus_of_task(request.gpus_per_task) if request.gpus_per_task else []
    if len(wanted) > 1 and request.release < Release.R25_05:
        raise _error(request, f"sbatch of {request.release} reads only the first type of GPU", "gpus-per-task")
    for name, count in wanted:
        _merge(request, name, count, "gpus-per-task")
    if request.cpus_per_task is not None:
        _merge(request, "cpu", request.cpus_per_task, "cpus-per-task")
    try:
        cpus = tres.cpus_of_task(request.tres_per_task)
    except ValueRefusedError as exc:
        raise _error(request, str(exc), "tres-per-task") from exc
    if cpus is not None:
        request.cpus_per_task = cpus
    request.tres_bind = tres.implied_binding(request.tres_per_task, request.tres_bind)


def _merge(request: Request, name: str, count: int, option: str) -> None:
    if name in (request.tres_per_task or "").lower():
        raise _error(request, f"--tres-per-task={name}= and --{option} exclude each other", option)
    request.tres_per_task = tres.with_count(name, count, request.tres_per_task)


def _cpus_per_gpu(request: Request) -> None:
    _exclude_each_other(request, "cpus-per-task", "cpus-per-gpu")
    if "cpu" in (request.tres_per_task or "").lower():
        _exclude_each_other(request, "tres-per-task", "cpus-per-gpu")


def _arbitrary(request: Request) -> None:
    if request.distribution is None or not request.distribution.is_arbitrary:
        return
    if request.nodes is not None:
        raise _error(request, "--nodes is incompatible with --distribution=arbitrary", "nodes")
    if request.nodelist is None:
        raise _error(request, "an arbitrary distribution needs --nodelist", "distribution")


def _segment(request: Request) -> None:
    if request.release < Release.R26_05 or not request.segment or request.nodes is None:
        return
    size = request.nodes.most if request.nodes.sizes and request.nodes.most else request.nodes.least
    if size > request.segment and size % request.segment:
        raise _error(request, f"{size} nodes are no multiple of the segment's {request.segment}", "segment")


def _ports(request: Request) -> None:
    if request.resv_ports is not None and "STEPMGR_ENABLED" not in request.flags:
        raise _error(request, "it needs --stepmgr: write that too", "resv-ports")


def _hint(request: Request) -> None:
    if request.hint is None:
        return
    layout = _LAYOUT + (_LAYOUT_SINCE_25_11 if request.release >= Release.R25_11 else ())
    if given := [name for name in layout if name in request.given]:
        place = request.place_of("hint")
        request.notice(place, f"--hint: sbatch ignores it beside {', '.join('--' + name for name in given)}")
        request.hint = None
        return
    if dropped := [name for name in _LAYOUT_SINCE_25_11 if name in request.given]:
        listed = ", ".join(f"--{name}" for name in dropped)
        request.notice(request.place_of("hint"), f"sbatch ignores {listed} beside --hint")
        request.sockets_per_node = request.cores_per_socket = None
    for hint in re.split(r"[,;](?![0-9])", request.hint.lower()):
        if hint == "compute_bound":
            request.sockets_per_node, request.cores_per_socket, request.threads_per_core = None, None, 1
        elif hint == "memory_bound":
            request.cores_per_socket, request.threads_per_core = 1, 1
        elif hint == "multithread":
            request.threads_per_core, request.ntasks_per_core = None, MULTITHREAD
        elif hint == "nomultithread":
            request.threads_per_core = 1
        else:
            known = "compute_bound, memory_bound, multithread, nomultithread"
            raise _error(request, f'"{hint}" is none of {known}', "hint")


def _plane(request: Request) -> None:
    if request.distribution is None or request.distribution.plane is None:
        return
    plane, least, tasks = request.distribution.plane, least_nodes(request), request.ntasks or 1
    if (least <= 0 or tasks // plane < least) and (least - 1) * plane >= tasks:
        raise _error(request, f"{tasks} tasks are too few for planes of {plane} on {least} nodes", "distribution")


def _tasks_and_nodes(request: Request) -> None:
    least, most = least_nodes(request), most_nodes(request)
    if ((request.nodes or request.extra_node_info) and most in (least, 0)
            and request.ntasks_per_node is None and request.ntasks is None):  # fmt: skip
        layout = (request.sockets_per_node, request.cores_per_socket, request.threads_per_core)
        if any(number is not None for number in layout):
            request.ntasks = max(least, 1)
            for number in layout:
                request.ntasks *= 1 if number is None else number
    elif request.nodes and request.ntasks is not None:
        if request.ntasks < least:
            request.notice(
                request.place_of("nodes", "nodelist"),
                f"can't run {request.ntasks} tasks on {least} nodes, setting nodes to {request.ntasks}",
            )
            request.nodes = Nodes(request.ntasks, request.ntasks, request.nodes.sizes)
        elif request.ntasks < most:
            request.nodes = Nodes(least, request.ntasks, request.nodes.sizes)
