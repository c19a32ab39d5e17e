"""The signal before a job's end: --signal=[{R|B}:]SIGNAL[@SECONDS]."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ValueRefusedError
from .numbers import leading

_NAMES = (
    "HUP", "INT", "QUIT", "ABRT", "KILL", "ALRM", "TERM", "CHLD", "USR1", "USR2", "PIPE", "URG", "CONT", "STOP",
    "TSTP", "TTIN", "TTOU", "XCPU",
)  # fmt: skip
_DEFAULT_DELAY = 60


@dataclass(frozen=True)
class WarningSignal:
    """A signal (a name, or a number as text) `delay` seconds before the end."""

    signal: str
    delay: int = _DEFAULT_DELAY
    to_batch_shell: bool = False
    in_reservation: bool = False


def read(text: str, before: WarningSignal | None) -> WarningSignal:
    """Read --signal's value; R and B of an earlier one hold on, as in sbatch. Raises ValueRefusedError."""
    rest, flags = text, set()
    for letter in ("R", "B", "R"):
        if rest[:1].upper() == letter:
            flags.add(letter)
            rest = rest[1:]
    rest = rest.removeprefix(":")
    name, at, seconds = rest.partition("@")
    delay, tail = leading(seconds) if at else (_DEFAULT_DELAY, "")
    if at and not seconds:
        delay = 0
    if delay is None or tail or not 0 <= delay <= 0xFFFF:
        raise ValueRefusedError(f'"{seconds}" is no number of seconds from 0 to 65535')
    batch = "B" in flags or (before is not None and before.to_batch_shell)
    reservation = "R" in flags or (before is not None and before.in_reservation)
    return WarningSignal(_signal(name), delay, batch, reservation)


def _signal(text: str) -> str:
    number, rest = leading(text)
    if number is not None and not rest.strip() and number & 0xFFFF:
        return str(number & 0xFFFF)
    name = text.strip().upper().removeprefix("SIG")
    if name not in _NAMES:
        raise ValueRefusedError(
            f'"{text}" (after an R or B) is no signal; write a number or one of {", ".join(_NAMES)}'
        )
    return name
