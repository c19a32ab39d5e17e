"""The facts of a job's output as an event (schemas/slurm-job-output.json): sizes and problems, never a place in S3."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from .settings import Settings

DETAIL_TYPE = "Slurm Job Output"
SOURCE = "slurm-gateway"
# An entry holds 256 KB, and a list of jobs shows the facts of hundreds.
MOST_PROBLEMS = 10
_LONGEST_PATH = 256


def detail(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the event's detail for a manifest (collection.py), the files as their number and bytes."""
    files = manifest["files"]
    problems = manifest["problems"]
    told = {
        "version": 1,
        **{name: manifest[name] for name in ("cluster", "id", "user", "submitted", "collected_at")},
        "stdout": manifest["stdout"],
        "stderr": manifest["stderr"],
        "files": {"count": len(files), "size": sum(file["size"] for file in files)},
        "problems": [
            {"path": each["path"][:_LONGEST_PATH], "problem": each["problem"]} for each in problems[:MOST_PROBLEMS]
        ],
        "more_problems": max(len(problems) - MOST_PROBLEMS, 0) + manifest["more_problems"],
    }
    return {"event_id": sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32], **told}


class OutputEvents:
    """Tells of output on the bus."""

    def __init__(self, events: BaseClient, settings: Settings) -> None:
        self._events = events
        self._settings = settings

    def send(self, told: dict[str, Any]) -> None:
        """Send an event; ClientError or BotoCoreError if it was not taken."""
        entry = {
            "EventBusName": self._settings.event_bus,
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Detail": json.dumps(told, separators=(",", ":")),
        }
        answer = self._events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            # One entry of a request may be refused without the request's failing.
            refusal = {
                "Code": answer["Entries"][0].get("ErrorCode"),
                "Message": answer["Entries"][0].get("ErrorMessage"),
            }
            raise ClientError({"Error": refusal}, "PutEvents")
