"""Batch scripts: what sbatch would not submit, and how it splits its directives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gateway import sbatch
from slurm_gateway.sbatch import script
from slurm_gateway.sbatch.errors import Place
from slurm_gateway.sbatch.words import split


def read(*lines: str) -> script.Script:
    return script.read("\n".join(("#!/bin/bash", *lines, "hostname", "")).encode())


def words(*lines: str) -> list[str]:
    return [word.text for component in read(*lines).components for word in component]


@pytest.mark.parametrize(
    ("body", "line", "column", "reason"),
    [
        (b"", 1, 1, "the batch script is empty"),
        (b" \n\t\n", 1, 1, "only white space"),
        (b"hostname\n", 1, 1, "must start with #!"),
        (b"\xef\xbb\xbf#!/bin/sh\n", 1, 1, "byte order mark"),
        (b"#!/bin/sh\necho a\0b\n", 2, 7, "NUL"),
        (b"#!/bin/sh\ntrue\r\n", 2, 5, "CR LF"),
        ("#!/bin/sh\n# é\n".encode("latin-1"), 2, 3, "not UTF-8"),
        ("#!/bin/sh\n# é é".encode() + b"\xff\n", 2, 6, "not UTF-8"),
        (b"#!/bin/sh\n" + b"#" * script.LONGEST, 1, 1, "4194304 at most"),
        (b"#!/bin/sh\n#SBATCH --comment='x\n", 2, 19, "has no partner"),
        (b"#!/bin/sh\n#SBATCH -n 1 : -n 2\n", 2, 14, "begins with a colon"),
        (b'#!/bin/sh\n#SBATCH --comment "" -n 2\n', 2, 19, "empty word"),
        (b"#!/bin/sh\n#SBATCH hetjob -n 2\n", 2, 16, "drops what follows hetjob"),
        (b"#!/bin/sh\n#SBATCH -n 2 hetjob\n", 2, 14, "must stand alone"),
    ],
)
def test_a_script_that_sbatch_refuses_or_misreads_is_refused_at_its_place(
    body: bytes, line: int, column: int, reason: str
) -> None:
    with pytest.raises(sbatch.ScriptError, match=reason) as refusal:
        script.read(body)

    assert Place(line, column) == refusal.value.place


def test_a_script_of_exactly_four_mebibytes_is_taken() -> None:
    head = b"#!/bin/sh\n"

    assert len(script.read(head + b"#" * (script.LONGEST - len(head))).text) == script.LONGEST


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["#SBATCH -n 2 --time=5"], ["-n", "2", "--time=5"]),
        (["#SBATCH-n\t2"], ["-n", "2"]),
        (['#SBATCH -J "two words"'], ["-J", "two words"]),
        (["#SBATCH -J 'a \"b\" c'"], ["-J", 'a "b" c']),
        (['#SBATCH -J "a \\"b\\" c"'], ["-J", 'a "b" c']),
        (["#SBATCH -J 'it\\'s'"], ["-J", "it's"]),
        (["#SBATCH --comment=a' b 'c"], ["--comment=a b c"]),
        (["#SBATCH --comment=a\\ b"], ["--comment=a b"]),
        (["#SBATCH -n 2 # --time=5"], ["-n", "2"]),
        (["#SBATCH --comment=issue#12 --time=5"], ["--comment=issue"]),
        (["#SBATCH --comment=issue\\#12"], ["--comment=issue#12"]),
        (["#SBATCH --comment='a#b'"], ["--comment=a#b"]),
        (["#SBATCH -n 2 \\", "#SBATCH -c 3"], ["-n", "2", "-c", "3"]),
        (["##SBATCH -n 2", "# SBATCH -n 2", " #SBATCH -n 2", "#sbatch -n 2"], []),
        (["", "\t", "  # comment", "#SBATCH -n 2"], ["-n", "2"]),
        (["true", "#SBATCH -n 2"], []),
        (["#SLURM -n 2"], ["-n", "2"]),
    ],
)
def test_directives_are_split_as_sbatch_splits_them(lines: list[str], expected: list[str]) -> None:
    assert expected == words(*lines)


def test_a_word_knows_its_line_and_column() -> None:
    assert [Place(2, 9), Place(2, 12), Place(3, 9)] == [
        word.place for word in read("#SBATCH -J 'x y'", "#SBATCH -n2").components[0]
    ]


def test_what_a_hash_within_a_word_cuts_off_is_told() -> None:
    assert read("#SBATCH --comment=issue#12").notices == (
        "line 2, column 24: what follows # is a comment, also within a word; quote it to keep it",
    )


def test_each_hetjob_line_begins_a_component() -> None:
    lines = ("#SBATCH -n1", "#SBATCH hetjob # second", "#SBATCH -n2", "#SBATCH PackJob", "#SBATCH -n3")
    components = read(*lines).components

    assert [[word.text for word in each] for each in components] == [["-n1"], ["-n2"], ["-n3"]]


@given(st.lists(st.text(st.characters(blacklist_characters="\n\r\0", blacklist_categories=["Cs"]), min_size=1)))
def test_a_word_in_single_quotes_comes_back_as_it_was(texts: list[str]) -> None:
    line = " ".join("'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" for text in texts)

    assert texts == [word.text for word in split(line, 0, 1).words]


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_line_is_split_or_refused(line: str) -> None:
    places = [Place(1, 1)]
    try:
        places += [word.place for word in split(line, 0, 1).words]
    except sbatch.ScriptError as refusal:
        places.append(refusal.place)

    assert all(1 <= (place.column or 0) <= max(1, len(line)) for place in places)
