"""cancel, hold and release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .session import command

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..gateway import Gateway, Job
    from .session import Session


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@click.option("--signal", "-s", metavar="NAME", help="Send this signal, such as USR1, and leave the rest to the job.")
@command(json=True)
def cancel(session: Session, *, job_ids: tuple[str, ...], signal: str | None, as_json: bool) -> int:
    """Cancel jobs. One that has ended already is no error."""
    said = f"{signal} sent" if signal else "cancelled"
    return _each(session, job_ids, lambda gateway, job_id: gateway.cancel(job_id, signal), said, as_json=as_json)


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@command(json=True)
def hold(session: Session, *, job_ids: tuple[str, ...], as_json: bool) -> int:
    """Keep waiting jobs from starting."""
    return _each(session, job_ids, lambda gateway, job_id: gateway.change(job_id, hold=True), "held", as_json=as_json)


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@command(json=True)
def release(session: Session, *, job_ids: tuple[str, ...], as_json: bool) -> int:
    """Let held jobs start."""
    return _each(
        session, job_ids, lambda gateway, job_id: gateway.change(job_id, hold=False), "released", as_json=as_json
    )


def _each(
    session: Session,
    job_ids: tuple[str, ...],
    change: Callable[[Gateway, str], Job | None],
    said: str,
    *,
    as_json: bool,
) -> int:
    """Change each job, whatever becomes of the others; the status is the last refusal's."""
    from .. import exit_status
    from ..errors import RefusedError
    from ..screen import state_of

    changed: list[Job | None] = []
    status = 0
    with session.gateway() as gateway:
        for job_id in job_ids:
            try:
                job = change(gateway, job_id)
            except RefusedError as exc:
                session.screen.error(exc)
                status = exit_status.of_error(exc)
                continue
            changed.append(job)
            if not as_json:
                session.screen.line(f"{job_id}: {said}" + (f" ({state_of(job)})" if job else ""))
    if as_json:
        session.screen.json(changed if len(job_ids) > 1 else next(iter(changed), None))
    return status
