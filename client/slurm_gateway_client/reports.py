"""What a CI system keeps of jobs: outputs for later steps, and a summary in Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from . import exit_status, times
from .screen import plain, state_of
from .waiting import is_final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TAIL_LINES = 40
_TAIL_BYTES = 16 * 1024
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")


def write_outputs(path: Path, jobs: Sequence[Mapping[str, Any]], status: int | None) -> None:
    """Append `job_id`, `state` and `exit_code` as NAME=VALUE lines; of several jobs with a comma between.

    That is what GitHub reads from $GITHUB_OUTPUT, and GitLab as a dotenv report. `exit_code` is the command's status,
    empty where it was not waited for.
    """
    lines = [
        f"job_id={','.join(_word(job['id']) for job in jobs)}",
        f"state={','.join(_word(job['state']) for job in jobs)}",
        f"exit_code={'' if status is None else status}",
    ]
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))


def write_summary(path: Path, jobs: Sequence[Mapping[str, Any]], tails: Mapping[str, str], url: str) -> None:
    """Append a summary in Markdown: a table of the jobs, and the end of what each printed (`tails`, by job id)."""
    rows = [
        "| Job | Name | State | Exit status | Submitted | Waited | Ran | Nodes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for job in jobs:
        status = exit_status.of_job(job) if is_final(job) else ""
        cells = [
            job["id"], job["name"], state_of(job), status, job["submit_time"] or "", _waited(job),
            times.span(job), job["node_list"] or job["state_reason"] or "",
        ]  # fmt: skip
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    parts = [f"### Slurm by way of {_cell(url)}", "\n".join(rows)]
    for job in jobs:
        if tail := tails.get(job["id"], ""):
            fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", tail)), 0)
            parts.append(f"The end of job {_cell(job['id'])}'s output:\n\n{fence}text\n{tail}\n{fence}")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n\n".join(parts) + "\n\n")


def tail(data: bytes) -> str:
    """Return the last lines of an output as text without escape sequences and control characters."""
    text = _ESCAPE.sub("", data[-_TAIL_BYTES:].decode(errors="replace"))
    lines = [plain(line.expandtabs().rsplit("\r", 1)[-1]) for line in text.rstrip().replace("\r\n", "\n").split("\n")]
    return "\n".join(lines[-TAIL_LINES:])


def _waited(job: Mapping[str, Any]) -> str:
    if not (job["submit_time"] and job["start_time"]):
        return ""
    return times.clock(times.between(job["submit_time"], job["start_time"]))


def _cell(value: object) -> str:
    """Return text that means nothing in Markdown or HTML: a job's name is its user's to choose."""
    text = plain(value).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)


def _word(value: object) -> str:
    return re.sub(r"[^A-Za-z0-9_+.-]", "", str(value))
