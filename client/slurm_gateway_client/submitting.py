"""Scripts become jobs: several at once, each by a key that makes it one job."""

from __future__ import annotations

import sys
import threading
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import ci
from .errors import AuthenticationError, ClientError, SettingsError, UnreachableError
from .gateway import submission
from .parallel import in_parallel
from .sbatch_arguments import exported
from .transport import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .gateway import Gateway, Submitted
    from .sbatch_arguments import Words

_STDIN = "-"
# Seconds for which an interruption waits for the submits that are under way: what they make is to be cancelled too.
# GitHub's runner gives a step ten in all, from its first signal to its last.
_GRACE = 3.0


@dataclass(frozen=True)
class Script:
    """A script to submit: its name as it was given, its bytes (None: the option wrap has it), and its key."""

    name: str
    body: bytes | None
    key: str

    @property
    def file_name(self) -> str | None:
        """The name of its file, None where it has none."""
        return None if self.body is None or self.name == _STDIN else self.name


@dataclass(frozen=True)
class Outcome:
    """What became of a script: a job, or an error, or nothing where it was not sent."""

    script: Script
    submitted: Submitted | None = None
    error: ClientError | None = None


class Submission:
    """The scripts and options of one command line. `begun` are the keys of what was sent, if not to its end."""

    def __init__(self, words: Words, environ: Mapping[str, str], *, key: str | None) -> None:
        self.options = words.options
        self.arguments = words.arguments
        variables = exported(words.options, environ)
        self.environment = variables or None
        self.begun: set[str] = set()
        self.scripts = [
            Script(name, body, self._key(name, body, key, environ, several=len(words.scripts) > 1))
            for name, body in _read(words)
        ]

    def send(
        self, gateway: Gateway, *, at_once: int, done: Callable[[Outcome], None] = lambda _: None
    ) -> list[Outcome]:
        """Submit every script, `at_once` at a time; `done` is told of each, from any thread, as soon as it is.

        A script that is refused is an outcome. Raises AuthenticationError and UnreachableError: the others would fare
        no better. Then, and when it is interrupted, `done` is still told of what is settled a little later.
        """
        is_hopeless = threading.Event()

        def send_one(script: Script) -> Outcome:
            if is_hopeless.is_set():
                return Outcome(script)
            self.begun.add(script.key)
            try:
                submitted = gateway.submit(
                    script.body, name=script.file_name, options=self.options, arguments=self.arguments,
                    environment=self.environment, key=script.key,
                )  # fmt: skip
            except (AuthenticationError, UnreachableError):
                is_hopeless.set()
                raise
            except ClientError as exc:
                outcome = Outcome(script, error=exc)
            else:
                outcome = Outcome(script, submitted)
            done(outcome)
            return outcome

        if len(self.scripts) > 1:
            # One signs in; the others use its token.
            gateway.tokens.current()
        # A job that an answer on its way tells of must not go unnamed.
        return in_parallel(send_one, self.scripts, at_once, grace=_GRACE, grace_after_error=TIMEOUT[1])

    def _key(
        self, name: str, body: bytes | None, given: str | None, environ: Mapping[str, str], *, several: bool
    ) -> str:
        if given:
            return ci.of_several(given, name) if several else given
        call = submission(body, name=name, options=self.options, arguments=self.arguments, environment=self.environment)
        asked = [f"{option}\0{value}".encode(errors="surrogateescape") for option, value in call.query]
        return ci.key(environ, name, [*asked, call.body or b""]) or f"slurm-gateway-{uuid.uuid4()}"


def check_key(key: str | None) -> None:
    """Raise SettingsError for a key that the gateway would not take."""
    if key is not None and not (1 <= len(key) <= 255 and all("!" <= letter <= "~" for letter in key)):
        raise SettingsError(
            "The idempotency key has a blank, a character outside ASCII, or not 1 to 255 characters.",
            todo="Give another --idempotency-key.",
        )


def _read(words: Words) -> list[tuple[str, bytes | None]]:
    if any(name == "wrap" for name, _ in words.options):
        if words.scripts:
            raise SettingsError("There are a script and --wrap.", todo="Give one of them.")
        return [("wrap", None)]
    names: Sequence[str] = words.scripts
    if not names:
        if sys.stdin is None or sys.stdin.isatty():
            raise SettingsError("There is no script.", todo="slurm-gateway submit job.sh, or --wrap 'a command'.")
        names = [_STDIN]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SettingsError(f"{min(twice)} is given twice.", todo="Give each script once, or use --array.")
    return [(name, _bytes(name)) for name in names]


def _bytes(name: str) -> bytes:
    if name == _STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as exc:
        raise SettingsError(
            f"The script {name} cannot be read: {(exc.strerror or 'an error').lower()}.",
            todo="Arguments of the script stand after `--`; options of sbatch as sbatch has them.",
        ) from exc
