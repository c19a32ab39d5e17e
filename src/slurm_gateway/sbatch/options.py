"""Every option of sbatch, and what becomes of it here.

An option is either carried (`sets`, and `fields` names what it may change in the job description), or taken
without effect on the job (`fields` is empty, `says` why), or refused (`refused` says why). The generated
docs/sbatch-options.md is this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from . import set_job as j
from . import set_resources as r
from . import setters as s
from .releases import Release

if TYPE_CHECKING:
    from .setters import Setter


class Argument(Enum):
    """Whether an option takes an argument."""

    NONE = "none"
    REQUIRED = "required"
    OPTIONAL = "optional"


NONE, REQUIRED, OPTIONAL = Argument.NONE, Argument.REQUIRED, Argument.OPTIONAL


@dataclass(frozen=True)
class Option:
    """An option of sbatch.

    `keeps` names the request's attributes that it sets, `flags` the job flags. With `per_component` each
    component of a heterogeneous job starts without it; others hold for the components that follow. `same_as`
    is the name that sbatch keeps it under. `since` and `until` are the releases that have it.
    """

    name: str
    letter: str = ""
    argument: Argument = REQUIRED
    sets: Setter = s.nothing
    fields: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    per_component: bool = False
    since: Release = Release.R24_05
    until: Release = Release.R26_05
    same_as: str = ""
    says: str = ""
    refused: str = ""

    @property
    def key(self) -> str:
        """The name that two spellings of one option share."""
        return self.same_as or self.name


def _text(name: str, letter: str, field: str, *, keeps: str = "", per_component: bool = False, says: str = "",
          since: Release = Release.R24_05) -> Option:  # fmt: skip
    attribute = keeps or name.replace("-", "_")
    return Option(name, letter, sets=s.text(attribute), fields=(field,), keeps=(attribute,),
                  per_component=per_component, since=since, says=says)  # fmt: skip


def _count(name: str, letter: str, *fields: str, keeps: str = "", says: str = "", same_as: str = "") -> Option:
    attribute = keeps or name.replace("-", "_")
    return Option(name, letter, sets=s.count(attribute), fields=fields, keeps=(attribute,),
                  per_component=True, says=says, same_as=same_as)  # fmt: skip


def _flag(name: str, flag: str, *, since: Release = Release.R24_05, per_component: bool = True) -> Option:
    return Option(name, "", NONE, s.flag(flag), ("flags",), flags=(flag,), per_component=per_component, since=since)


def _refused(name: str, letter: str, why: str, *, argument: Argument = REQUIRED, since: Release = Release.R24_05,
             per_component: bool = False) -> Option:  # fmt: skip
    return Option(name, letter, argument, refused=why, since=since, per_component=per_component)


_LOCAL_FILE = "sbatch reads a file where it runs, and there is none here"
_PRINTS = "sbatch prints something at this and submits nothing"
_OUTPUT_ONLY = "changes only what sbatch prints; the job is the same without it"

ALL: tuple[Option, ...] = (
    _text("account", "A", "account"),
    Option("acctg-freq", "", sets=j.accounting_frequency, fields=("account_gather_frequency",),
           keeps=("accounting_frequency",)),
    _text("array", "a", "array"),
    _refused("autocomplete", "", _PRINTS),
    _text("batch", "", "batch_features", keeps="batch_features"),
    _text("bb", "", "burst_buffer", keeps="burst_buffer", per_component=True),
    _refused("bbf", "", f"{_LOCAL_FILE}: write the specification with --bb or as #BB lines"),
    Option("begin", "b", sets=s.moment("begin"), fields=("begin_time",), keeps=("begin",),
           says="Relative and local times are read when the request arrives, in the API's time zone"),
    Option("chdir", "D", sets=j.chdir, fields=("current_working_directory",), keeps=("chdir",),
           says="A relative directory starts at the working directory of the submission"),
    Option("cluster", "", sets=j.clusters, keeps=("clusters",),
           says="Taken for the API's own cluster, refused for others"),
    _text("cluster-constraint", "", "cluster_constraint"),
    Option("clusters", "M", sets=j.clusters, keeps=("clusters",),
           says="Taken for the API's own cluster, refused for others"),
    _text("comment", "", "comment"),
    _flag("consolidate-segments", "CONSOLIDATE_SEGMENTS", since=Release.R25_11),
    _text("constraint", "C", "constraints", per_component=True),
    _text("container", "", "container"),
    _text("container-id", "", "container_id"),
    _text("container-type", "", "container_type", since=Release.R26_05),
    _text("context", "", "selinux_context"),
    Option("contiguous", "", NONE, s.yes("contiguous"), ("contiguous",), ("contiguous",), per_component=True),
    Option("core-spec", "S", sets=r.core_spec, fields=("core_specification",), keeps=("core_spec", "thread_spec"),
           per_component=True),
    _count("cores-per-socket", "", "cores_per_socket"),
    Option("cpu-freq", "", sets=r.cpu_frequency, fields=("cpu_frequency",), keeps=("cpu_frequency",),
           per_component=True),
    _count("cpus-per-gpu", "", "cpus_per_tres"),
    _count("cpus-per-task", "c", "cpus_per_task", "minimum_cpus", "minimum_cpus_per_node", "tres_per_task"),
    Option("deadline", "", sets=s.moment("deadline"), fields=("deadline",), keeps=("deadline",),
           says="Read as --begin is"),
    Option("delay-boot", "", sets=j.delay_boot, fields=("delay_boot",), keeps=("delay_boot",)),
    _text("dependency", "d", "dependency"),
    Option("distribution", "m", sets=r.set_distribution, fields=("distribution",), keeps=("distribution",),
           per_component=True),
    Option("error", "e", sets=s.file("error"), fields=("standard_error",), keeps=("error",)),
    Option("exclude", "x", sets=s.nodes_list("exclude"), fields=("excluded_nodes",), keeps=("exclude",),
           says="A file of names (a value with a slash) is refused"),
    Option("exclusive", "", OPTIONAL, r.exclusive, ("shared",), ("shared",), per_component=True),
    _text("export", "", "environment",
          says="Of the environment that the request gives; without one, the login environment"),
    _refused("export-file", "", f"{_LOCAL_FILE}: give the variables as the request's environment"),
    _refused("external", "", "an external job has no script, and what is sent here has one", argument=NONE,
             since=Release.R25_05),
    _text("extra", "", "extra"),
    Option("extra-node-info", "B", sets=r.extra_node_info,
           fields=("sockets_per_node", "cores_per_socket", "threads_per_core", "tasks"),
           keeps=("extra_node_info", "sockets_per_node", "cores_per_socket", "threads_per_core"), per_component=True),
    Option("get-user-env", "", OPTIONAL, j.get_user_env, ("environment",), ("get_user_env",), until=Release.R24_11,
           says="The default, unless the request gives an environment. sbatch itself makes no use of the time-out"),
    Option("get-user-env", "", NONE, j.get_user_env, ("environment",), ("get_user_env",), since=Release.R25_05,
           says="The default, unless the request gives an environment"),
    _refused("gid", "", "a job runs as the token's user and that user's own group"),
    Option("gpu-bind", "", sets=r.gpu_bind, fields=("tres_bind",), keeps=("tres_bind",), per_component=True),
    Option("gpu-freq", "", sets=r.gpu_frequency, fields=("tres_freq",), keeps=("gpu_frequency",), per_component=True),
    _text("gpus", "G", "tres_per_job", per_component=True),
    _text("gpus-per-node", "", "tres_per_node", per_component=True),
    _text("gpus-per-socket", "", "tres_per_socket", per_component=True),
    _text("gpus-per-task", "", "tres_per_task", per_component=True),
    Option("gres", "", sets=r.gres, fields=("tres_per_node",), keeps=("gres",), per_component=True),
    Option("gres-flags", "", sets=r.gres_flags, fields=("flags",),
           flags=("GRES_BINDING_DISABLED", "GRES_BINDING_ENFORCED", "GRES_MULTIPLE_TASKS_PER_SHARING"),
           per_component=True),
    _refused("help", "h", _PRINTS, argument=NONE),
    Option("hint", "", sets=s.text("hint"), keeps=("hint",), per_component=True,
           fields=("threads_per_core", "cores_per_socket", "sockets_per_node", "tasks_per_core", "tasks")),
    Option("hold", "H", NONE, s.yes("hold"), ("hold",), ("hold",)),
    Option("ignore-pbs", "", NONE, s.yes("ignore_pbs"), keeps=("ignore_pbs",),
           says="Lines that begin with #PBS or #BSUB are comments. Without it a script with such lines is refused"),
    Option("input", "i", sets=s.file("input"), fields=("standard_input",), keeps=("input",)),
    _text("job-name", "J", "name", keeps="name"),
    Option("kill-on-invalid-dep", "", sets=j.kill_on_invalid_dep, fields=("flags",),
           flags=("KILL_INVALID_DEPENDENCY", "NO_KILL_INVALID_DEPENDENCY")),
    _text("licenses", "L", "licenses", per_component=True),
    Option("mail-type", "", sets=j.mail_type, fields=("mail_type",), keeps=("mail_types",), per_component=True,
           says="Until 24.11 a second one adds to the first, from 25.05 on it replaces it"),
    _text("mail-user", "", "mail_user", per_component=True),
    _text("mcs-label", "", "mcs_label"),
    Option("mem", "", sets=s.megabytes("mem"), fields=("memory_per_node",), keeps=("mem",)),
    Option("mem-bind", "", sets=r.mem_bind, fields=("memory_binding", "memory_binding_type"), keeps=("mem_bind",),
           per_component=True),
    Option("mem-per-cpu", "", sets=s.megabytes("mem_per_cpu"), fields=("memory_per_cpu",), keeps=("mem_per_cpu",),
           per_component=True),
    Option("mem-per-gpu", "", sets=s.megabytes("mem_per_gpu"), fields=("memory_per_tres",), keeps=("mem_per_gpu",),
           per_component=True),
    Option("mem-update", "", sets=r.mem_update, fields=("memory_update_margin", "memory_update_delay"),
           keeps=("mem_update",),
           since=Release.R26_05),
    _count("mincpus", "", "minimum_cpus_per_node", keeps="min_cpus_per_node"),
    _text("network", "", "network", per_component=True),
    Option("nice", "", OPTIONAL, j.nice, ("nice",), ("nice",)),
    Option("no-kill", "k", OPTIONAL, j.no_kill, ("kill_on_node_fail",), ("no_kill",)),
    Option("no-requeue", "", NONE, j.no_requeue, ("requeue",), ("requeue",)),
    _refused("nodefile", "F", f"{_LOCAL_FILE}: write the nodes with --nodelist", per_component=True),
    Option("nodelist", "w", sets=s.nodes_list("nodelist"), fields=("required_nodes", "minimum_nodes"),
           keeps=("nodelist",),
           per_component=True, says="A file of names (a value with a slash) is refused"),
    Option("nodes", "N", sets=r.nodes, fields=("minimum_nodes", "maximum_nodes", "nodes", "minimum_cpus"),
           keeps=("nodes",),
           per_component=True),
    _count("ntasks", "n", "tasks", "minimum_cpus"),
    _count("ntasks-per-core", "", "tasks_per_core"),
    _count("ntasks-per-gpu", "", "ntasks_per_tres"),
    _count("ntasks-per-node", "", "tasks_per_node", "minimum_nodes", "minimum_cpus"),
    _count("ntasks-per-socket", "", "tasks_per_socket"),
    _count("ntasks-per-tres", "", "ntasks_per_tres"),
    Option("oom-kill-step", "", OPTIONAL, j.oom_kill_step, ("oom_kill_step",), ("oom_kill_step",),
           since=Release.R24_11),
    Option("open-mode", "", sets=j.open_mode, fields=("open_mode",), keeps=("open_mode",)),
    Option("output", "o", sets=s.file("output"), fields=("standard_output",), keeps=("output",)),
    Option("overcommit", "O", NONE, s.yes("overcommit"), ("overcommit", "minimum_cpus"), ("overcommit",),
           per_component=True),
    Option("oversubscribe", "s", NONE, r.oversubscribe, ("shared",), ("shared",), per_component=True),
    Option("parsable", "", NONE, says=_OUTPUT_ONLY),
    _text("partition", "p", "partition", per_component=True),
    _text("prefer", "", "prefer"),
    Option("priority", "", sets=j.priority, fields=("priority",), keeps=("priority",)),
    Option("profile", "", sets=j.profile, fields=("profile",), keeps=("profile",)),
    Option("propagate", "", OPTIONAL, j.propagate,
           says="Only --propagate=NONE; others copy the limits of sbatch's shell"),
    _text("qos", "q", "qos"),
    Option("quiet", "Q", NONE, says=_OUTPUT_ONLY),
    Option("reboot", "", NONE, s.yes("reboot"), ("reboot",), ("reboot",)),
    Option("requeue", "", NONE, j.requeue, ("requeue",), ("requeue",), until=Release.R25_05),
    Option("requeue", "", OPTIONAL, j.requeue, ("requeue", "flags"), ("requeue",), since=Release.R25_11),
    _text("reservation", "", "reservation"),
    _text("resources", "", "licenses", per_component=True, since=Release.R25_11),
    Option("resv-ports", "", OPTIONAL, r.resv_ports, ("resv_mpi_ports",), ("resv_ports",), per_component=True,
           says="Needs --stepmgr"),
    Option("segment", "", sets=r.segment, fields=("segment_size",), keeps=("segment",), per_component=True),
    Option("signal", "", sets=j.signal, fields=("kill_warning_signal", "kill_warning_delay", "kill_warning_flags"),
           keeps=("warning",)),
    _count("sockets-per-node", "", "sockets_per_node", "tasks"),
    _flag("spread-job", "SPREAD_JOB"),
    _flag("spread-segments", "SPREAD_SEGMENTS", since=Release.R25_11),
    _flag("stepmgr", "STEPMGR_ENABLED", per_component=False),
    Option("switches", "", sets=r.switches, fields=("required_switches", "wait_for_switch"), keeps=("switches",
           "switch_wait"),
           per_component=True),
    _count("tasks-per-node", "", "tasks_per_node", "minimum_nodes", "minimum_cpus", keeps="ntasks_per_node",
           same_as="ntasks-per-node", says="An older name of --ntasks-per-node"),
    _refused("test-only", "",
             "the REST API has no such request; ?dry_run=true shows the job description that would be sent",
             argument=NONE),
    Option("thread-spec", "", sets=r.thread_spec, fields=("thread_specification",), keeps=("core_spec",
           "thread_spec"),
           per_component=True),
    _count("threads-per-core", "", "threads_per_core", "tasks"),
    Option("time", "t", sets=s.minutes("time"), fields=("time_limit",), keeps=("time",)),
    Option("time-min", "", sets=s.minutes("time_min"), fields=("time_minimum",), keeps=("time_min",)),
    Option("tmp", "", sets=s.megabytes("tmp"), fields=("temporary_disk_per_node",), keeps=("tmp",),
           per_component=True),
    _text("tres-bind", "", "tres_bind", per_component=True),
    _text("tres-per-task", "", "tres_per_task", per_component=True),
    _refused("uid", "", "a job runs as the token's user"),
    _refused("usage", "", _PRINTS, argument=NONE),
    _flag("use-min-nodes", "PREFER_MINIMUM_NODE_COUNT"),
    Option("verbose", "v", NONE, says=_OUTPUT_ONLY),
    _refused("version", "V", _PRINTS, argument=NONE),
    _refused("wait", "W", "a request does not wait for a job to end; poll GET /jobs/{id}", argument=NONE),
    Option("wait-all-nodes", "", sets=j.wait_all_nodes, fields=("wait_all_nodes",), keeps=("wait_all_nodes",)),
    _text("wckey", "", "wckey"),
    Option("wrap", "", fields=("script",),
           says="Only with the request, in place of a script; sbatch ignores it within one"),
)  # fmt: skip


@cache
def of_release(release: Release) -> dict[str, Option]:
    """Return the options that a release's sbatch has, by their long names."""
    return {option.name: option for option in ALL if option.since <= release <= option.until}


@cache
def letters(release: Release) -> dict[str, Option]:
    """Return the options of a release that have a letter, by it."""
    return {option.letter: option for option in of_release(release).values() if option.letter}
