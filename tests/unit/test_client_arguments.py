"""The words of `slurm-gateway submit`, told apart as sbatch's getopt does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slurm_gateway_client import sbatch_options
from slurm_gateway_client.errors import SettingsError
from slurm_gateway_client.sbatch_arguments import exported, parse, split

ROOT = Path(__file__).resolve().parents[2]
OWN = {"wait": False, "follow": False, "quiet": False, "help": False, "output-dir": True}
KNOWN = sbatch_options.FLAGS | sbatch_options.ARGUMENT_OPTIONAL | sbatch_options.ARGUMENT_REQUIRED


def test_what_is_generated_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "client/generate.py", "--check"],
        cwd=ROOT, env={"PYTHONPATH": "src:client", "LANG": "C.UTF-8"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "scripts", "options"),
    [
        (["job.sh", "--time=10"], ["job.sh"], [("time", "10")]),
        (["--time", "10", "job.sh"], ["job.sh"], [("time", "10")]),
        (["a.sh", "b.sh", "-p", "queue1"], ["a.sh", "b.sh"], [("partition", "queue1")]),
        (["-pqueue1", "job.sh"], ["job.sh"], [("partition", "queue1")]),
        (["-Hn4", "job.sh"], ["job.sh"], [("hold", ""), ("ntasks", "4")]),
        (["--exclusive", "job.sh"], ["job.sh"], [("exclusive", "")]),
        (["--exclusive=user", "job.sh"], ["job.sh"], [("exclusive", "user")]),
        (["--parti", "x", "job.sh"], ["job.sh"], [("partition", "x")]),
        (["--comment", "--wait", "job.sh"], ["job.sh"], [("comment", "--wait")]),
        (["--time=1", "--time=2", "-"], ["-"], [("time", "1"), ("time", "2")]),
        (["--new-in-27.05=yes", "job.sh"], ["job.sh"], [("new-in-27.05", "yes")]),
    ],
)
def test_options_are_told_from_scripts(words: list[str], scripts: list[str], options: list[tuple[str, str]]) -> None:
    found = parse(words, OWN)
    assert (found.scripts, found.options, found.own, found.arguments) == (scripts, options, [], [])


def test_own_options_and_arguments_of_the_script_are_told_apart() -> None:
    found = parse(["job.sh", "-WQ", "--follow", "--output-dir", "out", "--output=x", "--", "-n", "4"], OWN)
    assert found.own == ["--wait", "--quiet", "--follow", "--output-dir", "out"]
    assert found.options == [("output", "x")]
    assert found.arguments == ["-n", "4"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tim"], "--time, --time-min"),
        (["--folow"], "Did you mean --follow"),
        (["-Z"], "no option -Z"),
        (["--time"], "needs an argument"),
        (["-p"], "needs an argument"),
        (["--hold=yes"], "takes no argument"),
    ],
)
def test_what_cannot_be_told_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        parse(words, OWN)
    assert caught.value.todo


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(sorted(sbatch_options.ARGUMENT_REQUIRED)), st.text("abc=- ,", max_size=5)),
            st.tuples(st.sampled_from(sorted(sbatch_options.FLAGS - set(OWN))), st.just("")),
        )
    ),
    st.lists(st.from_regex(r"[a-z]+\.sh", fullmatch=True), max_size=3),
    st.lists(st.text(max_size=5)),
)
def test_no_word_is_dropped(options: list[tuple[str, str]], scripts: list[str], arguments: list[str]) -> None:
    words = [
        word
        for name, value in options
        for word in ([f"--{name}", value] if name in sbatch_options.ARGUMENT_REQUIRED else [f"--{name}"])
    ]
    found = parse([*words, *scripts, "--", *arguments], OWN)
    assert (found.options, found.scripts, found.arguments) == (options, scripts, arguments)


def test_every_letter_and_name_of_sbatch_is_known_once() -> None:
    assert set(sbatch_options.LETTERS.values()) <= KNOWN
    assert len(KNOWN) > 115


def test_variable_is_split_as_a_shell_does_and_runs_nothing() -> None:
    assert split("--comment='two words' --time=5\n--job-name=$(id)", "V") == [
        "--comment=two words", "--time=5", "--job-name=$(id)",
    ]  # fmt: skip
    with pytest.raises(SettingsError, match="V cannot be read"):
        split("'", "V")


@pytest.mark.parametrize(
    ("export", "sent"),
    [
        ("A,B", {"A": "1"}), ("ALL,A", {"A": "1"}), ("A=2", {}), ("ALL", {}), ("NONE", {}), ("SLURM_JWT", {}),
    ],
)  # fmt: skip
def test_exported_names_go_with_the_value_they_have_here(export: str, sent: dict[str, str]) -> None:
    assert exported([("export", export)], {"A": "1", "SLURM_JWT": "secret"}) == sent
