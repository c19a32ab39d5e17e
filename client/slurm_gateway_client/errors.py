"""What goes wrong between here and a job, as exceptions of one root.

The tree:

    ClientError                     says what happened, what it means and what to do
     ├── SettingsError              this side is not told enough, or told wrongly
     ├── AuthenticationError        no token, or none that is taken any more
     ├── UnreachableError           no usable answer for as long as patience allowed
     ├── RefusedError               the gateway or Slurm says no
     │    └── NotFoundError         and says that there is no such thing
     └── InterruptedWaitError       somebody ended the waiting, not the job
"""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """The root. `happened` is one sentence; `means` and `todo` may be empty."""

    def __init__(self, happened: str, *, means: str = "", todo: str = "") -> None:
        super().__init__(happened)
        self.happened = happened
        self.means = means
        self.todo = todo


class SettingsError(ClientError):
    """An option, a variable or a file of this side is missing or wrong."""


class AuthenticationError(ClientError):
    """There is no token, or the gateway takes none that can be had."""


class UnreachableError(ClientError):
    """The gateway, or Slurm behind it, gave no usable answer in time."""


class RefusedError(ClientError):
    """The gateway or Slurm refused a request. `status` is HTTP's, `problem` the document it came with, if any."""

    def __init__(self, happened: str, *, status: int, problem: dict[str, Any], means: str = "", todo: str = "") -> None:
        super().__init__(happened, means=means, todo=todo)
        self.status = status
        self.problem = problem


class NotFoundError(RefusedError):
    """There is no such job, script or route, or it is somebody else's."""


class InterruptedWaitError(ClientError):
    """The waiting was interrupted by a signal, whose number is `signal`. What became of the jobs is in the message."""

    def __init__(self, happened: str, *, signal: int, todo: str = "") -> None:
        super().__init__(happened, todo=todo)
        self.signal = signal


class Interrupt(BaseException):
    """A signal came. It is no Exception, so that nothing on its way takes it for trouble with the network."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
