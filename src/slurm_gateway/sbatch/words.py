"""How sbatch splits a directive into words.

Quotes of either kind group, a backslash takes the next character as it is (within quotes too), and `#` outside
quotes ends the line even in the middle of a word. Three of sbatch's habits lose words without saying so; they
are errors here: an empty quoted word ends the line, so does the word `hetjob`, and a quote must be closed on
its own line.

Source: sbatch's `get_argument` and its behaviour, the same from 24.05 to 26.05.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import Place, ScriptError

SPACE = " \t\v\f\r"
SEPARATORS = ("hetjob", "packjob")


@dataclass(frozen=True)
class Word:
    """A word of a directive and the place of its first character."""

    text: str
    place: Place


@dataclass(frozen=True)
class Words:
    """A directive's words, and the place of a `#` that cuts off the rest of a word, where there is one."""

    words: tuple[Word, ...]
    cut: Place | None = None


def starts_component(text: str, position: int) -> int:
    """Return the length of the separator of heterogeneous components at this position, or 0."""
    for separator in SEPARATORS:
        end = position + len(separator)
        if text[position:end].lower() == separator and (end == len(text) or text[end] in SPACE):
            return len(separator)
    return 0


def skip_space(text: str, position: int) -> int:
    """Return the position of the next character that is no white space, or the length of the text."""
    while position < len(text) and text[position] in SPACE:
        position += 1
    return position


def split(text: str, start: int, line: int) -> Words:
    """Split a line from a position on.

    Takes the whole line without its end, where the words begin, and the line's number. Raises ScriptError.
    """
    words: list[Word] = []
    position = start
    while (position := skip_space(text, position)) < len(text):
        place = Place(line, position + 1)
        if text[position] == "#":
            break
        if text[position] == ":":
            raise ScriptError(place, "sbatch takes no word that begins with a colon; quote it")
        if starts_component(text, position):
            raise ScriptError(
                place,
                "the word hetjob begins a component of a heterogeneous job and must stand alone after #SBATCH; "
                "quote it if it is a value",
            )
        if text[position] == "\\" and skip_space(text, position + 1) == len(text):
            break  # people mean a continued line by this, and sbatch reads all directives as one line anyway
        word, end, cut = _word(text, position, place)
        words.append(Word(word, place))
        if cut:
            return Words(tuple(words), Place(line, end + 1))
        position = end
    return Words(tuple(words))


def _word(text: str, start: int, place: Place) -> tuple[str, int, bool]:
    """Return the word at `start`, the position after it, and whether a `#` ended it."""
    letters: list[str] = []
    quote = ""
    opened = position = start
    while position < len(text) and (quote or text[position] not in SPACE):
        letter = text[position]
        if letter == "\\":
            following = text[position + 1 : position + 2]
            if following and (following == " " or quote or following not in SPACE):
                letters.append(following)
                position += 2
                continue
            position += 1  # sbatch drops a backslash before a tab and at the line's end
            continue
        if quote:
            if letter == quote:
                quote = ""
            else:
                letters.append(letter)
        elif letter in "\"'":
            quote, opened = letter, position
        elif letter == "#":
            return _nonempty(letters, place), position, True
        else:
            letters.append(letter)
        position += 1
    if quote:
        raise ScriptError(Place(place.line, opened + 1), f"this {quote} has no partner on its line")
    return _nonempty(letters, place), position, False


def _nonempty(letters: list[str], place: Place) -> str:
    if not letters:
        raise ScriptError(
            place,
            "sbatch stops reading a line at an empty word; leave it out, or write it behind = (--option=)",
        )
    return "".join(letters)
