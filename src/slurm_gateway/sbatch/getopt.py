"""Words become options, as getopt_long does it for sbatch.

Long names may be shortened while they stay unique, short ones may stand together (`-Hk`), and the first word
that is no option ends it: sbatch takes no such word in a script.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import options
from .errors import OptionError
from .options import Argument, Option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .errors import Place
    from .releases import Release
    from .words import Word


MOST = 1000
"""Options of a component. One may cost some milliseconds to read, and a script can hold hundreds of thousands."""


@dataclass(frozen=True)
class Given:
    """An option as it was given: its value, None where it has none, and its place."""

    option: Option
    value: str | None
    place: Place


def parse(words: Sequence[Word], release: Release) -> list[Given]:
    """Return the options in a sequence of words. Raises OptionError for what is none."""
    given: list[Given] = []
    remaining = iter(words)
    for word in remaining:
        if word.text == "--":
            _refuse_rest(remaining)
        elif word.text.startswith("--"):
            given.append(_long(word, remaining, release))
        elif word.text.startswith("-") and word.text != "-":
            given.extend(_short(word, remaining, release))
        else:
            raise OptionError(word.place, word.text, "this is no option; sbatch takes nothing else in a directive")
        if len(given) > MOST:
            raise OptionError(word.place, word.text, f"more than {MOST} options are not taken")
    return given


def find(name: str, place: Place, release: Release) -> Option:
    """Return the option of a long name, shortened or not. Raises OptionError."""
    table = options.of_release(release)
    if name in table:
        return table[name]
    matches = [option for full, option in sorted(table.items()) if name and full.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(f"--{option.name}" for option in matches)
        raise OptionError(place, f"--{name}", f"this may be {names}")
    later = next((option for option in options.ALL if option.name == name), None)
    known = f"; {later.since} has it" if later and later.since > release else ""
    raise OptionError(place, f"--{name}", f"sbatch of Slurm {release} has no such option{known}")


def _long(word: Word, remaining: Iterator[Word], release: Release) -> Given:
    name, equals, value = word.text[2:].partition("=")
    option = find(name, word.place, release)
    if option.argument is Argument.NONE and equals:
        raise OptionError(word.place, f"--{option.name}", "this option takes no argument")
    if option.argument is Argument.REQUIRED and not equals:
        value = _argument(option, word, remaining)
        equals = "="
    return Given(option, value if equals else None, word.place)


def _short(word: Word, remaining: Iterator[Word], release: Release) -> Iterator[Given]:
    table = options.letters(release)
    for position in range(1, len(word.text)):
        letter = word.text[position]
        if letter not in table:
            raise OptionError(word.place, f"-{letter}", f"sbatch of Slurm {release} has no such option")
        option = table[letter]
        if option.argument is Argument.NONE:
            yield Given(option, None, word.place)
            continue
        value: str | None = word.text[position + 1 :] or None
        if value is None and option.argument is Argument.REQUIRED:
            value = _argument(option, word, remaining)
        yield Given(option, value, word.place)
        return


def _argument(option: Option, word: Word, remaining: Iterator[Word]) -> str:
    following = next(remaining, None)
    if following is None:
        raise OptionError(word.place, f"--{option.name}", "its argument is missing")
    if following.place.line != word.place.line:
        raise OptionError(
            word.place,
            f"--{option.name}",
            f'its argument is missing; sbatch would take "{following.text}" of the next directive for it',
        )
    return following.text


def _refuse_rest(remaining: Iterator[Word]) -> None:
    for word in remaining:
        raise OptionError(word.place, word.text, "this is no option; sbatch takes nothing else in a directive")
