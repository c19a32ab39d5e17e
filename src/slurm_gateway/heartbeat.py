"""The head node's heartbeat: the last one is kept in a table whose key is the cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .aws import error_code, unavailable_on_failure
from .errors import EventNotValidError
from .job import unix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.client import BaseClient

DETAIL_TYPE = "Slurm Heartbeat"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What the head node said of itself at a time (RFC 3339, by its own clock).

    `daemons` are "UP" or "DOWN" by name; `lag_seconds` is how far its feed is behind, `waiting` how many events wait.
    """

    cluster: str
    time: str
    daemons: dict[str, str]
    lag_seconds: float
    waiting: int

    def down(self) -> list[str]:
        """Return the daemons that do not answer."""
        return sorted(name for name, state in self.daemons.items() if state != "UP")


def read(detail: Mapping[str, Any]) -> Heartbeat:
    """Return what an event's detail says; EventNotValidError if it says it otherwise than a heartbeat does."""
    try:
        heartbeat = Heartbeat(
            cluster=str(detail["cluster"]),
            time=str(detail["time"]),
            daemons={str(name): str(state) for name, state in dict(detail["daemons"]).items()},
            lag_seconds=float(detail["lag_seconds"]),
            waiting=int(detail["waiting"]),
        )
        unix(heartbeat.time)
    except (KeyError, TypeError, ValueError) as exc:
        raise EventNotValidError(f"the heartbeat cannot be read: {exc!r:.100}") from exc
    return heartbeat


class HeartbeatTable:
    """Keeps the last heartbeat of each cluster. Every method raises UnavailableError if that fails."""

    def __init__(self, dynamodb: BaseClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def keep(self, heartbeat: Heartbeat) -> None:
        """Write a heartbeat unless a later one is there."""
        values = {
            "cluster": {"S": heartbeat.cluster},
            "time": {"S": heartbeat.time},
            "daemons": {"S": json.dumps(heartbeat.daemons)},
            "lag_seconds": {"N": str(heartbeat.lag_seconds)},
            "waiting": {"N": str(heartbeat.waiting)},
        }
        with unavailable_on_failure("cannot keep the heartbeat"):
            try:
                self._dynamodb.put_item(
                    TableName=self._table,
                    Item=values,
                    ConditionExpression="attribute_not_exists(#time) OR #time < :time",
                    ExpressionAttributeNames={"#time": "time"},
                    ExpressionAttributeValues={":time": values["time"]},
                )
            except ClientError as exc:
                if error_code(exc) != "ConditionalCheckFailedException":
                    raise

    def last(self, cluster: str) -> Heartbeat | None:
        """Return the last heartbeat of a cluster, None if there never was one."""
        with unavailable_on_failure("cannot read the heartbeat"):
            answer = self._dynamodb.get_item(TableName=self._table, Key={"cluster": {"S": cluster}})
        item = answer.get("Item")
        if item is None:
            return None
        return Heartbeat(
            cluster=cluster,
            time=item["time"]["S"],
            daemons=json.loads(item["daemons"]["S"]),
            lag_seconds=float(item["lag_seconds"]["N"]),
            waiting=int(item["waiting"]["N"]),
        )
