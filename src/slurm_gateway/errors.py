"""What can go wrong, as one tree.

    GatewayError
    ├── SettingsError           a function's environment is wrong: it does not start
    ├── AccessDocumentError     the access document breaks a rule of its own
    ├── InboxRuleError          a rule of the inbox is not valid
    ├── DeadLetterError         an object of the inbox becomes no job until somebody mends something
    │   └── MintRefusedError        ... because its rule gets no token for its user
    ├── TokenRefusedError       a Slurm token does not pass the edge
    ├── EventNotValidError      an event says what none should: it is recorded nowhere
    ├── UnavailableError        SSM or KMS gave no answer, or nothing usable: try again later
    ├── ApiVersionGoneError     slurmrestd does not speak the API version it was asked in: find another, ask again
    └── Problem                 an HTTP answer other than success (problem.py)
        └── SlurmProblem        ... because of Slurm, or of the way to it (slurm_errors.py)
            ├── SlurmRefused            Slurm itself said no: nothing was done
            ├── SlurmUnreachable        the request did not reach Slurm: nothing was done
            └── SlurmOutcomeUnknown     it may have reached Slurm: what it asked for may be done, or still come

What AWS raises becomes one of these in aws.py; nothing else is caught by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .inbox_rule import KeyPattern


class GatewayError(Exception):
    """The root of this package's own errors."""


class SettingsError(GatewayError):
    """An environment variable is missing or wrong; the message names it and what it should hold."""


class AccessDocumentError(GatewayError):
    """The access document is not valid.

    `problems` has one sentence each, with the line where there is one.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class InboxRuleError(GatewayError):
    """A rule of the inbox is not valid.

    `problems` has one sentence each, with the line where there is one. `key` says whose objects it would have
    decided of, None where not even that can be read.
    """

    def __init__(self, problems: Sequence[str], *, key: KeyPattern | None = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
        self.key = key


class DeadLetterError(GatewayError):
    """An object of the inbox becomes no job; the message is the sentence that waits with it for an operator."""


class MintRefusedError(DeadLetterError):
    """A rule of the inbox gets no token for its user; `reason` is a fixed word for the audit log."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class TokenRefusedError(GatewayError):
    """A token is not good enough.

    `reason` is a fixed word for logs and alarms. `kid` and `user` are what the token claims, set only
    when they have the shape of a key id or a user name, so that they are safe to log.
    """

    def __init__(self, reason: str, *, kid: str | None = None, user: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kid = kid
        self.user = user


class EventNotValidError(GatewayError):
    """An event is not as its schema says; the message names what is wrong."""


class UnavailableError(GatewayError):
    """Something this package depends on gives no usable answer now."""


class ApiVersionGoneError(GatewayError):
    """slurmrestd does not speak the API version of a request, which it has not even read."""
