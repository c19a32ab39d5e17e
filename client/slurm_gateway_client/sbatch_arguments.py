"""The words after `slurm-gateway submit`: scripts, sbatch's options and this command's own, read as sbatch reads its.

The gateway decides what becomes of an option; here it is only told apart from the scripts and from its argument. No
word is dropped: what is nothing known and has no `=` is refused, since it cannot be told whether the next word is its.
"""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import sbatch_options
from .errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

# sbatch's letters for what this command does itself.
_OWN_LETTERS = {"W": "wait", "Q": "quiet", "h": "help"}


@dataclass
class Words:
    """Words told apart. `options` are sbatch's, by their long names; `own` are this command's, as they were written."""

    scripts: list[str] = field(default_factory=list)
    options: list[tuple[str, str]] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)

    def __add__(self, other: Words) -> Words:
        """Return these words and others after them."""
        return Words(
            self.scripts + other.scripts,
            self.options + other.options,
            self.arguments + other.arguments,
            self.own + other.own,
        )


def parse(words: Sequence[str], own: Mapping[str, bool]) -> Words:
    """Return the words told apart. `own` has this command's long options, and whether each takes an argument.

    What stands after `--` are arguments of the script. Raises SettingsError.
    """
    found = Words()
    remaining = iter(words)
    for word in remaining:
        if word == "--":
            found.arguments.extend(remaining)
        elif word.startswith("--"):
            _long(word, remaining, own, found)
        elif word.startswith("-") and word != "-":
            _short(word, remaining, found)
        else:
            found.scripts.append(word)
    return found


def split(text: str, variable: str) -> list[str]:
    """Return the words of a variable, quoted as in a shell; nothing in it is expanded or run. Raises SettingsError."""
    try:
        return shlex.split(text)
    except ValueError as exc:
        raise SettingsError(
            f"{variable} cannot be read: {str(exc).lower()}.",
            todo="Quote it as for a shell: a quote needs its partner.",
        ) from exc


def exported(options: Iterable[tuple[str, str]], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that --export names without a value: those go to the job with the value they have here.

    A token never goes into a job.
    """
    named = [value for name, value in options if name == "export"][-1:]
    if not named or named[0].upper() in {"ALL", "NIL", "NONE"}:
        return {}
    names = [item for item in named[0].split(",") if item and "=" not in item and item.upper() != "ALL"]
    return {name: environ[name] for name in names if name in environ and name != "SLURM_JWT"}


def _long(word: str, remaining: Iterator[str], own: Mapping[str, bool], found: Words) -> None:
    given, equals, value = word[2:].partition("=")
    if given in own:
        found.own.append(word)
        if own[given] and not equals:
            found.own.append(_argument(word, remaining))
        return
    name = _full_name(given, equals, own)
    if name in sbatch_options.ARGUMENT_REQUIRED and not equals:
        value = _argument(word, remaining)
    elif name in sbatch_options.FLAGS and equals:
        raise SettingsError(f"sbatch's option --{name} takes no argument.", todo=f"Write --{name} alone.")
    found.options.append((name, value))


def _short(word: str, remaining: Iterator[str], found: Words) -> None:
    for place, letter in enumerate(word[1:], start=1):
        if letter in _OWN_LETTERS:
            found.own.append(f"--{_OWN_LETTERS[letter]}")
            continue
        name = sbatch_options.LETTERS.get(letter)
        if name is None:
            raise SettingsError(
                f"There is no option -{letter}, neither here nor in sbatch.", todo="`slurm-gateway submit --help`"
            )
        if name in sbatch_options.FLAGS:
            found.options.append((name, ""))
            continue
        value = word[place + 1 :]
        if not value and name in sbatch_options.ARGUMENT_REQUIRED:
            value = _argument(f"-{letter}", remaining)
        found.options.append((name, value))
        return


def _full_name(given: str, equals: str, own: Mapping[str, bool]) -> str:
    """Return the option of a name, shortened or not, as sbatch's getopt does it."""
    known = sbatch_options.FLAGS | sbatch_options.ARGUMENT_OPTIONAL | sbatch_options.ARGUMENT_REQUIRED
    matches = [given] if given in known else sorted(name for name in known if given and name.startswith(given))
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(f"--{name}" for name in matches)
        raise SettingsError(f"--{given} may be {names}.", todo="Write it in full.")
    if equals:
        return given  # A newer sbatch may have it: the gateway knows.
    near = difflib.get_close_matches(given, [*known, *own], n=1)
    hint = f" Did you mean --{near[0]}?" if near else ""
    raise SettingsError(
        f"There is no option --{given}, neither here nor in sbatch.{hint}",
        todo="`slurm-gateway submit --help` has the list. Arguments of the script stand after `--`.",
    )


def _argument(option: str, remaining: Iterator[str]) -> str:
    following = next(remaining, None)
    if following is None:
        raise SettingsError(f"The option {option} needs an argument.", todo=f"Write {option.partition('=')[0]} VALUE.")
    return following
