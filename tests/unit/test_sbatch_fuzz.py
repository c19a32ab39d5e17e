"""Whatever a script or an option holds, it is translated or refused with a reason: nothing crashes, hangs or swells."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from slurm_gateway import sbatch
from slurm_gateway.sbatch import options
from slurm_gateway.sbatch.releases import Release

VERSIONS = {
    "24.11": ["v0.0.42", "v0.0.41", "v0.0.40"],
    "26.05": ["v0.0.45", "v0.0.44", "v0.0.43", "v0.0.42"],
}
NAMES = sorted({option.name for option in options.ALL})
# What values are made of, so that more of them get past the first check of their grammar.
PIECES = [
    "0", "1", "-1", "65536", "4294967295", "9" * 18, "9" * 40, ".", ":", ",", "-", "=", "+", "@", "*", "/", "%", "[",
    "]", "{",
    "}", "'", '"', "\\", " ", "\t", "\0", "#", "~", "n[0-3]", "gpu", "gres/gpu:", "gpu:a100:", "mem", "cpu=",
    "license:", "now+",
    "weeks", "days", "tomorrow", "noon", "2027-01-31", "T13:00", "uts", "INFINITE", "UNLIMITED", "K", "M", "G", "T",
    "B:USR1",
    "R", "@60", "ALL", "NONE", "NIL", "yes", "no", "true", "map_mem:", "mask_mem:0x", "rank", "sort", "block",
    "cyclic", "plane=",
    "arbitrary", "pack", "afterok:", "singleton", "low", "high", "user", "\u00e9", "\u0660", "\U0001f600", "\x7f",
    "\u2028",
]  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(st.characters(exclude_categories=("Cs",)), max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
)  # fmt: skip
OPTIONS = st.lists(st.tuples(st.one_of(st.sampled_from(NAMES), st.text(max_size=12)), VALUES), max_size=6)
LINES = st.one_of(
    st.builds("#SBATCH --{}={}".format, st.sampled_from(NAMES), st.lists(st.sampled_from(PIECES),
    max_size=6).map("".join)),
    st.builds("#SBATCH {}".format, st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n"),
    max_size=60)),
    st.sampled_from(["#SBATCH hetjob", "#SBATCH packjob", "#SLURM --time=1", "#PBS -l x", "true", "", "#", "#SBATCH",
    "#SBATCH --"]),
)  # fmt: skip


def translated(body: bytes | None, given_options: list[tuple[str, object]], release: str) -> sbatch.Translation | None:
    try:
        script = None if body is None else sbatch.read(body)
        return sbatch.translate(
            script, given_options, sbatch.Submission("/home/alice", cluster="c"),  # type: ignore[arg-type]
            api_versions_of_cluster=VERSIONS[release],
        )  # fmt: skip
    except sbatch.SubmissionRefusedError:
        return None


@given(OPTIONS, st.sampled_from(sorted(VERSIONS)))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([("begin", "now+" + "9" * 30 + "days")], "24.11")
@example([("begin", "now-9999999weeks")], "24.11")
@example([("time", "9" * 5000)], "24.11")
@example([("tres-per-task", "cpu=" + "9" * 5000)], "26.05")
@example([("extra", "lost\0")], "24.11")
def test_any_option_is_carried_or_refused(given_options: list[tuple[str, object]], release: str) -> None:
    made = translated(None, [("wrap", "true"), *given_options], release)
    if made is not None:
        # It can be sent: as UTF-8, and without what ends a text in C.
        assert b"\\u0000" not in json.dumps(made.body()).encode()


@given(st.lists(LINES, max_size=8), st.sampled_from(sorted(VERSIONS)))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_script_is_carried_or_refused(lines: list[str], release: str) -> None:
    made = translated("\n".join(["#!/bin/sh", *lines, ""]).encode(), [], release)
    if made is not None:
        json.dumps(made.body()).encode()


@given(st.binary(max_size=300), st.sampled_from(sorted(VERSIONS)))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_a_script_or_refused(body: bytes, release: str) -> None:
    translated(body, [], release)
    translated(b"#!/bin/sh\n" + body, [], release)


HALF = 512 * 1024
BOMBS = {
    "options without end": b"#SBATCH --exclude=n[0-60000]\n" * (HALF // 29),
    "short options without end": b"#SBATCH " + b"-H " * (HALF // 3),
    "components without end": b"#SBATCH hetjob\n" * (HALF // 15),
    "notices without end": b"#SLURM\n" * (HALF // 7),
    "nodes over and over": b"#SBATCH --nodes=" + b"1-99999," * (HALF // 8) + b"1\n",
    "a list of nodes over and over": b"#SBATCH --nodelist=n[" + b"0-65535," * (HALF // 8) + b"1]\n",
    "a product of lists": b"#SBATCH --nodelist=" + b"n[0-9]" * (HALF // 6) + b"\n",
    "a list of memory over and over": b"#SBATCH --mem-bind=map_mem:" + b"0*60000," * (HALF // 8) + b"1\n",
    "brackets without end": b"#SBATCH --nodelist=" + b"[" * HALF + b"\n",
    "backslashes": b"#SBATCH --comment=" + b"\\" * HALF + b"\n",
    "quotes": b"#SBATCH --comment=" + b"\"'" * (HALF // 2) + b"\n",
    "a word without end": b"#SBATCH --" + b"a" * HALF + b"\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_script_does_not_take_long_or_grow_large(name: str) -> None:
    started = time.process_time()
    made = translated(b"#!/bin/sh\n" + BOMBS[name], [], "24.11")
    # A function has 29 s, and half a CPU, for eight times as much.
    assert time.process_time() - started < 15
    if made is not None:
        assert len("".join(made.notices)) < 100_000


def test_every_release_has_options_to_try() -> None:
    assert all(len(options.of_release(release)) > 80 for release in Release)
