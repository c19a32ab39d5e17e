"""The environment that sbatch gives a job: SLURM_ variables that srun reads in it, and what --export lets through.

sbatch exports the shell that it runs in. Here that is the environment which the request gives; without one
the job gets its user's login environment, loaded on the node, as --get-user-env has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .request import Request

LOGIN_ENVIRONMENT = "SLURM_GET_USER_ENV"
_TOKEN = "SLURM_JWT"  # noqa: S105 - a variable's name
_KEPT = ("SLURM", "_SLURM_SPANK_OPTION_")


def exported(request: Request, given: Mapping[str, str] | None, submission: Mapping[str, str]) -> dict[str, str]:
    """Return what sbatch would export, by --export.

    Takes the environment of the request, None for none, and the variables that sbatch itself sets about a
    submission. A token never goes into a job.
    """
    shell = {name: value for name, value in (given or {}).items() if name != _TOKEN}
    shell |= dict(submission) | _of_options(request)
    what = (request.export or "ALL").upper()
    load_login = request.get_user_env or given is None
    if what == "ALL":
        environment = shell
    elif what in ("NIL", "NONE"):
        environment = _slurm_only(shell)
        load_login = request.get_user_env or what == "NONE"
    else:
        environment = _selected(request.export or "", shell) | _slurm_only(shell)
        load_login = True
    return environment | ({LOGIN_ENVIRONMENT: "1"} if load_login else {})


def _of_options(request: Request) -> dict[str, str]:
    """Return what sbatch sets in its own environment because of options."""
    variables = {
        "SLURM_JOB_DEPENDENCY": request.dependency,
        "SLURM_CONTAINER": request.container,
        "SLURM_CONTAINER_ID": request.container_id,
        "SLURM_CONTAINER_TYPE": request.container_type,
        "SLURM_HINT": request.hint,
        "SLURM_EXPORT_ENV": request.export if (request.export or "ALL").upper() != "ALL" else None,
    }
    return {name: value for name, value in variables.items() if value is not None}


def _slurm_only(shell: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in shell.items() if name.startswith(_KEPT)}


def _selected(names: str, shell: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a list such as `ALL,A=1,B`."""
    environment: dict[str, str] = {}
    for item in quoted_items(names):
        name, equals, value = item.partition("=")
        if item.upper() == "ALL":
            environment |= shell
        elif equals:
            environment[name] = value
        elif item in shell:
            environment[item] = shell[item]
    return environment


def quoted_items(text: str) -> list[str]:
    """Return what stands between commas outside quotes, without the quotes around a whole item."""
    items: list[str] = []
    start, single, double = 0, False, False
    for position, letter in enumerate(text + ","):
        if letter == "'":
            single = not single
        elif letter == '"':
            double = not double
        elif letter == "," and (position == len(text) or not (single or double)):
            item = text[start:position]
            if len(item) > 1 and item[0] == item[-1] and item[0] in "'\"":
                item = item[1:-1]
            if item:
                items.append(item)
            start = position + 1
    return items


def for_steps(request: Request) -> dict[str, str]:
    """Return the variables by which srun in the job takes over what the job asked for."""
    distribution, binding = request.distribution, request.mem_bind
    memory = ",".join(binding.words)
    variables: dict[str, object | None] = {
        "SLURM_CPUS_PER_TASK": request.cpus_per_task,
        "SLURM_DISTRIBUTION": (distribution.name or None) if distribution else None,
        "SLURM_DIST_PLANESIZE": distribution.plane if distribution else None,
        "SLURM_MEM_BIND": (f"{memory}:{binding.items}" if binding.items else memory) or None,
        "SLURM_MEM_BIND_VERBOSE": ("verbose" if binding.verbose else "quiet") if memory else None,
        "SLURM_MEM_BIND_SORT": "sort" if binding.sort else None,
        "SLURM_NPROCS": request.ntasks,
        "SLURM_NTASKS": request.ntasks,
        "SLURM_NTASKS_PER_CORE": request.ntasks_per_core,
        "SLURM_NTASKS_PER_GPU": request.ntasks_per_gpu if request.ntasks_per_tres is None else None,
        "SLURM_NTASKS_PER_NODE": request.ntasks_per_node,
        "SLURM_NTASKS_PER_SOCKET": request.ntasks_per_socket,
        "SLURM_NTASKS_PER_TRES": request.ntasks_per_tres,
        "SLURM_THREADS_PER_CORE": request.threads_per_core,
        "SLURM_CPUS_PER_GPU": request.cpus_per_gpu or None,
        "SLURM_GPUS": request.gpus,
        "SLURM_GPU_FREQ": request.gpu_frequency,
        "SLURM_GPUS_PER_NODE": request.gpus_per_node,
        "SLURM_GPUS_PER_SOCKET": request.gpus_per_socket,
        "SLURM_MEM_PER_GPU": request.mem_per_gpu,
        "SLURM_TRES_PER_TASK": request.tres_per_task,
        "SLURM_TRES_BIND": request.tres_bind,
    }
    return {name: str(value) for name, value in variables.items() if value is not None}


def for_launchers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that make other launchers (Open MPI, PRRTE, Hydra, Intel MPI) start through srun."""
    wanted = {"OMPI_MCA_plm_slurm_args": "--external-launcher", "PRTE_MCA_plm_slurm_args": "--external-launcher"}
    for bootstrap, extra in (("HYDRA_BOOTSTRAP", "HYDRA_LAUNCHER_EXTRA_ARGS"),
                             ("I_MPI_HYDRA_BOOTSTRAP", "I_MPI_HYDRA_BOOTSTRAP_EXEC_EXTRA_ARGS")):  # fmt: skip
        if environment.get(bootstrap, "slurm") == "slurm":
            wanted |= {bootstrap: "slurm", extra: "--external-launcher"}
    return {name: value for name, value in wanted.items() if name not in environment}
