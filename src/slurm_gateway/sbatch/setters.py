"""How an option's value becomes part of a request: the kinds that several options share.

A setter takes the request and the value, None for none. What has a grammar of its own stands in set_job.py and
set_resources.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import durations, hosts, moments, numbers
from .errors import ValueNotCarriedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .request import Request

    Setter = Callable[[Request, str | None], None]


def text(attribute: str) -> Setter:
    """Keep the value as it is."""

    def set_text(request: Request, value: str | None) -> None:
        setattr(request, attribute, value)

    return set_text


def yes(attribute: str) -> Setter:
    """Keep that the option was given."""

    def set_yes(request: Request, value: str | None) -> None:  # noqa: ARG001 - a setter
        setattr(request, attribute, True)

    return set_yes


def flag(name: str) -> Setter:
    """Add a job flag."""

    def set_flag(request: Request, value: str | None) -> None:  # noqa: ARG001 - a setter
        request.flags.add(name)

    return set_flag


def count(attribute: str) -> Setter:
    """Keep a whole number of 1 or more."""

    def set_count(request: Request, value: str | None) -> None:
        setattr(request, attribute, numbers.count(value or ""))

    return set_count


def megabytes(attribute: str) -> Setter:
    """Keep an amount of memory in MiB."""

    def set_megabytes(request: Request, value: str | None) -> None:
        setattr(request, attribute, numbers.megabytes(value or ""))

    return set_megabytes


def minutes(attribute: str) -> Setter:
    """Keep a duration in minutes."""

    def set_minutes(request: Request, value: str | None) -> None:
        setattr(request, attribute, durations.minutes(value or ""))

    return set_minutes


def moment(attribute: str) -> Setter:
    """Keep a point in time, in seconds since 1970."""

    def set_moment(request: Request, value: str | None) -> None:
        setattr(request, attribute, moments.timestamp(value or "", request.clock))

    return set_moment


def file(attribute: str) -> Setter:
    """Keep a file name; `none` is /dev/null."""

    def set_file(request: Request, value: str | None) -> None:
        setattr(request, attribute, "/dev/null" if (value or "").lower() == "none" else value)

    return set_file


def nodes_list(attribute: str) -> Setter:
    """Keep a list of nodes. One with a slash is a file's name to sbatch."""

    def set_nodes(request: Request, value: str | None) -> None:
        if "/" in (value or ""):
            raise ValueNotCarriedError("sbatch reads a file where it runs, and there is none here: write the nodes")
        if "{" not in (value or ""):
            hosts.names(value or "")
        setattr(request, attribute, value)

    return set_nodes


def nothing(request: Request, value: str | None) -> None:
    """Take the option and change nothing: the table says why that is right."""
