"""A batch script: sbatch's checks of it, and the directives in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import Place, ScriptError
from .words import Word, skip_space, split, starts_component

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 4 * 1024 * 1024
"""In bytes. Source: sbatch's own bound, and slurmctld's (SchedulerParameters, max_script_size)."""

MOST_COMPONENTS = 128
"""Of a heterogeneous job. Each costs as much to read as a job; nobody's is known to have a tenth of that."""

DIRECTIVE = "#SBATCH"
OLD_DIRECTIVE = "#SLURM"
_FOREIGN = ("#PBS", "#BSUB")
_FOREIGN_COMMANDS = 100  # sbatch looks no further for them than this many lines that are no comments


@dataclass(frozen=True)
class Script:
    """A script that sbatch would submit.

    `components` holds the words of its directives, one tuple for each component of a heterogeneous job, and
    one in all for any other. `foreign` is the first line that sbatch would read as an option of PBS or LSF.
    """

    text: str
    components: tuple[tuple[Word, ...], ...] = ((),)
    notices: tuple[str, ...] = ()
    foreign: Place | None = None
    wraps: str | None = None


def read(body: bytes) -> Script:
    """Read a batch script.

    Takes the script as it was sent. Raises ScriptError, with line and column, for what sbatch refuses (empty,
    longer than 4 MiB, no `#!`, NUL, CRLF, a quote that is not closed) and for what is not UTF-8, which JSON
    cannot hold.
    """
    if not body:
        raise ScriptError(Place(1, 1), "the batch script is empty")
    if len(body) > LONGEST:
        raise ScriptError(Place(1, 1), f"the batch script has {len(body)} bytes; sbatch takes {LONGEST} at most")
    if not body.strip(b" \t\n\v\f\r"):
        raise ScriptError(Place(1, 1), "the batch script contains only white space")
    if not body.startswith(b"#!"):
        hint = "a byte order mark stands before it; " if body.startswith(b"\xef\xbb\xbf#!") else ""
        raise ScriptError(
            Place(1, 1),
            f"{hint}the first line must start with #! followed by the path to an interpreter, such as #!/bin/sh",
        )
    _refuse(body, b"\0", "Slurm takes no script with a NUL character")
    _refuse(body, b"\r\n", "this line ends with CR LF (DOS); sbatch takes LF only: run dos2unix on the script")
    try:
        text = body.decode()
    except UnicodeDecodeError as exc:
        raise ScriptError(
            _place(body, exc.start), "this is not UTF-8, and the REST API can carry nothing else; recode the script"
        ) from exc
    components, notices = _directives(text)
    return Script(text, components, notices, _foreign(text))


def wrap(command: str) -> Script:
    """Return the script that sbatch makes of `--wrap`'s command."""
    text = f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{command}\n"
    return Script(read(text.encode()).text, wraps=command)


def _refuse(body: bytes, what: bytes, reason: str) -> None:
    if (position := body.find(what)) >= 0:
        raise ScriptError(_place(body, position), reason)


def _place(body: bytes, position: int) -> Place:
    before = body[:position]
    line_start = before.rfind(b"\n") + 1
    return Place(before.count(b"\n") + 1, len(before[line_start:].decode(errors="replace")) + 1)


def _lines(text: str) -> Iterator[str]:
    """Give the lines one by one: a script may be long, and its directives stand at its beginning."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _directives(text: str) -> tuple[tuple[tuple[Word, ...], ...], tuple[str, ...]]:
    components: list[list[Word]] = [[]]
    notices: list[str] = []
    for number, line in enumerate(_lines(text), start=1):
        if line.startswith(DIRECTIVE):
            start = len(DIRECTIVE)
        elif line.startswith(OLD_DIRECTIVE):
            start = len(OLD_DIRECTIVE)
            notices.append(f"line {number}: #SLURM is read as #SBATCH; change it")
        elif skip_space(line, 0) < len(line) and line[skip_space(line, 0)] != "#":
            break
        else:
            continue
        start = skip_space(line, start)
        if separator := starts_component(line, start):
            _refuse_rest(line, start + separator, number)
            components.append([])
            if len(components) > MOST_COMPONENTS:
                raise ScriptError(Place(number, 1), f"a job of more than {MOST_COMPONENTS} components is not taken")
            continue
        words = split(line, start, number)
        components[-1].extend(words.words)
        if words.cut is not None:
            notices.append(f"{words.cut}: what follows # is a comment, also within a word; quote it to keep it")
    return tuple(tuple(words) for words in components), tuple(notices)


def _refuse_rest(line: str, position: int, number: int) -> None:
    position = skip_space(line, position)
    if position < len(line) and line[position] != "#":
        raise ScriptError(Place(number, position + 1), "sbatch drops what follows hetjob; put it on a line of its own")


def _foreign(text: str) -> Place | None:
    commands = 0
    for number, line in enumerate(_lines(text), start=1):
        if line.startswith(_FOREIGN):
            return Place(number, 1)
        if not line.startswith("#"):
            commands += 1
            if commands > _FOREIGN_COMMANDS:
                break
    return None
