"""Setters of options that say what a job is, and when and how it runs."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from . import durations, numbers, signals
from .errors import ValueNotCarriedError, ValueRefusedError
from .releases import Release

if TYPE_CHECKING:
    from .request import Request

NICE_LIMIT = 2**31 - 3
_NO_VALUE = 0xFFFFFFFE
_NO_MAIL = "NONE"
_MAIL = {
    "ARRAY_TASKS": ("ARRAY_TASKS",),
    "BEGIN": ("BEGIN",),
    "END": ("END",),
    "FAIL": ("FAIL",),
    "INVALID_DEPEND": ("INVALID_DEPENDENCY",),
    "REQUEUE": ("REQUEUE",),
    "ALL": ("INVALID_DEPENDENCY", "BEGIN", "END", "FAIL", "REQUEUE", "STAGE_OUT"),
    "STAGE_OUT": ("STAGE_OUT",),
    "TIME_LIMIT": ("TIME=100%",),
    "TIME_LIMIT_90": ("TIME=90%",),
    "TIME_LIMIT_80": ("TIME=80%",),
    "TIME_LIMIT_50": ("TIME=50%",),
}
_PROFILES = ("energy", "task", "lustre", "network")
_ACCOUNTED = ("task=", "energy=", "filesystem=", "network=")


def accounting_frequency(request: Request, value: str | None) -> None:
    """--acctg-freq=30 or task=30,energy=60,..."""
    for part in (value or "").split(","):
        number = next((part[len(name) :] for name in _ACCOUNTED if part.lower().startswith(name)), part)
        if not (number.isascii() and number.isdigit()):
            raise ValueRefusedError(f'"{part}" is no sampling interval; write seconds, or task=30,energy=60')
    request.accounting_frequency = value


def chdir(request: Request, value: str | None) -> None:
    """--chdir: a relative directory starts at the one of the submission."""
    request.chdir = posixpath.join(request.working_directory, value or "")


def clusters(request: Request, value: str | None) -> None:
    """--clusters: this API stands before one cluster."""
    if request.cluster is None or value != request.cluster:
        known = f", {request.cluster}" if request.cluster else ""
        raise ValueNotCarriedError(f"jobs sent here go to one cluster{known}; send this one to the other cluster's API")
    request.clusters = value


def delay_boot(request: Request, value: str | None) -> None:
    """--delay-boot: a duration; without a unit, minutes."""
    request.delay_boot = durations.seconds(value or "")


def get_user_env(request: Request, value: str | None) -> None:
    """--get-user-env; until 24.11 with a time-out and a mode, which sbatch itself no longer used."""
    if value is not None:
        rest = numbers.leading(value)[1]
        if rest and rest[0] not in "sSlL":
            raise ValueRefusedError(f'"{value}" is no time-out and mode')
    request.get_user_env = True


def kill_on_invalid_dep(request: Request, value: str | None) -> None:
    """--kill-on-invalid-dep={yes|no}."""
    flags = {"yes": "KILL_INVALID_DEPENDENCY", "no": "NO_KILL_INVALID_DEPENDENCY"}
    if (value or "").lower() not in flags:
        raise ValueRefusedError(f'"{value}" is neither yes nor no')
    request.flags.add(flags[(value or "").lower()])


def mail_type(request: Request, value: str | None) -> None:
    """--mail-type: until 24.11 a second one adds to the first, later it replaces it."""
    types: list[str] = []
    tokens = [token for token in (value or "").upper().split(",") if token]
    if _NO_MAIL in tokens:
        tokens = tokens[: tokens.index(_NO_MAIL) + 1]
    unknown = [token for token in tokens if token not in _MAIL and token != _NO_MAIL]
    if not tokens or len(unknown) == len(tokens):
        raise ValueRefusedError(f'"{value}" is none of NONE, {", ".join(_MAIL)}')
    if unknown:
        place, listed = request.place_of("mail-type"), ", ".join(unknown)
        request.notice(place, f"--mail-type: sbatch drops {listed}, it knows none such")
    if _NO_MAIL not in tokens:
        types = [name for token in tokens if token in _MAIL for name in _MAIL[token]]
    before = request.mail_types if request.release <= Release.R24_11 else []
    request.mail_types = list(dict.fromkeys([*before, *types]))


def nice(request: Request, value: str | None) -> None:
    """--nice[=ADJUSTMENT]."""
    number = 100 if value is None else _lenient(request, "nice", value)
    if abs(number) > NICE_LIMIT:
        raise ValueRefusedError(f"{number} is beyond {NICE_LIMIT} or -{NICE_LIMIT}")
    request.nice = number


def priority(request: Request, value: str | None) -> None:
    """--priority={VALUE|TOP}."""
    number = _NO_VALUE - 1 if (value or "").upper() == "TOP" else _lenient(request, "priority", value or "")
    if not 0 <= number < _NO_VALUE:
        raise ValueRefusedError(f"{number} is not from 0 to {_NO_VALUE - 1}")
    request.priority = number


def _lenient(request: Request, name: str, value: str) -> int:
    number, rest = numbers.leading(value)
    if number is None or rest:
        request.notice(request.place_of(name), f'--{name}: sbatch reads "{value}" as {number or 0}')
    return number or 0


def no_kill(request: Request, value: str | None) -> None:
    """--no-kill[=off]."""
    if value is not None and value.lower() not in ("set", "off", "no"):
        raise ValueRefusedError(f'"{value}" is not off')
    request.no_kill = value is None or value.lower() == "set"


def oom_kill_step(request: Request, value: str | None) -> None:
    """--oom-kill-step[={0|1}]."""
    number = 1 if value is None else numbers.sixteen_bits(value)
    if number > 1:
        raise ValueRefusedError(f'"{value}" is neither 0 nor 1')
    request.oom_kill_step = number


def open_mode(request: Request, value: str | None) -> None:
    """--open-mode={append|truncate}."""
    modes = {"a": "APPEND", "t": "TRUNCATE"}
    if (value or "")[:1].lower() not in modes:
        raise ValueRefusedError(f'"{value}" is neither append nor truncate')
    request.open_mode = modes[(value or "")[:1].lower()]


def profile(request: Request, value: str | None) -> None:
    """--profile={none|all|energy,task,...}: sbatch looks for the words anywhere in the value."""
    words = (value or "").lower()
    if "none" in words:
        request.profile = ["NONE"]
        return
    names = [name.upper() for name in _PROFILES if name in words or "all" in words]
    if not names:
        raise ValueRefusedError(f'"{value}" is none of none, all, {", ".join(_PROFILES)}')
    request.profile = names


def propagate(request: Request, value: str | None) -> None:  # noqa: ARG001 - a setter
    """--propagate=NONE; any other needs a shell whose limits are taken."""
    if value != "NONE":
        raise ValueNotCarriedError(
            "it gives the job the limits of the shell that runs sbatch, and a request has none; set limits in "
            "the script with ulimit, or write --propagate=NONE"
        )


def requeue(request: Request, value: str | None) -> None:
    """--requeue[=expedite]."""
    request.requeue = True
    if value and value.lower() == "expedite":
        request.flags.add("EXPEDITED_REQUEUE")
    elif value and request.release >= Release.R26_05:
        raise ValueRefusedError(f'"{value}" is not expedite')
    elif value:
        request.notice(request.place_of("requeue"), f'--requeue: sbatch of {request.release} drops "{value}"')


def no_requeue(request: Request, value: str | None) -> None:  # noqa: ARG001 - a setter
    """--no-requeue."""
    request.requeue = False


def signal(request: Request, value: str | None) -> None:
    """--signal."""
    request.warning = signals.read(value or "", request.warning)


def wait_all_nodes(request: Request, value: str | None) -> None:
    """--wait-all-nodes={0|1}."""
    number = numbers.count(value or "", least=0)
    if number > 1:
        raise ValueRefusedError(f'"{value}" is neither 0 nor 1')
    request.wait_all_nodes = number
