"""login, logout and token."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from .session import command

if TYPE_CHECKING:
    from .session import Session


@click.command()
@command(json=True)
def login(session: Session, *, as_json: bool) -> None:
    """Get a new token, keep it for the next commands, and say whose it is.

    It is not needed before other commands: those get a token themselves. It shows who you are, and takes the place of
    a token that is kept, when your credentials changed.
    """
    with session.gateway() as gateway:
        token = gateway.tokens.fresh()
        ends = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(token.expires_at))
        if as_json:
            session.screen.json({"url": gateway.url, "user": token.user, "expires_at": int(token.expires_at)})
        else:
            session.screen.line(f"{gateway.url}: you are {token.user} there; the token lives until {ends}.")


@click.command()
def logout() -> None:
    """Forget every token that is kept. Those that are out live on until they expire."""
    from ..token_cache import folder, forget

    place = folder(os.environ)
    if place is None:
        click.echo("No token is kept: this user has no home.")
        return
    count = forget(place)
    click.echo(f"{count} token{'' if count == 1 else 's'} removed from {place}.")


@click.command()
@click.option("--lifespan", metavar="SECONDS", type=int, help="How long it shall live [SLURM_GATEWAY_LIFESPAN].")
@click.option("--export", is_flag=True, help="Print SLURM_JWT=..., for `export $(slurm-gateway token --export)`.")
@command(json=True)
def token(session: Session, *, lifespan: int | None, export: bool, as_json: bool) -> None:
    """Print a Slurm token and nothing else: for curl, as X-SLURM-USER-TOKEN."""
    session.given["lifespan"] = lifespan
    with session.gateway() as gateway:
        found = gateway.tokens.current()
    if as_json:
        session.screen.json({"user": found.user, "token": found.text, "expires_at": int(found.expires_at)})
    else:
        session.screen.line(f"SLURM_JWT={found.text}" if export else found.text)
