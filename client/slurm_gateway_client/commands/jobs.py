"""jobs and show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .session import command

if TYPE_CHECKING:
    from .session import Session


@click.command()
@click.option("--state", metavar="STATE", help="Only those in this state, such as RUNNING.")
@click.option("--partition", "-p", metavar="NAME", help="Only those of this partition.")
@click.option("--name", "-n", metavar="NAME", help="Only those of this name.")
@click.option("--since", metavar="TIME", help="Only those submitted since 2026-11-01T00:00:00Z.")
@click.option("--limit", metavar="NUMBER", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@command(json=True)
def jobs(
    session: Session,
    *,
    state: str | None,
    partition: str | None,
    name: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List your jobs, newest first, as they were last seen. `show` asks Slurm itself."""
    from ..screen import JOB_COLUMNS, job_rows

    with session.gateway() as gateway:
        found = list(gateway.jobs(limit=limit, state=state, partition=partition, name=name, since=since))
    if as_json:
        session.screen.json(found)
    elif found:
        session.screen.table(JOB_COLUMNS, job_rows(found), stated=3, cut={1, 6}, left_out={7})
    else:
        session.screen.note("No jobs.")


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@command(json=True)
def show(session: Session, *, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Show jobs as they are now: 12, a task of an array 12_3, a component 12+1."""
    with session.gateway() as gateway:
        found = [gateway.job(job_id) for job_id in job_ids]
    if as_json:
        session.screen.json(found if len(found) > 1 else found[0])
        return
    from .. import times
    from ..screen import state_of

    for place, job in enumerate(found):
        if place:
            session.screen.line("")
        special = {
            "state": state_of(job),
            "time_limit": "none" if job["time_limit"] is None else times.clock(job["time_limit"]),
            "links": "",
            **{name: times.local(job[name]) for name in ("submit_time", "start_time", "end_time")},
        }
        pairs = [(name, str(special.get(name, _text(value)))) for name, value in job.items() if name != "state_flags"]
        session.screen.fields([(name, value) for name, value in pairs if value])


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list):
        return " ".join(str(each) for each in value)
    return "" if value is None else str(value)
