"""Why a batch script or an option cannot become a job.

GatewayError
└── SubmissionRefusedError      where it stands, and what to do
├── ScriptError             the script itself: sbatch would not submit it, or JSON cannot hold it
└── OptionError             an option or its value is none of sbatch's
└── NotCarriedError     it is right, but the REST API has nothing that carries it
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import GatewayError


@dataclass(frozen=True)
class Place:
    """Where something stands: a line and column of the script, counted from 1, or the request's options."""

    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Return the place as an error's beginning."""
        return "request" if self.line is None else f"line {self.line}, column {self.column}"


REQUEST = Place()
"""An option that came with the request, not in the script."""


class SubmissionRefusedError(GatewayError):
    """A submission that is not sent. `place` tells where the cause stands, `reason` what it is."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class ScriptError(SubmissionRefusedError):
    """The script is none that sbatch submits."""


class OptionError(SubmissionRefusedError):
    """An option is refused. `option` is its long name, or the word that is no option."""

    def __init__(self, place: Place, option: str, reason: str) -> None:
        super().__init__(place, reason)
        self.option = option
        self.args = (f"{place}: {option}: {reason}",)


class NotCarriedError(OptionError):
    """An option is right for sbatch, but the REST API of this cluster has nothing that carries it."""


class ValueRefusedError(ValueError):
    """An option's value is not good. Whoever knows the option's name and place makes an OptionError of it."""


class ValueNotCarriedError(ValueRefusedError):
    """A value is right for sbatch, but nothing here carries it. It becomes a NotCarriedError."""
