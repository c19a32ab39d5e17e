"""The table of jobs: what is known of each, by cluster, id and submit time, and each user's by time.

Attributes of a record, beside the keys that template.yaml declares:

    document    the job as JSON (job.py), without what follows
    script      the SHA-256 of its script, where it came through this gateway
    state, partition, name      of the document, to filter by
    seen_at     when Slurm was asked for what the record says, or when an event saw it, in Unix milliseconds
    final, restarts     of the document: whether nothing more will happen (0 or 1), and in which run
    answered_end        the end that Slurm itself told of, "" where an event did, or there was none; "" of an array
    output, output_told_at      what was kept of what the job printed and left (output_facts.py), and when that was told
    expires_at  when DynamoDB may forget it, in Unix seconds

A record is only replaced by later news: `seen_at` is a condition of every write. News from Slurm has the time just
before Slurm was asked, an event the time it happened, so no event overrules what Slurm answered after it, nor what
Slurm itself said of the same end. Of an array that ended Slurm says only what it has not forgotten yet: that is news of
the time of the end, so that the head node's, which is of all tasks, is later. That a job has ended is news for a few
seconds more: the head node's clock and the function's may differ by so much, and nothing would tell it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from . import cursor as cursors
from .aws import error_code, unavailable_on_failure
from .errors import UnavailableError
from .job import is_final, unix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from botocore.client import BaseClient

    from .job import Job
    from .output_facts import OutputFacts

INDEX = "by-user"
LONGEST_PAGE = 500
_DAY = 24 * 3600
_CLOCKS_DIFFER = 5000
# Filters leave few jobs of many: a page is cut short after so many reads of up to 1 MB.
_READS_A_PAGE = 8
_LARGEST_READ = 1000
_LEAST_READ = 100
# Lambda's answer holds 6 MB, in which the page is a JSON text once more: so many bytes of it are jobs.
_LARGEST_PAGE = 4_000_000
_LINKS = 400
_LAST = "9999999999#9999999999"
# Each is asked about on its own; who submits more in one second finds one of them the long way.
_MOST_AT_ONCE = 40


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; "" for not at all. `since` is in Unix seconds."""

    state: str = ""
    partition: str = ""
    name: str = ""
    since: int = 0

    def key(self) -> tuple[str, ...]:
        """Return what a cursor is tied to."""
        return self.state, self.partition, self.name, str(self.since)


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside the job in its record: its script's SHA-256, "" if none is known; and its output's facts."""

    script: str = ""
    output: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A record: the job, its key beside the id (Unix seconds), and what stands beside it."""

    job: Job
    submitted: int
    beside: Beside


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a user's jobs, newest first, and the cursor of the next page, None after the last."""

    jobs: list[Job]
    next: str | None


class JobTable:
    """Records of jobs of one cluster, in a DynamoDB table. Every method raises UnavailableError if that fails."""

    def __init__(self, dynamodb: BaseClient, table: str, *, cluster: str, keep_days: int) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._cluster = cluster
        self._keep = keep_days * _DAY

    def write(self, job: Job, *, seen_at: int, submitted: int = 0, script: str = "") -> dict[str, Any]:
        """Return the write of a job's record, as `update_item` takes it and `TransactWriteItems` in its `Update`.

        `submitted` is the job's key beside its id (Unix seconds), by default its submit time; `seen_at` is in
        Unix milliseconds.
        """
        is_arrays_end = job["tasks"] is not None and job["end_time"] and is_final(job)
        told_at = min(seen_at, unix(job["end_time"]) * 1000) if is_arrays_end else seen_at
        values = self._values(job, told_at, submitted)
        if script:
            values["script"] = {"S": script}
        # A user can write any submit time into a job's marker: nobody's record becomes another's by that.
        condition = "attribute_not_exists(#seen_at) OR (#seen_at < :asked_at AND #user = :user)"
        update = self._update(job, submitted, values, condition)
        update["ExpressionAttributeValues"][":asked_at"] = {"N": str(seen_at)}
        return update

    def write_script(self, job: Job, *, submitted: int, script: str) -> dict[str, Any]:
        """Return the write of a script into a job's record that is there, as `write` does."""
        return {
            "TableName": self._table,
            "Key": {"job": {"S": self._key(job["id"])}, "submitted": {"N": str(submitted)}},
            "UpdateExpression": "SET #script = :script",
            "ConditionExpression": "#user = :user",
            "ExpressionAttributeNames": {"#script": "script", "#user": "user"},
            "ExpressionAttributeValues": {":script": {"S": script}, ":user": {"S": job["user"]}},
        }

    def tell(self, job: Job, *, seen_at: int, submitted: int) -> bool:
        """Write what an event says of a job unless the record holds later news; return whether it was written."""
        values = self._values(job, seen_at, submitted, answered=False)
        newer = "#seen_at < :seen_at AND NOT #answered_end = :end"
        condition = f"attribute_not_exists(#seen_at) OR (#user = :user AND (#restarts < :restarts OR ({newer})))"
        more = {":end": {"S": job["end_time"] or "none"}}
        if is_final(job):
            condition = condition[:-2] + " OR (#restarts = :restarts AND #final = :going_on AND #seen_at < :late)))"
            more |= {":going_on": {"N": "0"}, ":late": {"N": str(seen_at + _CLOCKS_DIFFER)}}
        update = self._update(job, submitted, values, condition)
        update["ExpressionAttributeValues"] |= more
        with unavailable_on_failure("cannot keep the record of a job"):
            try:
                self._dynamodb.update_item(**update)
            except ClientError as exc:
                if error_code(exc) != "ConditionalCheckFailedException":
                    raise
                return False
        return True

    def tell_output(self, told: OutputFacts) -> None:
        """Write what became of a job's output, unless later news of that is there.

        UnavailableError if there is no record of the job yet: another event is on its way that makes it.
        """
        with unavailable_on_failure("cannot keep the facts of a job's output"):
            try:
                self._dynamodb.update_item(
                    TableName=self._table,
                    Key={"job": {"S": self._key(told.job_id)}, "submitted": {"N": str(told.submitted)}},
                    UpdateExpression="SET #output = :output, #at = :at",
                    ConditionExpression="#user = :user AND (attribute_not_exists(#at) OR #at < :at)",
                    ExpressionAttributeNames={"#output": "output", "#at": "output_told_at", "#user": "user"},
                    ExpressionAttributeValues={
                        ":output": {"S": json.dumps(told.output, separators=(",", ":"))},
                        ":at": {"S": told.collected_at},
                        ":user": {"S": told.user},
                    },
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as exc:
                if error_code(exc) != "ConditionalCheckFailedException":
                    raise
                if not exc.response.get("Item"):
                    raise UnavailableError(f"there is no record of job {told.job_id} yet") from exc

    def _values(self, job: Job, seen_at: int, submitted: int, *, answered: bool = True) -> dict[str, dict[str, str]]:
        final = is_final(job)
        is_answered = answered and final and job["tasks"] is None
        values = {
            "document": {"S": json.dumps(job, separators=(",", ":"))},
            "user": {"S": job["user"]},
            "state": {"S": job["state"]},
            "partition": {"S": job["partition"]},
            "name": {"S": job["name"]},
            "seen_at": {"N": str(seen_at)},
            "expires_at": {"N": str(seen_at // 1000 + self._keep)},
            "final": {"N": str(int(final))},
            "restarts": {"N": str(job["restarts"])},
            "answered_end": {"S": (job["end_time"] or "") if is_answered else ""},
        }
        if job["id"].isdigit():
            # Parts of a job are found by their id only; the list has the whole.
            values["listed"] = {"S": f"{submitted or unix(job['submit_time']):010}#{int(job['id']):010}"}
        return values

    def _update(self, job: Job, submitted: int, values: Mapping[str, dict[str, str]], condition: str) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": {"job": {"S": self._key(job["id"])}, "submitted": {"N": str(submitted or unix(job["submit_time"]))}},
            "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in values),
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {f"#{name}": name for name in values},
            "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()},
        }

    def refresh(self, job: Job, *, seen_at: int, submitted: int = 0, script: str = "") -> Beside:
        """Write a job's record unless it holds later news; return what stands beside the job in it."""
        with unavailable_on_failure("cannot keep the record of a job"):
            try:
                answer = self._dynamodb.update_item(
                    **self.write(job, seen_at=seen_at, submitted=submitted, script=script),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as exc:
                if error_code(exc) != "ConditionalCheckFailedException":
                    raise
                there = exc.response.get("Item") or {}
                if _text(there, "user") != job["user"]:
                    return Beside()
                if script and not _text(there, "script"):
                    submitted = submitted or unix(job["submit_time"])
                    self._dynamodb.update_item(**self.write_script(job, submitted=submitted, script=script))
                return replace(_beside(there), script=_text(there, "script") or script)
        return _beside(answer.get("Attributes", {}))

    def read(self, job_id: str, user: str | None) -> Kept | None:
        """Return the record of the user's newest job of this id (None: of anybody's), or None."""
        arguments: dict[str, Any] = {}
        names, values = {"#job": "job"}, {":job": {"S": self._key(job_id)}}
        if user is not None:
            arguments["FilterExpression"] = "#user = :user"
            names["#user"], values[":user"] = "user", {"S": user}
        with unavailable_on_failure("cannot read the record of a job"):
            answer = self._dynamodb.query(
                TableName=self._table,
                KeyConditionExpression="#job = :job",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ScanIndexForward=False,
                ConsistentRead=True,
                **arguments,
            )
        for item in answer["Items"]:
            return Kept(json.loads(item["document"]["S"]), int(item["submitted"]["N"]), _beside(item))
        return None

    def submitted_at(self, user: str, submitted: int) -> list[str]:
        """Return ids of the user's jobs of which there is a record for a submit time (Unix seconds), the newest few."""
        place = f"{submitted:010}#"
        with unavailable_on_failure("cannot read the list of jobs"):
            answer = self._dynamodb.query(
                TableName=self._table,
                IndexName=INDEX,
                KeyConditionExpression="#user = :user AND begins_with(#listed, :place)",
                ExpressionAttributeNames={"#user": "user", "#listed": "listed"},
                ExpressionAttributeValues={":user": {"S": user}, ":place": {"S": place}},
                ScanIndexForward=False,
                Limit=_MOST_AT_ONCE,
            )
        return [str(int(item["listed"]["S"].removeprefix(place))) for item in answer["Items"]]

    def page(self, user: str, filters: Filters, *, limit: int, cursor: str = "") -> Page:
        """Return up to `limit` of the user's jobs; Problem 400 if the cursor is of another user or other filters.

        A page may be short, even empty, and still not be the last.
        """
        key = filters.key()
        end = _just_before(cursors.read(cursor, user=user, filters=key)) if cursor else _LAST
        if end < _first(filters):
            # A cursor from before `since`, which only a forger has: DynamoDB takes no range that ends before it begins.
            return Page([], None)
        found: list[Mapping[str, Any]] = []
        scanned = 0
        start: dict[str, Any] | None = None
        for _ in range(_READS_A_PAGE):
            answer = self._query(user, filters, end, _to_read(limit, len(found), scanned), start)
            found += answer["Items"]
            scanned += answer["ScannedCount"]
            start = answer.get("LastEvaluatedKey")
            if start is None or len(found) >= limit:
                break
        shown = _that_fit(found[:limit])
        place = shown[-1]["listed"]["S"] if len(found) > len(shown) else start["listed"]["S"] if start else ""
        jobs = [with_links(json.loads(item["document"]["S"]), _beside(item)) for item in shown]
        return Page(jobs, cursors.make(place, user=user, filters=key) if place else None)

    def _query(self, user: str, filters: Filters, end: str, limit: int, start: dict[str, Any] | None) -> dict[str, Any]:
        wanted = {"state": filters.state, "partition": filters.partition, "name": filters.name}
        wanted = {name: value for name, value in wanted.items() if value}
        arguments: dict[str, Any] = {}
        if wanted:
            arguments["FilterExpression"] = " AND ".join(f"#{name} = :{name}" for name in wanted)
        if start:
            arguments["ExclusiveStartKey"] = start
        with unavailable_on_failure("cannot read the list of jobs"):
            answer: dict[str, Any] = self._dynamodb.query(
                TableName=self._table,
                IndexName=INDEX,
                KeyConditionExpression="#user = :user AND #listed BETWEEN :begin AND :end",
                ExpressionAttributeNames={
                    "#user": "user", "#listed": "listed", **{f"#{name}": name for name in wanted},
                },
                ExpressionAttributeValues={
                    ":user": {"S": user},
                    ":begin": {"S": _first(filters)},
                    ":end": {"S": end},
                    **{f":{name}": {"S": value} for name, value in wanted.items()},
                },
                ScanIndexForward=False,
                Limit=limit,
                **arguments,
            )  # fmt: skip
        return answer

    def _key(self, job_id: str) -> str:
        return f"{self._cluster}#{job_id}"


def with_links(job: Job, beside: Beside) -> Job:
    """Return a job as its owner is answered: with what stands beside it, and links to what belongs to it."""
    links = {"self": f"/jobs/{job['id']}"}
    if job["tasks"] is None:
        # Each task of an array has its own.
        links["output"] = f"/jobs/{job['id']}/output"
    if beside.script:
        links["script"] = f"/scripts/{beside.script}"
    # What is told of a job that goes on is of an earlier run.
    output = beside.output if is_final(job) else None
    return {**job, "script": beside.script or None, "output": output, "links": links}


def of_another(job: Job) -> Job:
    """Return a job as whoever may see others' jobs is answered: script and output are their owners' alone."""
    return {**job, "script": None, "output": None, "links": {"self": f"/jobs/{job['id']}"}}


def _first(filters: Filters) -> str:
    """Return what sorts just before the places of all jobs since then."""
    return f"{filters.since:010}#"


def _to_read(wanted: int, found: int, scanned: int) -> int:
    """Return how many records are likely to hold the rest of a page, by how many of those read passed the filters.

    Filtering comes after reading. More than needed costs CPU for nothing, fewer another round trip.
    """
    rest = wanted - found
    if found == scanned:
        return rest
    return min(_LARGEST_READ, max(_LEAST_READ, 2 * rest * scanned // found)) if found else _LARGEST_READ


def _just_before(place: str) -> str:
    """Return what sorts after every place before this one, and before this one."""
    submitted, _, number = place.partition("#")
    return f"{submitted}#{max(int(number) - 1, 0):010}~"


def _that_fit(found: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the first of some records, as many as one answer holds, and one at least."""
    size = 0
    for count, item in enumerate(found):
        size += _LINKS + sum(len(json.dumps(_text(item, name))) for name in ("document", "output"))
        if count and size > _LARGEST_PAGE:
            return found[:count]
    return found


def _beside(item: Mapping[str, Mapping[str, str]]) -> Beside:
    output = _text(item, "output")
    return Beside(_text(item, "script"), json.loads(output) if output else None)


def _text(item: Mapping[str, Mapping[str, str]], name: str) -> str:
    return item.get(name, {}).get("S", "")
