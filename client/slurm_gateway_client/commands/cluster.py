"""partitions and nodes: the cluster in slurmrestd's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .session import command

if TYPE_CHECKING:
    from .session import Session


@click.command()
@command(json=True)
def partitions(session: Session, *, as_json: bool) -> None:
    """List the cluster's partitions."""
    from .. import times

    with session.gateway() as gateway:
        found = gateway.partitions()
    if as_json:
        session.screen.json(found)
        return
    rows = []
    for each in found:
        limit = _number(each["maximums"]["time"])
        state = "+".join(each["partition"]["state"])
        nodes = each["nodes"]
        rows.append([
            each["name"], state, "none" if limit is None else times.clock(limit * 60), str(nodes["total"]),
            str(each["cpus"]["total"]), nodes["configured"],
        ])  # fmt: skip
    session.screen.table(("PARTITION", "STATE", "TIME LIMIT", "NODES", "CPUS", "NODE LIST"), rows, stated=1, cut={5})


@click.command()
@command(json=True)
def nodes(session: Session, *, as_json: bool) -> None:
    """List the cluster's nodes."""
    with session.gateway() as gateway:
        found = gateway.nodes()
    if as_json:
        session.screen.json(found)
        return
    rows = [
        [
            each["name"], "+".join(each["state"]), f"{each['alloc_cpus']}/{each['cpus']}",
            f"{each['alloc_memory']}/{each['real_memory']}", str(each["gres"] or ""), ",".join(each["partitions"]),
            str(each["reason"] or ""),
        ]
        for each in found
    ]  # fmt: skip
    columns = ("NODE", "STATE", "CPUS IN USE", "MB IN USE", "GRES", "PARTITIONS", "REASON")
    session.screen.table(columns, rows, stated=1, cut={4, 5, 6})


def _number(value: Any) -> int | None:  # noqa: ANN401 (JSON)
    """Return a number of slurmrestd's, None where it is unset or infinite."""
    if isinstance(value, dict):
        return int(value["number"]) if value["set"] and not value["infinite"] else None
    return int(value)
