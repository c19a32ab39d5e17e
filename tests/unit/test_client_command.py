"""The command as a whole: what it imports, how it ends, and what it shows at which terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gateway_stand_in import StandIn, gateway
from rich.console import Console
from slurm_gateway_client.command import COMMANDS, cli
from slurm_gateway_client.errors import ClientError
from slurm_gateway_client.screen import Screen

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from slurm_gateway_client.command import program; program()"]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with gateway() as served:
        yield served


def run(*words: str, url: str = "", width: int | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; with a width at a terminal, by script(1)."""
    command = [*COMMAND, *words]
    if width:
        quoted = " ".join(f"'{word}'" for word in command)
        command = ["script", "-qec", f"stty cols {width} rows 24; {quoted}", "/dev/null"]
    return subprocess.run(
        command, env=environ(url, **more), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def start(*words: str, url: str, **more: str) -> subprocess.Popen[str]:
    """Start the command in a process of its own, and leave it running."""
    return subprocess.Popen(
        [*COMMAND, *words], env=environ(url, **more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def environ(url: str, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "client"), "LANG": "C.UTF-8", "HOME": "/nonexistent",
        "SLURM_GATEWAY_URL": url, "SLURM_JWT": TOKEN, "TERM": "xterm", **more,
    }  # fmt: skip


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# A token of alice, signed by nobody, good until 2100: nothing here looks at the signature.
TOKEN = "e30.eyJzdW4iOiAiYWxpY2UiLCAiZXhwIjogNDEwMjQ0NDgwMCwgImlhdCI6IDB9.x"


def job(**more: Any) -> dict[str, Any]:
    return {
        "id": "12", "cluster": "c", "name": "a-rather-long-name-of-a-job.sh", "user": "alice", "account": "users",
        "partition": "queue1", "state": "RUNNING", "state_flags": [], "state_reason": None, "held": False,
        "exit_code": None, "signal": None, "submit_time": "2026-11-21T10:00:00Z", "start_time": "2026-11-21T10:00:05Z",
        "end_time": "2026-11-21T10:01:15Z", "time_limit": 600, "nodes": 1, "node_list": "queue1-dy-t3micro-1",
        "cpus": 1, "working_directory": "/home/alice", "stdout": None, "stderr": None, "restarts": 0, "tasks": None,
        "components": None, "script": None, "links": {"self": "/jobs/12"}, **more,
    }  # fmt: skip


def test_help_imports_neither_http_nor_aws_nor_tables() -> None:
    code = (
        "import sys\nfrom slurm_gateway_client.command import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'requests', 'urllib3', 'botocore', 'rich', 'ssl', 'hypothesis'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "client")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str) -> None:
    shown = CliRunner().invoke(cli, [name, "--help"], prog_name="slurm-gateway")
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith(f"Usage: slurm-gateway {name}")


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("no_color", ["", "1"])
def test_help_and_tables_fit_the_terminal(stand_in: StandIn, width: int, no_color: str) -> None:
    stand_in.says(200, {"jobs": [job(), job(id="13", state="FAILED")], "next": None})
    colour = {"NO_COLOR": no_color} if no_color else {}
    for words in (["--help"], ["submit", "--help"], ["jobs"]):
        shown = run(*words, url=stand_in.url, width=width, **colour).stdout
        lines = ANSI.sub("", shown).splitlines()
        assert lines, shown
        assert max(len(line) for line in lines) <= width, shown
    assert ("\x1b[36m" in shown) == (not no_color), repr(shown)
    assert "12" in shown
    assert ("2026-11-21" in shown) == (width == 200)


def test_table_for_a_program_is_neither_cut_nor_coloured(stand_in: StandIn) -> None:
    stand_in.says(200, {"jobs": [job()], "next": None})
    shown = run("jobs", url=stand_in.url).stdout
    assert "a-rather-long-name-of-a-job.sh" in shown
    assert "\x1b" not in shown
    assert "\x1b[36m" in run("jobs", "--color=always", url=stand_in.url).stdout


def test_name_that_the_terminal_s_encoding_lacks_is_shown_all_the_same(stand_in: StandIn) -> None:
    stand_in.says(200, {"jobs": [job(name="\N{GREEK SMALL LETTER SIGMA}.sh")], "next": None})
    done = run("jobs", url=stand_in.url, PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u03c3.sh" in done.stdout


def test_json_is_json(stand_in: StandIn) -> None:
    stand_in.says(200, job())
    assert json.loads(run("show", "12", "--json", url=stand_in.url).stdout) == job()


def test_name_of_a_job_does_not_move_the_cursor(stand_in: StandIn) -> None:
    stand_in.says(200, {"jobs": [job(name="\x1b[2Jgone")], "next": None})
    assert "\x1b[2J" not in run("jobs", url=stand_in.url).stdout


def test_page_after_page_is_read_up_to_the_limit(stand_in: StandIn) -> None:
    stand_in.says(200, {"jobs": [job(id="3"), job(id="2")], "next": "abc"}).says(
        200, {"jobs": [job(id="1")], "next": None}
    )
    shown = run("jobs", "--limit=3", "--state=running", url=stand_in.url).stdout
    assert [line.split()[0] for line in shown.splitlines()[1:]] == ["3", "2", "1"]
    assert [asked.path for asked in stand_in.asked] == [
        "/jobs?state=running&limit=3", "/jobs?state=running&limit=1&cursor=abc",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "environ", "status", "said"),
    [
        (["jobs"], {"SLURM_GATEWAY_URL": ""}, 2, "where the gateway is"),
        (["jobs", "--url=https://127.0.0.1:9"], {"SLURM_JWT": "nonsense"}, 247, "holds no Slurm token"),
        (["jobs", "--patience=1"], {"SLURM_GATEWAY_URL": "http://127.0.0.1:9"}, 246, "connection refused"),
        (["jobs"], {"SLURM_GATEWAY_URL": "http://api.example.org"}, 2, "without TLS"),
        (["submit", "nowhere.sh"], {}, 2, "cannot be read"),
        (["submit", "--tim", "3"], {}, 2, "--time-min"),
        (["submit", "x.sh", "--idempotency-key=a b"], {}, 2, "idempotency key"),
        (["submit", "x.sh"], {"SLURM_GATEWAY_OPTIONS": "'"}, 2, "SLURM_GATEWAY_OPTIONS cannot be read"),
        (["jobs"], {"SLURM_GATEWAY_URL": "https://[::1"}, 2, "no address of a gateway"),
        (["jobs"], {"SLURM_GATEWAY_URL": "https://127.0.0.1:99999"}, 2, "no address of a gateway"),
        (["jobs"], {"SLURM_GATEWAY_URL": "https://exa mple"}, 2, "No request can be sent"),
        (["jobs"], {"SLURM_GATEWAY_URL": "https://127.0.0.1:9", "REQUESTS_CA_BUNDLE": "/nowhere"}, 2, "/nowhere"),
        (["jobs"], {"SLURM_GATEWAY_URL": "https://127.0.0.1:9", "HTTPS_PROXY": "odd://x"}, 2, "HTTPS_PROXY"),
        (["wait", "1", "--outputs-file=/nowhere/x"], {}, 2, "/nowhere/x cannot be written"),
        (["submit", "/dev/null", "--wait", "--summary-file=/nowhere/x"], {}, 2, "/nowhere/x cannot be written"),
        (["submit", "/dev/null", "--output-dir=/dev/null/x"], {}, 2, "Nothing was submitted"),
        (["nonsense"], {}, 2, "No such command"),
        (["show"], {}, 2, "Missing argument"),
    ],
)
def test_error_is_on_one_screen_with_what_to_do_and_no_traceback(
    words: list[str], environ: dict[str, str], status: int, said: str
) -> None:
    done = run(*words, **environ)
    assert done.returncode == status, done.stderr
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 24
    assert done.stdout == ""
    assert TOKEN not in done.stderr


@pytest.mark.parametrize("answer", [b"<html>Please sign in</html>", {"another": "service"}, [], None])
@pytest.mark.parametrize(
    "words",
    [
        ["jobs"], ["show", "12"], ["wait", "12"], ["logs", "12"], ["logs", "-f", "12"], ["partitions"], ["nodes"],
        ["submit", "--wrap=true"], ["submit", "--wrap=true", "--dry-run"], ["hold", "12"], ["cancel", "12"],
    ],
)  # fmt: skip
def test_answer_of_something_else_is_told_to_be_that(stand_in: StandIn, words: list[str], answer: Any) -> None:
    status = {"submit": 201, "hold": 202, "cancel": 202}.get(words[0], 200) if words[-1] != "--dry-run" else 200
    stand_in.says(status, answer)
    done = run(*words, url=stand_in.url)
    if status == 202 and answer is None:
        assert done.returncode == 0, "the gateway itself says null of a job that cannot be shown"
        return
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "is no gateway" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stderr


def test_full_disk_is_told_without_a_traceback(stand_in: StandIn) -> None:
    stand_in.says(200, job(state="COMPLETED"))
    done = run("wait", "12", "--outputs-file=/dev/full", url=stand_in.url)
    assert done.returncode == 1
    assert "no space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        ({"state": "FAILED", "exit_code": 3}, 3),
        ({"state": "TIMEOUT", "exit_code": 0}, 241),
        ({"state": "COMPLETED", "exit_code": 0}, 246),
    ],
)
def test_how_a_job_ended_is_told_though_its_output_cannot_be_kept(
    stand_in: StandIn, tmp_path: Path, ended: dict[str, Any], status: int
) -> None:
    stand_in.says(200, job(**ended)).says(503, {"detail": "No head node."})
    outputs, summary, kept = tmp_path / "outputs", tmp_path / "summary.md", tmp_path / "kept"
    done = run(
        "wait", "12", "--json", "--patience=1", f"--output-dir={kept}", f"--outputs-file={outputs}",
        f"--summary-file={summary}", url=stand_in.url,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    said = " ".join(done.stderr.split())
    assert "503: No head node." in said
    assert f"It does not change how job 12 ended: {ended['state']}" in said
    assert "gateway wait 12` with the same options keeps it" in said
    assert f"state={ended['state']}\n" in outputs.read_text()
    assert f"| {ended['state']} |" in summary.read_text()
    assert json.loads(done.stdout)["state"] == ended["state"]


@pytest.mark.parametrize(("ended", "status"), [({"state": "FAILED", "exit_code": 3}, 3), ({"state": "COMPLETED"}, 246)])
def test_how_a_job_ended_is_told_though_its_last_output_cannot_be_shown(
    stand_in: StandIn, tmp_path: Path, ended: dict[str, Any], status: int
) -> None:
    stand_in.says(200, job(**ended)).says(503, {"detail": "No head node."})
    outputs, kept = tmp_path / "outputs", tmp_path / "kept"
    done = run(
        "wait", "12", "--follow", "--patience=1", f"--outputs-file={outputs}", f"--output-dir={kept}", url=stand_in.url
    )
    assert done.returncode == status, done.stderr
    assert f"It does not change how job 12 ended: {ended['state']}" in " ".join(done.stderr.split())
    assert outputs.read_text() == f"job_id=12\nstate={ended['state']}\nexit_code={ended.get('exit_code', 0)}\n"
    assert {asked.path.partition("?")[2] for asked in stand_in.asked} == {"", "stream=stdout&offset=0"}


def test_outputs_are_left_though_the_end_is_not_seen(stand_in: StandIn, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    stand_in.says(200, job(), Retry_After="1").says(503)
    done = run("wait", "12", "--patience=1", f"--outputs-file={outputs}", url=stand_in.url)
    assert (done.returncode, outputs.read_text()) == (246, "job_id=12\nstate=RUNNING\nexit_code=246\n"), done.stderr
    stand_in.answers = []
    stand_in.says(200, job(), Retry_After="60")
    with start("wait", "12", f"--outputs-file={outputs}", url=stand_in.url) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert outputs.read_text().splitlines()[3:] == ["job_id=12", "state=RUNNING", "exit_code=143"]


def test_directory_that_takes_no_output_does_not_hide_how_the_job_ended(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.says(200, job(state="FAILED", exit_code=3))
    stand_in.says(200, {"stdout": {"size": 4}, "stderr": None, "files": [], "problems": []})
    (tmp_path / "12").write_text("in the way")
    done = run("wait", "12", f"--output-dir={tmp_path}", url=stand_in.url)
    assert done.returncode == 3
    said = " ".join(done.stderr.split())
    assert "12 cannot be written: file exists." in said
    assert "It does not change how job 12 ended: FAILED, exit code 3." in said
    assert "Traceback" not in said


def test_summary_is_utf_8_whatever_the_locale(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.says(200, job(state="COMPLETED", exit_code=0, name="r\N{GREEK SMALL LETTER SIGMA}"))
    stand_in.says(404, {"message": "Not Found"})
    summary = tmp_path / "summary.md"
    latin = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("wait", "12", f"--summary-file={summary}", url=stand_in.url, **latin)
    assert done.returncode == 0, done.stderr
    assert "r\N{GREEK SMALL LETTER SIGMA}" in summary.read_text(encoding="utf-8")


def test_closed_pipe_is_no_traceback(stand_in: StandIn) -> None:
    stand_in.says(200, {"jobs": [job(id=str(number)) for number in range(500)], "next": None})
    words = "python -c 'from slurm_gateway_client.command import program; program()' jobs --limit=500"
    done = subprocess.run(
        ["bash", "-c", f"{words.replace('python', sys.executable, 1)} | head -1"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "client"), "SLURM_GATEWAY_URL": stand_in.url,
             "SLURM_JWT": TOKEN}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.startswith("ID")


def test_script_name_options_arguments_and_key_reach_the_gateway(stand_in: StandIn, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\ntrue\n")
    stand_in.says(201, job(notices=[]))
    done = run("submit", str(script), "--time=10", "-Hn4", "--export=A", "--", "x", "y", url=stand_in.url, A="1")
    assert done.stdout == f"Submitted job 12 ({script})\n"
    [asked] = stand_in.asked
    assert asked.path == "/jobs"
    assert json.loads(asked.body) == {
        "script": "#!/bin/sh\ntrue\n", "script_name": str(script), "arguments": ["x", "y"], "environment": {"A": "1"},
        "options": {"time": "10", "hold": "", "ntasks": "4", "export": "A"},
    }  # fmt: skip
    assert asked.headers["Idempotency-Key"]


@pytest.mark.parametrize(
    ("options", "status", "said"), [("--comment=x --parsable -- first", 0, ""), ("--comment", 2, "needs an argument")]
)
def test_options_of_the_variable_take_nothing_from_the_command_line(
    stand_in: StandIn, options: str, status: int, said: str
) -> None:
    stand_in.says(201, job())
    done = run("submit", "--wrap=true", "--time=1", "--", "then", url=stand_in.url, SLURM_GATEWAY_OPTIONS=options)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    for asked in stand_in.asked:
        assert json.loads(asked.body) == {
            "arguments": ["first", "then"], "options": {"comment": "x", "wrap": "true", "time": "1"},
        }  # fmt: skip


def test_option_given_twice_goes_twice_as_on_a_command_line(stand_in: StandIn) -> None:
    stand_in.says(201, job())
    run("submit", "--wrap=true", "--time=1", "--time=2", "--parsable", url=stand_in.url)
    assert stand_in.asked[0].path == "/jobs?wrap=true&time=1&time=2"


def test_refused_script_does_not_keep_the_others_from_being_submitted(stand_in: StandIn, tmp_path: Path) -> None:
    for name in ("a.sh", "b.sh", "c.sh"):
        (tmp_path / name).write_text(f"#!/bin/sh\n# {name}\n")
    refusal = {
        "type": "urn:slurm-gateway:problem:option-not-valid",
        "title": "no",
        "detail": "Line 2 is wrong",
        "line": 2,
    }
    stand_in.says(201, job(id="1")).says(422, refusal).says(201, job(id="2"))
    done = run("submit", "--parallel=1", *(str(tmp_path / name) for name in ("a.sh", "b.sh", "c.sh")), url=stand_in.url)
    assert done.returncode == 248
    assert [line.split()[2] for line in done.stdout.splitlines()] == ["1", "2"]
    assert "Line 2 is wrong" in " ".join(done.stderr.split())


def scripts_in(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\n# {name}\n")
    return [str(folder / name) for name in names]


def test_jobs_that_were_submitted_are_told_when_the_gateway_goes_away(stand_in: StandIn, tmp_path: Path) -> None:
    names = scripts_in(tmp_path, "a.sh", "b.sh", "c.sh")
    outputs = tmp_path / "outputs"
    stand_in.says(201, job(id="1")).says(503, {"detail": "No head node."})
    done = run("submit", "--parallel=1", "--patience=1", f"--outputs-file={outputs}", *names, url=stand_in.url)
    assert (done.returncode, done.stdout) == (246, f"Submitted job 1 ({names[0]})\n"), done.stderr
    said = " ".join(done.stderr.split())
    assert "not known whether" in said
    assert f"--idempotency-key={stand_in.asked[-1].headers['Idempotency-Key']}" in said
    assert "1 of 3 scripts became jobs; not sent: 1, from" in said
    assert outputs.read_text() == "job_id=1\nstate=\nexit_code=246\n"


def test_outputs_are_left_though_there_is_no_job(stand_in: StandIn, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    stand_in.says(403, {"message": "Forbidden"})
    done = run("submit", "--wrap=true", "--wait", f"--outputs-file={outputs}", url=stand_in.url)
    assert (done.returncode, outputs.read_text()) == (247, "job_id=\nstate=\nexit_code=247\n"), done.stderr


def test_answers_that_are_on_their_way_are_awaited_when_another_submit_fails(stand_in: StandIn, tmp_path: Path) -> None:
    is_refused = threading.Event()

    def late() -> dict[str, Any]:
        is_refused.wait(30)
        time.sleep(0.3)
        return job(id="7")

    def refusal() -> dict[str, Any]:
        wait_for(lambda: len(stand_in.asked) == 2)
        is_refused.set()
        return {"message": "Forbidden"}

    stand_in.says(201, late).says(403, refusal)
    done = run("submit", "--follow", *scripts_in(tmp_path, "a.sh", "b.sh"), url=stand_in.url)
    assert (done.returncode, done.stdout) == (247, ""), done.stderr
    assert "Submitted job 7 (" in done.stderr
    assert "Then: slurm-gateway wait 7" in " ".join(done.stderr.split())


@pytest.mark.parametrize("words", [["--json"], ["--json", "--wait"]])
def test_json_of_a_refused_script_is_null_and_of_several_one_list(
    stand_in: StandIn, tmp_path: Path, words: list[str]
) -> None:
    names = scripts_in(tmp_path, "a.sh", "b.sh")
    refusal = {"type": "urn:slurm-gateway:problem:option-not-valid", "detail": "Line 2 is wrong"}
    stand_in.says(422, refusal)
    done = run("submit", names[0], *words, url=stand_in.url)
    assert (done.returncode, json.loads(done.stdout)) == (248, None), done.stderr
    assert "Traceback" not in done.stderr
    stand_in.answers = []
    stand_in.says(422, refusal).says(201, job(id="2")).says(200, job(id="2", state="COMPLETED", exit_code=0))
    done = run("submit", *names, *words, "--parallel=1", url=stand_in.url)
    assert (done.returncode, [each["id"] for each in json.loads(done.stdout)]) == (248, ["2"]), done.stderr


@pytest.mark.parametrize("before", range(40, 70, 5))
def test_key_in_an_error_is_one_word_wherever_the_line_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], before: int
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    key = "slurm-gateway-01234567-89ab-cdef-0123-456789abcdef"
    Screen().error(ClientError("It failed.", todo=f"{'x' * before} {key}"))
    said = capsys.readouterr().err
    assert key in said
    assert max(len(line) for line in said.splitlines()) <= 80


@pytest.mark.parametrize("scripts", [1, 3])
def test_submit_that_is_under_way_at_the_interruption_is_cancelled_too(
    stand_in: StandIn, tmp_path: Path, scripts: int
) -> None:
    is_stopped = threading.Event()

    def late() -> dict[str, Any]:
        is_stopped.wait(30)
        return job(id=str(scripts))

    names = [str(tmp_path / f"{number}.sh") for number in range(scripts)]
    for name in names:
        Path(name).write_text("#!/bin/sh\n")
    for number in range(1, scripts):
        stand_in.says(201, job(id=str(number)))
    stand_in.says(201, late).says(202, b"null")
    with start("submit", *names, "--cancel-on-interrupt", url=stand_in.url) as process:
        wait_for(lambda: len(stand_in.asked) == scripts)
        process.send_signal(signal.SIGTERM)
        is_stopped.set()
        said = " ".join(process.communicate(timeout=30)[1].split())
    assert process.returncode == 143
    assert {asked.path for asked in stand_in.asked if asked.method == "DELETE"} == {
        f"/jobs/{number}" for number in range(1, scripts + 1)
    }
    assert re.fullmatch(r"error: Interrupted\. Cancelled jobs? [123, ]+\.", said), said


def test_interrupted_it_ends_at_once_though_an_answer_is_awaited(stand_in: StandIn) -> None:
    is_over = threading.Event()

    def never() -> dict[str, Any]:
        is_over.wait(60)
        return job()

    stand_in.says(200, never)
    with start("wait", "12", "13", url=stand_in.url) as process:
        wait_for(lambda: len(stand_in.asked) == 2)
        process.send_signal(signal.SIGINT)
        said = " ".join(process.communicate(timeout=20)[1].split())
    is_over.set()
    assert process.returncode == 130
    assert said.startswith("error: Interrupted. Not cancelled: jobs 12, 13."), said
    assert "Traceback" not in said


class Line:
    """A line on the screen that is replaced; made slowly, so that two could be made at once."""

    begun: list[Line]
    both: threading.Barrier

    def __init__(self) -> None:
        with suppress(threading.BrokenBarrierError):
            self.both.wait(0.2)

    def start(self) -> None:
        self.begun.append(self)

    def update(self, _text: object) -> None:
        """Show something else."""

    def stop(self) -> None:
        self.begun.remove(self)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """Have a screen that is live, and give the lines that are on it."""
    Line.begun, Line.both = [], threading.Barrier(2)
    monkeypatch.setattr(Screen, "is_live", True)
    monkeypatch.setattr(Console, "status", lambda *_, **__: Line())
    return Line.begun


def test_threads_that_finish_at_once_share_one_line(lines: list[Line]) -> None:
    screen = Screen()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(screen.progress, ["1 submitted", "2 submitted"]))
    assert len(lines) == 1
    screen.end_progress()
    assert lines == []


def test_thread_that_finishes_after_the_interruption_begins_no_line(lines: list[Line]) -> None:
    screen = Screen()
    screen.progress("1 submitted")
    screen.end_progress(for_good=True)
    screen.progress("2 submitted")
    assert lines == []
