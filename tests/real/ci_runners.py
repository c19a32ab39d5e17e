"""What GitHub's and GitLab's runners do with a composite action and with a job, as far as these use it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EXPRESSION = re.compile(r"\$\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}")


@dataclass
class Result:
    """How it ended: the failed step's or the job's status, what it printed, and what it left for others."""

    status: int = 0
    log: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""


def github(action: Path, inputs: Mapping[str, str], environ: Mapping[str, str], temp: Path, *, done: int = 0) -> Result:
    """Run a composite action's steps: `bash --noprofile --norc -eo pipefail`, environment files, and expressions.

    `done` is how many of its steps an earlier run left done, in the same folder.
    """
    document = yaml.safe_load(action.read_text())
    unknown = set(inputs) - set(document["inputs"])
    assert not unknown, unknown
    context = {f"inputs.{name}": str(each.get("default", "")) for name, each in document["inputs"].items()}
    context |= {f"inputs.{name}": value for name, value in inputs.items()}
    context["strategy.job-index"] = "0"
    result = Result()
    summary = temp / "summary.md"
    for number, step in list(enumerate(document["runs"]["steps"]))[done:]:
        script, output = temp / f"step-{number}.sh", temp / f"output-{number}"
        assert step["shell"] == "bash"
        script.write_text(evaluated(step["run"], context))
        output.touch()
        ended = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            env={
                **environ,
                **{name: evaluated(str(value), context) for name, value in step.get("env", {}).items()},
                "GITHUB_ACTION_PATH": str(action.parent), "RUNNER_TEMP": str(temp),
                "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary),
            },
            cwd=environ["GITHUB_WORKSPACE"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip
        result.log += ended.stdout
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            context[f"steps.{step.get('id')}.outputs.{name}"] = value
        if ended.returncode:
            result.status = ended.returncode
            break
    for name, each in document["outputs"].items():
        result.outputs[name] = evaluated(each["value"], context)
    result.summary = summary.read_text() if summary.exists() else ""
    return result


def evaluated(text: str, context: Mapping[str, str]) -> str:
    """Put values for `${{ name }}`; a name that is not there is empty, as the runner has it."""
    return EXPRESSION.sub(lambda found: context.get(found[1], ""), text)


def gitlab(template: Path, job: Mapping[str, Any], environ: Mapping[str, str], id_token: Any, project: Path) -> Result:
    """Run a job that extends a template's: its variables, its ID token, and its script in one bash.

    `id_token` gives a token for an audience.
    """
    base = yaml.safe_load(template.read_text())[job["extends"]]
    variables = {**base["variables"], **job.get("variables", {})}
    known = dict(environ)
    for _ in range(3):  # variables may name each other
        for name, value in variables.items():
            known[name] = expanded(str(value), known)
    for name, described in base["id_tokens"].items():
        known[name] = id_token(expanded(described["aud"], known))
    script = "\n".join([*base["before_script"], *base["script"]])
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        env=known, cwd=project, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
    )  # fmt: skip
    result = Result(done.returncode, done.stdout)
    report = project / base["artifacts"]["reports"]["dotenv"]
    if report.exists():
        result.outputs = dict(line.split("=", 1) for line in report.read_text().splitlines())
    return result


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Put values for $NAME and ${NAME}."""
    return re.sub(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?", lambda found: variables.get(found[1], ""), text)
