"""Real sbatch beside the translator: both submit the same script, held, and Slurm tells what it made of each."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slurm_gateway import sbatch

DIRECTORY = "/home/alice/parity"
SCRIPTS = Path(__file__).with_name("scripts")
HELD = "@HELD@"
"""Stands in a case for the id of a job that stays in the queue, held, so that what depends on it goes on to."""

TOLERANCE = 60  # seconds that the two submissions may be apart
SLOWEST = 8  # seconds for sbatch
ENOUGH = 3  # seconds for sbatch --wait, which of a held job has told all there is to tell

# What names a job, its moment or its submitter's process, and so differs between any two jobs.
_OTHER_IN_SCONTROL = {
    "JobId", "ArrayJobId", "HetJobId", "HetJobIdSet", "SubmitTime", "AccrueTime", "LastSchedEval", "SLUID", "StepMgr",
    "Command", "SubmitLine", "AllocNode:Sid",
}  # fmt: skip
_TIMES_IN_SCONTROL = ("EligibleTime", "StartTime", "EndTime", "Deadline", "PreemptEligibleTime", "PreemptTime")
_OTHER_IN_JSON = {
    "job_id", "array_job_id", "het_job_id", "het_job_id_set", "submit_time", "accrue_time", "last_sched_evaluation",
    "command", "submit_line", "allocating_node", "step_id", "stdout_expanded", "stderr_expanded", "stdin_expanded",
}  # fmt: skip
_TIMES_IN_JSON = ("eligible_time", "start_time", "end_time", "deadline", "preempt_time", "preemptable_time")
# Job flags that tell how far slurmctld has come with a job.
_STATE_FLAGS = {"DEPENDENT", "PARTITION_ASSIGNED", "BACKFILL_ATTEMPTED", "SCHEDULING_ATTEMPTED", "ACCRUE_COUNT_CLEARED"}
# sbatch passes on its shell's limits, and where its slurm.conf is; a request has neither, and slurmd knows its own.
_OTHER_VARIABLES = re.compile(r"_|SLURM_RLIMIT_.*|SLURM_CONF")


@dataclass(frozen=True)
class Case:
    """A script and options beside it; `refused` is why the translator may refuse what sbatch takes."""

    name: str
    script: str
    options: tuple[tuple[str, str | None], ...] = ()
    refused: str = ""
    covers: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        return [f"--{name}" if value is None else f"--{name}={value}" for name, value in self.options]


@dataclass
class Cluster:
    """A running cluster: how to run a command on it, its root directory, how to ask slurmrestd as alice."""

    run: Callable[..., str]
    root: Path
    versions: Sequence[str]
    ask: Callable[[str, str, Any], tuple[int, dict[str, Any]]]
    host: str


Pair = tuple[Case, int, int, set[str]]
"""A case, the id of sbatch's job and of ours, and what the translator said would come out otherwise."""


@dataclass
class Report:
    """How each case went, and what was different."""

    outcomes: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)

    def counts(self) -> str:
        return ", ".join(f"{number} {outcome}" for outcome, number in sorted(Counter(self.outcomes.values()).items()))


def compare(cluster: Cluster, cases: Sequence[Case]) -> Report:
    """Submit each case both ways and compare. The jobs are left in the queue, held."""
    report = Report()
    held = cluster.run("sbatch", "--hold", "--parsable", "--job-name=held-job", "--wrap=true", user="alice").strip()
    cases = [replace(case, script=case.script.replace(HELD, held)) for case in cases]
    environment, printed = _real_submissions(cluster, cases)
    now = datetime.now(UTC)
    submission = sbatch.Submission(DIRECTORY, environment, clock=sbatch.Clock(now), submit_host=cluster.host)
    pairs: list[Pair] = []
    for case, (status, output) in zip(cases, printed, strict=True):
        submitted = re.search(r"^(?:Submitted batch job )?(\d+)(?:;.*)?$", output, re.MULTILINE)
        real = int(submitted[1]) if submitted and status in (0, 124) else None  # 124: --wait, timed out
        ours, answer = _ours(cluster, case, submission)
        if real is not None and ours is not None:
            pairs.append((case, real, ours, {"OOMKillStep"} if "turns oom-kill-step off" in answer else set()))
        elif real is None and ours is None:
            report.outcomes[case.name] = "refused by both"
            report.refusals[case.name] = (output, answer)
        elif ours is None and case.refused and case.refused in answer:
            report.outcomes[case.name] = "taken by sbatch, refused here with its reason"
        else:
            report.failures.append(f"{case.name}: sbatch: {status} {output!r}; here: {answer}")
    for case, differences in _differences(cluster, pairs):
        if differences:
            report.failures.append(f"{case.name}: " + "; ".join(differences))
        else:
            report.outcomes[case.name] = "equal"
    return report


def _real_submissions(cluster: Cluster, cases: Sequence[Case]) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Run real sbatch for all cases as alice, and give the environment it ran in and what it printed."""
    directory = cluster.root / DIRECTORY[1:]
    directory.mkdir(exist_ok=True)
    lines = ["set -u", "env -0 >environment"]
    for number, case in enumerate(cases):
        (directory / f"{number}.sh").write_text(case.script, newline="")
        arguments = shlex.join(["sbatch", "--hold", *case.arguments()])
        longest = ENOUGH if "wait" in case.covers else SLOWEST
        lines.append(f"timeout {longest} {arguments} <{number}.sh >{number}.out 2>&1; echo $? >{number}.status")
    (directory / "run").write_text("\n".join(lines) + "\n")
    cluster.run("chown", "-R", "alice:alice", DIRECTORY)
    cluster.run("bash", "-c", f"cd {DIRECTORY} && exec bash run", user="alice")
    shown = (directory / "environment").read_text().rstrip("\0").split("\0")
    environment = dict(item.split("=", 1) for item in shown)
    environment.pop("_", None)
    return environment, [
        (int((directory / f"{number}.status").read_text()), (directory / f"{number}.out").read_text(errors="replace"))
        for number in range(len(cases))
    ]


def _ours(cluster: Cluster, case: Case, submission: sbatch.Submission) -> tuple[int | None, str]:
    """Translate and submit, and give the job's id or why there is none; else what is known to come out otherwise."""
    options: list[tuple[str, Any]] = [*case.options, ("hold", True)]
    wrapped = any(name == "wrap" for name, _ in case.options)
    try:
        script = None if wrapped else sbatch.read(case.script.encode())
        translation = sbatch.translate(script, options, submission, api_versions_of_cluster=cluster.versions)
    except sbatch.SubmissionRefusedError as exc:
        return None, str(exc)
    status, answer = cluster.ask("POST", f"{translation.api_version}/job/submit", translation.body())
    if status != 200 or answer.get("errors"):
        return None, f"{status} {json.dumps(answer.get('errors'))}"
    unknown = [warning for warning in answer.get("warnings", []) if "unknown" in json.dumps(warning).lower()]
    if unknown:
        return None, f"slurmrestd does not know: {unknown}"
    return int(answer["job_id"]), " ".join(translation.notices)


def _differences(cluster: Cluster, pairs: Sequence[Pair]) -> list[tuple[Case, list[str]]]:
    shown = _shown_by_scontrol(cluster)
    found: list[tuple[Case, list[str]]] = []
    for case, real, ours, known in pairs:
        differences: list[str] = []
        for offset in range(case.script.count("#SBATCH hetjob") + 1):
            differences += _compare(
                shown[real + offset], shown[ours + offset], _OTHER_IN_SCONTROL | known, _TIMES_IN_SCONTROL
            )
            differences += _compare(
                _shown_by_rest(cluster, real + offset), _shown_by_rest(cluster, ours + offset),
                _OTHER_IN_JSON, _TIMES_IN_JSON,
            )  # fmt: skip
        differences += _compare(_spooled(cluster, real), _spooled(cluster, ours), set(), ())
        found.append((case, differences))
    return found


def _compare(real: dict[str, Any], ours: dict[str, Any], other: set[str], times: Sequence[str]) -> list[str]:
    differences = []
    for name in sorted(real.keys() | ours.keys()):
        expected, actual = real.get(name), ours.get(name)
        if name in other or expected == actual or (name in times and _close(expected, actual)):
            continue
        differences.append(f"{name}: sbatch {expected!r}, here {actual!r}")
    return differences


def _close(expected: Any, actual: Any) -> bool:
    try:
        return abs(_seconds(expected) - _seconds(actual)) <= TOLERANCE
    except (TypeError, ValueError, KeyError):
        return False


def _seconds(shown: Any) -> float:
    if isinstance(shown, dict):
        return float(shown["number"]) if shown["set"] else 0.0
    if isinstance(shown, int):
        return float(shown)
    return datetime.fromisoformat(shown).replace(tzinfo=UTC).timestamp()


def _shown_by_scontrol(cluster: Cluster) -> dict[int, dict[str, Any]]:
    jobs: dict[int, dict[str, Any]] = {}
    for block in cluster.run("scontrol", "--details", "show", "job").split("\n\n"):
        if not block.strip():
            continue
        job_id = re.match(r"JobId=(\d+)", block.strip())
        assert job_id, block
        fields: dict[str, Any] = {}
        for line in block.splitlines():
            # Values may hold blanks; a name is what stands before the first = after two blanks or at the start.
            for name, value in re.findall(r"(?:^|\s)([A-Z][\w:/]*)=(.*?)(?=\s[A-Z][\w:/]*=|$)", line.strip()):
                fields.setdefault(name, _nameless(name, value, int(job_id[1])))
        jobs[int(job_id[1])] = fields
    return jobs


def _shown_by_rest(cluster: Cluster, job_id: int) -> dict[str, Any]:
    status, answer = cluster.ask("GET", f"{cluster.versions[0]}/job/{job_id}", None)
    assert status == 200, answer
    job = next(job for job in answer["jobs"] if job["job_id"] == job_id)
    job["flags"] = sorted(set(job["flags"]) - _STATE_FLAGS)
    return {name: _nameless(name, value, job_id) for name, value in job.items()}


def _nameless(name: str, value: Any, job_id: int) -> Any:
    """Take the job's id out of the files that bear it."""
    if not name.lower().startswith("std") and not name.startswith("standard_"):
        return value
    return re.sub(rf"(?<!\d){job_id}(?!\d)", "ID", value) if isinstance(value, str) else value


def _spooled(cluster: Cluster, job_id: int) -> dict[str, Any]:
    """Give what slurmctld keeps to start the job with: its environment and script."""
    state = cluster.root / f"var/spool/slurm.state/hash.{job_id % 10}/job.{job_id}"
    items = (state / "environment").read_bytes()[4:].split(b"\0")
    variables = dict(item.decode(errors="replace").split("=", 1) for item in items if b"=" in item)
    shown: dict[str, Any] = {name: value for name, value in variables.items() if not _OTHER_VARIABLES.fullmatch(name)}
    return shown | {"script": (state / "script").read_bytes().rstrip(b"\0").decode()}
