"""CPU frequencies: --cpu-freq=P1[-P2][:GOVERNOR]. slurmrestd reads the value itself, without saying what is wrong.

Whether a governor is allowed, and whether a range needs one, is the cluster's configuration: Slurm answers that.
"""

from __future__ import annotations

from .errors import ValueRefusedError

_GOVERNORS = ("co", "perf", "pow", "user", "onde", "sche")
_LEVELS = ("lo", "him1", "highm1", "hi", "med")


def check(text: str) -> None:
    """Raise ValueRefusedError for what is no CPU frequency."""
    frequencies, colon, governor = text.partition(":")
    first, dash, second = frequencies.partition("-")
    if _is_governor(first):
        if colon:
            raise ValueRefusedError("the governor stands twice")
    elif not _is_frequency(first):
        raise _refusal(first)
    if dash and not _is_frequency(second):
        raise _refusal(second)
    if colon and not _is_governor(governor):
        raise ValueRefusedError(
            f'"{governor}" is no governor; write Conservative, OnDemand, Performance, PowerSave, SchedUtil or UserSpace'
        )
    if colon and dash == "" and not governor.lower().startswith("user"):
        raise ValueRefusedError(f"{governor} needs a range of frequencies")
    if colon and dash and governor.lower().startswith("user"):
        raise ValueRefusedError(f"{governor} takes one frequency, no range")


def _is_governor(text: str) -> bool:
    return text.lower().startswith(_GOVERNORS)


def _is_frequency(text: str) -> bool:
    return text.lower().startswith(_LEVELS) or (text.isascii() and text.isdigit() and int(text) > 0)


def _refusal(text: str) -> ValueRefusedError:
    return ValueRefusedError(f'"{text}" is no frequency; write kilohertz, low, medium, highm1 or high')
