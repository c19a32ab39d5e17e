"""What a job's options ask for, before it becomes a job description.

The attributes are what sbatch itself keeps of its options; the functions of an option (options.py) set them.
None, zero or empty means that nothing was asked for, as in sbatch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import REQUEST
from .memory_binding import MemoryBinding
from .moments import Clock

if TYPE_CHECKING:
    from .distribution import Distribution
    from .errors import Place
    from .numbers import Nodes
    from .releases import Release
    from .signals import WarningSignal


@dataclass
class Request:
    """What one component of a job asks for.

    `given` holds each option that was given, by its long name, with the place where it was given last.
    `notices` are sentences about what sbatch reads otherwise than it looks.
    """

    release: Release
    working_directory: str
    clock: Clock = field(default_factory=Clock)
    cluster: str | None = None
    given: dict[str, Place] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    """Job flags, by the names that the REST API has for them."""

    account: str | None = None
    accounting_frequency: str | None = None
    array: str | None = None
    batch_features: str | None = None
    begin: int | None = None
    burst_buffer: str | None = None
    chdir: str | None = None
    cluster_constraint: str | None = None
    clusters: str | None = None
    comment: str | None = None
    constraint: str | None = None
    container: str | None = None
    container_id: str | None = None
    container_type: str | None = None
    context: str | None = None
    contiguous: bool = False
    core_spec: int | None = None
    thread_spec: int | None = None
    cores_per_socket: int | None = None
    cpu_frequency: str | None = None
    cpus_per_gpu: int = 0
    cpus_per_task: int | None = None
    deadline: int | None = None
    delay_boot: int | None = None
    dependency: str | None = None
    distribution: Distribution | None = None
    error: str | None = None
    exclude: str | None = None
    export: str | None = None
    extra: str | None = None
    extra_node_info: bool = False
    get_user_env: bool = False
    gpu_frequency: str | None = None
    gpus: str | None = None
    gpus_per_node: str | None = None
    gpus_per_socket: str | None = None
    gpus_per_task: str | None = None
    gres: str | None = None
    hint: str | None = None
    hold: bool = False
    ignore_pbs: bool = False
    input: str | None = None
    licenses: str | None = None
    mail_types: list[str] = field(default_factory=list)
    mail_user: str | None = None
    mcs_label: str | None = None
    mem: int | None = None
    mem_bind: MemoryBinding = field(default_factory=MemoryBinding)
    mem_per_cpu: int | None = None
    mem_per_gpu: int | None = None
    mem_update: tuple[int, int] | None = None
    min_cpus_per_node: int | None = None
    name: str | None = None
    network: str | None = None
    nice: int | None = None
    no_kill: bool = False
    nodelist: str | None = None
    nodes: Nodes | None = None
    ntasks: int | None = None
    ntasks_per_core: int | None = None
    ntasks_per_gpu: int | None = None
    ntasks_per_node: int | None = None
    ntasks_per_socket: int | None = None
    ntasks_per_tres: int | None = None
    oom_kill_step: int | None = None
    open_mode: str | None = None
    output: str | None = None
    overcommit: bool = False
    partition: str | None = None
    prefer: str | None = None
    priority: int = 0
    profile: list[str] = field(default_factory=list)
    qos: str | None = None
    reboot: bool = False
    requeue: bool | None = None
    reservation: str | None = None
    resources: str | None = None
    resv_ports: int | None = None
    segment: int = 0
    shared: str | None = None
    sockets_per_node: int | None = None
    switches: int | None = None
    switch_wait: int | None = None
    threads_per_core: int | None = None
    time: int | None = None
    time_min: int | None = None
    tmp: int | None = None
    tres_bind: str | None = None
    tres_per_task: str | None = None
    wait_all_nodes: int | None = None
    warning: WarningSignal | None = None
    wckey: str | None = None

    def place_of(self, *names: str) -> Place:
        """Return the place where the first of these options that was given stands."""
        return next((self.given[name] for name in names if name in self.given), REQUEST)

    def notice(self, place: Place, sentence: str) -> None:
        """Tell the submitter something that sbatch would not."""
        self.notices.append(f"{place}: {sentence}")
