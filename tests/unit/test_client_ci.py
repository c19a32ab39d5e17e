"""What the client keeps for CI: keys that outlast an attempt, outputs, summaries, and a log that commands nobody."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from slurm_gateway_client import ci, identities, reports, sbatch_arguments
from slurm_gateway_client.aws_identity import AwsIdentity
from slurm_gateway_client.errors import SettingsError
from slurm_gateway_client.settings import Settings
from slurm_gateway_client.submitting import Submission, check_key
from slurm_gateway_client.transport import Transport

ROOT = Path(__file__).resolve().parents[2]

GITHUB = {
    "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "o/r",
    "GITHUB_RUN_ID": "42", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "simulate", "GITHUB_ACTION": "__run",
}  # fmt: skip
GITLAB = {
    "GITLAB_CI": "true", "CI_SERVER_URL": "https://gitlab.example", "CI_PROJECT_ID": "7", "CI_PIPELINE_ID": "43",
    "CI_JOB_NAME": "simulate: [a, ü]", "CI_JOB_ID": "1001",
}  # fmt: skip


def key_of(
    environ: dict[str, str], tmp_path: Path, body: str = "true", *options: str, given: str | None = None
) -> list[str]:
    script = tmp_path / "job.sh"
    script.write_text(body)
    words = sbatch_arguments.parse([str(script), *options], {})
    return [each.key for each in Submission(words, environ, key=given).scripts]


@pytest.mark.parametrize(
    ("environ", "attempt"), [(GITHUB, {"GITHUB_RUN_ATTEMPT": "2"}), (GITLAB, {"CI_JOB_ID": "1002"})]
)
def test_key_stays_the_same_when_a_step_is_tried_again(
    environ: dict[str, str], attempt: dict[str, str], tmp_path: Path
) -> None:
    [key] = key_of(environ, tmp_path)
    assert key_of(environ | attempt, tmp_path) == [key]
    check_key(key)


@pytest.mark.parametrize(
    "change",
    [{name: "other"} for name in (
        "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_JOB", "GITHUB_ACTION", "SLURM_GATEWAY_STEP",
    )],
)  # fmt: skip
def test_another_run_job_or_step_has_another_key(change: dict[str, str], tmp_path: Path) -> None:
    assert key_of(GITHUB, tmp_path) != key_of(GITHUB | change, tmp_path)


def test_another_script_or_option_has_another_key(tmp_path: Path) -> None:
    keys = [key_of(GITHUB, tmp_path, *asked) for asked in (
        ["true"], ["false"], ["true", "--time=1"], ["true", "--time=2"], ["true", "--", "x"],
        ["true", "--time=1", "--time=2"], ["true", "--time=2", "--time=1"],
    )]  # fmt: skip
    assert len({key for [key] in keys}) == len(keys)


def test_outside_ci_each_submit_has_a_key_of_its_own(tmp_path: Path) -> None:
    assert key_of({}, tmp_path) != key_of({}, tmp_path)


def test_given_key_is_taken_as_it_is_and_told_apart_for_several_scripts(tmp_path: Path) -> None:
    assert key_of(GITHUB, tmp_path, given="mine") == ["mine"]
    (tmp_path / "two.sh").write_text("true")
    words = sbatch_arguments.parse([str(tmp_path / "two.sh"), str(tmp_path / "two.sh") + ""], {})
    with pytest.raises(SettingsError, match="given twice"):
        Submission(words, {}, key="mine")
    (tmp_path / "one.sh").write_text("true")
    words = sbatch_arguments.parse([str(tmp_path / "one.sh"), str(tmp_path / "two.sh")], {})
    keys = [each.key for each in Submission(words, {}, key="mine").scripts]
    assert len(set(keys)) == 2
    assert all(key.startswith("mine.") for key in keys)


def test_script_whose_name_is_no_text_has_a_key(tmp_path: Path) -> None:
    name = str(tmp_path / "\udcff.sh")
    Path(name).write_text("true")
    words = sbatch_arguments.parse([name, "--comment=\udcff", "--comment=x"], {})
    for told in ("mine", None):
        [script] = Submission(words, GITHUB, key=told).scripts
        check_key(script.key)


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 256, "a\n"])
def test_key_that_the_gateway_would_refuse_is_refused_here(key: str) -> None:
    with pytest.raises(SettingsError):
        check_key(key)


@given(st.lists(st.binary()), st.lists(st.binary()))
def test_digest_tells_lists_apart(one: list[bytes], other: list[bytes]) -> None:
    assert (ci.digest(one) == ci.digest(other)) == (one == other)


def job(**more: Any) -> dict[str, Any]:
    return {
        "id": "12", "name": "job.sh", "state": "FAILED", "state_flags": [], "state_reason": "NonZeroExitCode",
        "exit_code": 3, "signal": None, "submit_time": "2026-11-21T10:00:00Z", "start_time": "2026-11-21T10:00:05Z",
        "end_time": "2026-11-21T10:01:15Z", "node_list": "node-1", "tasks": None, **more,
    }  # fmt: skip


def test_outputs_are_lines_that_a_runner_reads(tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    file.write_text("before=1\n")
    reports.write_outputs(file, [job(), job(id="13_2", state="COMPLETED\nevil=1")], 3)
    assert file.read_text() == "before=1\njob_id=12,13_2\nstate=FAILED,COMPLETEDevil1\nexit_code=3\n"


def test_summary_has_state_times_and_the_end_of_the_log(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    reports.write_summary(file, [job()], {"12": "the end"}, "https://api.example.org")
    text = file.read_text()
    assert "| 12 | job.sh | FAILED | 3 | 2026-11-21T10:00:00Z | 0:05 | 1:10 | node-1 |" in text
    assert "```text\nthe end\n```" in text


def test_summary_is_nobody_s_markup(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    name = "<img src=x>|[a](b)`c`\x1b[31m"
    reports.write_summary(file, [job(name=name)], {"12": reports.tail(b"````\n</pre><script>\n```")}, "https://x")
    text = file.read_text()
    assert "<img" not in text
    assert "\\|\\[a\\](b)\\`c\\`" in text
    assert "\x1b" not in text
    assert "`````text\n````\n" in text, "the fence is longer than any in the log"


def test_tail_is_the_last_lines_without_escapes() -> None:
    log = (
        b"\n".join(b"line %d" % number for number in range(1000))
        + b"\n\x1b[32mgreen\x1b[0m \x1b]0;title\x07 50%\r100%\n\xff\n"
    )
    lines = reports.tail(log).splitlines()
    assert len(lines) == reports.TAIL_LINES
    assert lines[-2:] == ["100%", "\N{REPLACEMENT CHARACTER}"]
    assert lines[0] == "line 962"


def run_step(name: str, tmp_path: Path, **environ: str) -> tuple[int, list[str], str]:
    """Run a step of action.yml with a Python and a client that write down their words; give status, words, errors."""
    [step] = [
        step for step in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"] if step["name"] == name
    ]
    said = tmp_path / "words"
    bin_ = tmp_path / "slurm-gateway/bin"
    bin_.mkdir(parents=True)
    for command in (bin_ / "python3", bin_ / "python", bin_ / "slurm-gateway"):
        command.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" >> {said}\n')
        command.chmod(0o755)
    inputs = dict.fromkeys(step["env"], "") | {"INPUT_WAIT": "true", "INPUT_CANCEL": "true"}
    runner = {
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_ACTION_PATH": "/action",
        "GITHUB_OUTPUT": "o",
        "GITHUB_STEP_SUMMARY": "s",
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={"PATH": f"{bin_}:/usr/bin:/bin", **runner, **inputs, **environ}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, said.read_text().splitlines() if said.exists() else [], done.stderr


@pytest.mark.parametrize(
    ("environ", "installed"),
    [
        ({}, "/action/client"),
        ({"SLURM_GATEWAY_ROLE": "arn:aws:iam::123456789012:role/x"}, "/action/client[aws]"),
        ({"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}, "/action/client[aws]"),
        ({"AWS_PROFILE": "x"}, "/action/client[aws]"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, "/action/client[aws]"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"}, "/action/client[aws]"),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": ""}, "/action/client[aws]"),
    ],
)
def test_action_installs_what_the_client_s_choice_of_an_identity_needs(
    tmp_path: Path, environ: dict[str, str], installed: str
) -> None:
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://github.example"} | environ
    status, words, said = run_step("Install slurm-gateway", tmp_path, **environ)
    assert (status, said) == (0, "")
    assert words[-1] == installed
    settings = Settings("https://x", role=environ.get("SLURM_GATEWAY_ROLE", ""))
    environ |= {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}
    identity = identities.choose(settings, Transport("https://x", patience=1), environ)
    assert isinstance(identity, AwsIdentity) == installed.endswith("[aws]")


@pytest.mark.parametrize("name", ["INPUT_WAIT", "INPUT_CANCEL"])
@pytest.mark.parametrize("value", ["", "True", "yes"])
def test_step_that_is_not_told_whether_to_wait_is_not_green(tmp_path: Path, name: str, value: str) -> None:
    status, words, said = run_step("Submit", tmp_path, INPUT_SCRIPT="job.sh", **{name: value})
    assert (status, words) == (2, [])
    assert "true or false" in said


def test_template_leaves_alone_what_a_pipeline_may_say_for_all_its_jobs() -> None:
    template = yaml.safe_load((ROOT / "templates/slurm-job.gitlab-ci.yml").read_text())[".slurm-job"]
    assert [name for name, value in template["variables"].items() if not value] == []


def test_nothing_of_the_workspace_is_run_by_python_s_own_modules() -> None:
    text = (ROOT / "action.yml").read_text() + (ROOT / "templates/slurm-job.gitlab-ci.yml").read_text()
    assert re.findall(r"(\S+) -m ", text) == ["-I"] * 4


def test_log_commands_github_s_runner_nothing() -> None:
    stream = io.BytesIO()
    with ci.unheeded(stream, {"GITHUB_ACTIONS": "true"}):
        stream.write(b"::add-mask::x\n::stop-commands::guess\n")
    first, *log, _, last, end = stream.getvalue().split(b"\n")
    assert first.startswith(b"::stop-commands::")
    assert last == b"::" + first.removeprefix(b"::stop-commands::") + b"::"
    assert len(last) > 30
    assert (log, end) == ([b"::add-mask::x", b"::stop-commands::guess"], b"")
    elsewhere = io.BytesIO()
    with ci.unheeded(elsewhere, {}):
        elsewhere.write(b"x")
    assert elsewhere.getvalue() == b"x"
