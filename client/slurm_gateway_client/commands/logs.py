"""logs: what a job printed, or prints."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from .session import command

if TYPE_CHECKING:
    from .session import Session


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@click.option("--stderr", "source", flag_value="stderr", default=None, help="Its standard error, where that is apart.")
@command()
def logs(session: Session, *, job_id: str, follow: bool, source: str | None) -> None:
    """Print what a job printed, or has printed so far. Of an array ask for a task: 12_3."""
    from .. import ci, following
    from ..errors import ClientError
    from ..gateway import PATIENCE
    from ..output import NoOutputError, Output
    from ..waiting import Waiting

    stream = sys.stdout.buffer
    patience = {"patience": PATIENCE} if follow else {}
    with session.gateway(**patience) as gateway, ci.unheeded(stream, os.environ):
        output = Output(gateway)
        try:
            if not follow:
                output.copy(job_id, source or "stdout", stream, time.sleep)
                return
            follower = following.Follower(output, job_id, stream, source=source or "stdout", said=session.screen.note)
            waiting = Waiting(gateway.read, [job_id])
            troubles = [
                each.trouble for each in following.follow(waiting, [follower], time.sleep, time.sleep) if each.trouble
            ]
        except NoOutputError as exc:
            raise ClientError(f"Job {job_id} has no output here: {exc}") from exc
    if troubles:
        raise ClientError(f"Job {job_id} has no output here: {troubles[0]}")
