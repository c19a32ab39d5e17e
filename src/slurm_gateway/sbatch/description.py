"""A request becomes a job description, in the REST API's words.

What API versions say differently is put right afterwards (api_versions.py). A field that is left out has
Slurm's default.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from . import durations, hosts, tres
from .checks import least_nodes, most_nodes

if TYPE_CHECKING:
    from .request import Request

Description = dict[str, Any]

UNSET_16 = 0xFFFE
"""Slurm's own sign for nothing, in a field of 16 bits. slurmrestd takes a missing oom_kill_step for 0, which is off."""


def number(value: int) -> dict[str, Any]:
    """Return a number in the form that tells it from unset and infinite."""
    return {"set": True, "infinite": False, "number": value}


def minutes(value: int) -> dict[str, Any]:
    """Return a time limit in that form."""
    if value == durations.UNLIMITED:
        return {"set": True, "infinite": True, "number": 0}
    return number(value)


def describe(request: Request, *, default_name: str) -> Description:
    """Return the job description of a completed request, without script, environment and arguments."""
    directory = request.chdir or request.working_directory
    fields: Description = {
        "name": default_name if request.name is None else request.name,
        "current_working_directory": directory,
        "standard_input": posixpath.join(directory, request.input or "/dev/null"),
        "standard_output": posixpath.join(directory, request.output) if request.output else None,
        "standard_error": posixpath.join(directory, request.error) if request.error else None,
        "open_mode": [request.open_mode] if request.open_mode else None,
        "flags": sorted(_flags(request)) or None,
        **_plain(request),
        **_scheduling(request),
        **_size(request),
        **_layout(request),
        **_resources(request),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _plain(request: Request) -> Description:
    """Return what goes through as it was written."""
    licenses = [part for part in (request.licenses, request.resources) if part]
    return {
        "account": request.account,
        "account_gather_frequency": request.accounting_frequency,
        "array": request.array,
        "batch_features": request.batch_features,
        "burst_buffer": request.burst_buffer,
        "cluster_constraint": request.cluster_constraint,
        "comment": request.comment,
        "constraints": request.constraint,
        "container": request.container,
        "container_id": request.container_id,
        "container_type": request.container_type,
        "cpu_frequency": request.cpu_frequency,
        "dependency": request.dependency,
        "excluded_nodes": hosts.items(request.exclude) if request.exclude else None,
        "extra": request.extra,
        "licenses": ",".join(licenses) if licenses else None,
        "mail_type": request.mail_types or None,
        "mail_user": request.mail_user,
        "mcs_label": request.mcs_label,
        "network": request.network,
        "partition": request.partition,
        "prefer": request.prefer,
        "profile": request.profile or None,
        "qos": request.qos,
        "required_nodes": hosts.items(request.nodelist) if request.nodelist else None,
        "reservation": request.reservation,
        "selinux_context": request.context,
        "wckey": request.wckey,
    }


def _flags(request: Request) -> set[str]:
    flags = set(request.flags)
    if request.ntasks is not None:
        flags.add("EXACT_TASK_COUNT_REQUESTED")
    if request.cpus_per_task is not None:
        flags.add("EXACT_CPU_COUNT_REQUESTED")
    return flags


def _scheduling(request: Request) -> Description:
    fields: Description = {
        "begin_time": number(request.begin) if request.begin else None,
        "deadline": request.deadline,
        "delay_boot": request.delay_boot & 0xFFFFFFFF if request.delay_boot is not None else None,
        "hold": True if request.hold else None,
        "priority": number(request.priority) if request.priority and not request.hold else None,
        "nice": request.nice,
        "kill_on_node_fail": False if request.no_kill else None,
        "requeue": request.requeue,
        "reboot": True if request.reboot else None,
        "wait_all_nodes": bool(request.wait_all_nodes) if request.wait_all_nodes is not None else None,
        "oom_kill_step": UNSET_16 if request.oom_kill_step is None else request.oom_kill_step,
        "required_switches": number(request.switches) if request.switches is not None else None,
        "wait_for_switch": request.switch_wait if (request.switch_wait or -1) >= 0 else None,
        "resv_mpi_ports": request.resv_ports,
        "segment_size": number(request.segment) if request.segment else None,
        "time_limit": minutes(request.time) if request.time is not None else None,
        "time_minimum": minutes(request.time_min) if request.time_min is not None else None,
    }
    if warning := request.warning:
        flags = [name for name, on in (("BATCH_JOB", warning.to_batch_shell),
                                       ("RESERVATION_JOB", warning.in_reservation)) if on]  # fmt: skip
        fields |= {
            "kill_warning_signal": warning.signal,
            "kill_warning_delay": number(warning.delay),
            "kill_warning_flags": flags or None,
        }
    return fields


def _size(request: Request) -> Description:
    """Return how many nodes, tasks and CPUs."""
    least, most = least_nodes(request), most_nodes(request)
    tasks, per_node = request.ntasks, request.ntasks_per_node
    fields: Description = {
        "tasks": tasks,
        "tasks_per_node": per_node,
        "tasks_per_core": request.ntasks_per_core,
        "tasks_per_socket": request.ntasks_per_socket,
        "ntasks_per_tres": request.ntasks_per_tres if request.ntasks_per_tres is not None else request.ntasks_per_gpu,
        "cpus_per_task": request.cpus_per_task,
        "minimum_cpus_per_node": request.min_cpus_per_node,
        "overcommit": True if request.overcommit else None,
    }
    if request.nodes:
        fields |= {
            "nodes": request.nodes.sizes if most else None,
            "minimum_nodes": least,
            "maximum_nodes": most or None,
        }
    elif tasks is not None and per_node is not None:
        fields["minimum_nodes"] = -(-tasks // per_node)
    assumed = _assumed_tasks(request)
    if request.overcommit:
        fields["minimum_cpus"] = max(least, 1)
    elif request.cpus_per_task is not None:
        fields["minimum_cpus"] = assumed * request.cpus_per_task
    else:
        fields["minimum_cpus"] = 0 if request.nodes and least == 0 else assumed
    return fields


def _assumed_tasks(request: Request) -> int:
    """Return the number of tasks that sbatch computes with where none was given: one a node."""
    if request.ntasks is not None:
        return request.ntasks
    least, most = least_nodes(request), most_nodes(request)
    if most not in (least, 0):
        return 1
    if request.ntasks_per_node:
        return least * request.ntasks_per_node
    return max(least, 1) if request.nodes or request.extra_node_info else 1


def _layout(request: Request) -> Description:
    """Return where tasks go on nodes."""
    binding = request.mem_bind
    return {
        "contiguous": True if request.contiguous else None,
        "core_specification": request.core_spec,
        "thread_specification": request.thread_spec,
        "sockets_per_node": request.sockets_per_node,
        "cores_per_socket": request.cores_per_socket,
        "threads_per_core": request.threads_per_core,
        "distribution": request.distribution.text if request.distribution else None,
        "memory_binding": binding.items,
        "memory_binding_type": binding.type_names or None,
        "shared": [request.shared] if request.shared else None,
    }


def _resources(request: Request) -> Description:
    """Return memory, disk and trackable resources."""
    per_node = [tres.gpus(request.gpus_per_node)] if request.gpus_per_node else []
    per_node += [request.gres] if request.gres else []
    per_cpu = request.mem_per_cpu if request.mem is None else None
    margin, delay = request.mem_update or (None, None)
    return {
        "memory_per_node": number(request.mem) if request.mem is not None else None,
        "memory_per_cpu": number(per_cpu) if per_cpu is not None else None,
        "memory_per_tres": f"gres/gpu:{request.mem_per_gpu}" if request.mem_per_gpu is not None else None,
        "memory_update_margin": margin,
        "memory_update_delay": delay,
        "temporary_disk_per_node": request.tmp,
        "cpus_per_tres": f"gres/gpu:{request.cpus_per_gpu}" if request.cpus_per_gpu else None,
        "tres_per_job": tres.gpus(request.gpus) if request.gpus else None,
        "tres_per_node": ",".join(per_node) if per_node else None,
        "tres_per_socket": tres.gpus(request.gpus_per_socket) if request.gpus_per_socket else None,
        "tres_per_task": request.tres_per_task,
        "tres_bind": request.tres_bind,
        "tres_freq": f"gpu:{request.gpu_frequency}" if request.gpu_frequency else None,
    }
