"""Which files a job's output is in: Slurm's own file names, and what the script asks to have collected.

    #GATEWAY output=results/*.csv output="a name with blanks.log"

Such lines stand where #SBATCH lines do, before the first command. A relative pattern begins at the job's working
directory. In a pattern as in Slurm's file names %j stands for the job's number, and so on.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from urllib.parse import unquote

_COLLECT = re.compile(r"slurm-gateway-collect:([!-~]*)")
_PERCENT = re.compile(r"%(?:%|([0-9]*)([AabJjNnstux]))")
_WIDEST = 10
_MOST_PATTERNS = 64
_LONGEST_PATTERN = 1024
# Bytes of a script that are looked at: one of nothing but comments takes twenty times its size of memory.
_LONGEST_HEAD = 256 * 1024


@dataclass(frozen=True)
class Names:
    """What the signs in a file's name stand for; "" for what is not known."""

    job_id: str
    number: int
    job_name: str
    user: str
    batch_host: str


@dataclass(frozen=True)
class Wanted:
    """The patterns that a script names, and the lines that cannot be understood."""

    patterns: tuple[str, ...]
    misunderstood: tuple[str, ...]


def expand(path: str, names: Names) -> str:
    """Return a path with its % signs replaced as Slurm does for a batch script's output."""
    whole, _, task = names.job_id.partition("_")
    values = {
        "A": whole, "a": task or "4294967294", "b": str(int(task or 0) % 10), "J": str(names.number),
        "j": str(names.number), "N": names.batch_host.partition(".")[0], "n": "0", "s": "batch", "t": "0",
        "u": names.user, "x": names.job_name,
    }  # fmt: skip

    def value(match: re.Match[str]) -> str:
        if match[2] is None:
            return "%"
        found = values[match[2]]
        return found.rjust(min(int(match[1] or 0), _WIDEST), "0") if found.isdigit() else found

    return _PERCENT.sub(value, path)


def wanted(script: bytes | None, extra: str) -> Wanted:
    """Return what a job's script, and what was sent beside it (in the job's `extra` field), ask to have collected."""
    patterns: list[str] = []
    misunderstood: list[str] = []
    for line in _comments(script or b""):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            misunderstood.append(line)
            continue
        for word in words:
            name, _, pattern = word.partition("=")
            if name == "output" and pattern:
                patterns.append(pattern)
            else:
                misunderstood.append(word)
    found = _COLLECT.search(extra)
    patterns += [unquote(part) for part in found[1].split(",")] if found else []
    good = [pattern for pattern in dict.fromkeys(patterns) if _is_good(pattern)]
    bad = [pattern for pattern in patterns if not _is_good(pattern)]
    return Wanted(tuple(good[:_MOST_PATTERNS]), tuple([*misunderstood, *bad, *good[_MOST_PATTERNS:]][:_MOST_PATTERNS]))


def absolute(path: str, working_directory: str) -> str:
    """Return a path or pattern from the root, without empty and "." parts; "" where there is none."""
    if not path:
        return ""
    whole = path if path.startswith("/") else f"{working_directory}/{path}"
    parts = [part for part in whole.split("/") if part not in ("", ".")]
    return "/" + "/".join(parts) if whole.startswith("/") else ""


def is_below(path: str, directories: tuple[str, ...]) -> bool:
    """Tell whether a path from the root lies in one of some directories, by its name alone."""
    return any(path.startswith(directory.rstrip("/") + "/") for directory in directories) and ".." not in path.split(
        "/"
    )


def _comments(script: bytes) -> list[str]:
    found: list[str] = []
    head = script if len(script) <= _LONGEST_HEAD else script[:_LONGEST_HEAD].rpartition(b"\n")[0]
    for line in head.split(b"\n"):
        text = line.strip()
        if text and not text.startswith(b"#"):
            break
        if text.startswith(b"#GATEWAY") and text[8:9].isspace():
            found.append(text[9:].decode(errors="replace"))
    return found


def _is_good(pattern: str) -> bool:
    return 0 < len(pattern) <= _LONGEST_PATTERN and "\0" not in pattern and ".." not in pattern.split("/")
