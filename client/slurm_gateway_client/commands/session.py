"""What every command has in common: its options about the gateway, and what they make."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from ..screen import Screen
from ..settings import METHODS, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..gateway import Gateway

_BRIEF = 30.0
"""Seconds that a command bears a gateway that does not answer, where somebody waits for a table."""


@dataclass
class Session:
    """One run of a command. Settings are read when a gateway is wanted."""

    given: dict[str, Any]
    screen: Screen
    _told: set[str] = field(default_factory=set)

    def settings(self) -> Settings:
        """Return the settings; SettingsError where they are wrong."""
        return Settings.from_environ(os.environ, **self.given)

    def gateway(self, *, patience: float = _BRIEF, **more: Any) -> Gateway:  # noqa: ANN401 (as from_environ takes them)
        """Return the gateway. `patience` holds where none is given."""
        from ..gateway import Gateway

        return Gateway.from_environ(self.settings(), patience=patience, notify=self.retrying, **more)

    def retrying(self, what: str) -> None:
        """Say that something is tried again: once for each reason, since it may be for many times."""
        reason = what.partition(" Trying again")[0]
        if reason not in self._told:
            self._told.add(reason)
            self.screen.note(what, "yellow")


def command(*, json: bool = False) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Return a decorator: the options of every command, as a Session that the function takes first.

    With `json` there is the option --json too, which the function takes as `as_json`.
    """
    options = [
        click.option("--url", metavar="URL", help="The gateway's address [SLURM_GATEWAY_URL]."),
        click.option("--auth", type=click.Choice(METHODS), help="How to get a token [SLURM_GATEWAY_AUTH]."),
        click.option("--user", metavar="NAME", help="The Slurm user [SLURM_GATEWAY_USER]."),
        click.option("--patience", metavar="SECONDS", type=float, help="How long to bear a gateway that is down."),
        click.option("--color", "colour", type=click.Choice(["auto", "always", "never"]), default="auto",
                     help="Colours; auto: at a terminal, without NO_COLOR."),
    ]  # fmt: skip
    if json:
        options.insert(0, click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts."))

    def decorate(function: Callable[..., int | None]) -> Callable[..., int | None]:
        @functools.wraps(function)
        def run(*, url: Any, auth: Any, user: Any, patience: Any, colour: str, **more: Any) -> int | None:  # noqa: ANN401
            given = {"url": url, "auth": auth, "user": user, "patience": patience}
            screen = Screen(colour=colour, quiet=bool(more.get("quiet")))
            return function(Session(given, screen), **more)

        for option in reversed(options):
            run = option(run)
        return run

    return decorate
