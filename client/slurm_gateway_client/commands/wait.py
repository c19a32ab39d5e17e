"""wait: for jobs that are there already, as submit --wait does for its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .session import command

if TYPE_CHECKING:
    from .session import Session


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@click.option("--follow", "-f", is_flag=True, help="Print what the jobs print, as they print it.")
@click.option(
    "--output-dir",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Put what the jobs printed, and the files that they give back, into DIR.",
)
@click.option("--cancel-on-interrupt", is_flag=True, help="Cancel the jobs at Ctrl-C or SIGTERM, without a question.")
@click.option("--outputs-file", metavar="FILE", type=click.Path(path_type=Path), help="As submit has it.")
@click.option("--summary-file", metavar="FILE", type=click.Path(path_type=Path), help="As submit has it.")
@command(json=True)
def wait(session: Session, *, job_ids: tuple[str, ...], **own: Any) -> int:  # noqa: ANN401 (click's values)
    """Wait for jobs to end, and end with their exit status, as submit --wait does."""
    from ..gateway import PATIENCE
    from ..interrupts import Stop
    from ..watching import Watch

    stop = Stop()
    watch = Watch(session.screen, stop, **own)
    with session.gateway(patience=PATIENCE, wait=stop.wait) as gateway, stop.on_signals():
        return watch.run(gateway, list(dict.fromkeys(job_ids)))
