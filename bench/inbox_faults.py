"""Objects written into the inbox all at once, each event delivered three times, while Slurm is stopped and killed.

What must come of it: exactly one job an object, each with its own input, and an empty queue.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local import aws_emulator, cluster, principals, stacks

if TYPE_CHECKING:
    from collections.abc import Iterator

RULE = """\
version: 1
key: inbox/{name}/*
user: alice
options: {{job-name: {name}, time: 1, mem: 10, output: /dev/null}}
script: |
  #!/bin/sh
  test "$(cat "$INPUT_PATH")" = "$INPUT_KEY"
"""
_DELIVERIES = 3


@dataclass
class Run:
    """What came of a run. `inputs` are the objects' keys by job; times are seconds from the first object on.

    A job completes only if what it finds at its input's path is what was written under its input's key.
    """

    objects: int
    name: str
    jobs: set[str] = field(default_factory=set)
    inputs: dict[str, str] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    dead: int = 0
    waiting: int = 0
    written: float = 0.0
    drained: float = 0.0
    ended: float = 0.0
    stopped_for: float = 0.0

    def is_exact(self) -> bool:
        """Tell whether each object has its one job, each job its one object, and nothing is left."""
        return (
            len(self.jobs) == self.objects == len(set(self.inputs.values()))
            and set(self.inputs) == self.jobs
            and self.states == {"COMPLETED": self.objects}
            and not (self.waiting or self.dead)
        )

    def lines(self) -> list[str]:
        """Give the figures, for a reader."""
        busy = max(self.drained - self.stopped_for, 0.001)
        inputs = f"{len(set(self.inputs.values()))} different inputs"
        left = f"{self.waiting} messages and {self.dead} dead letters left"
        return [
            f"{self.objects} objects, each told of {_DELIVERIES} times: {len(self.jobs)} jobs in Slurm, with {inputs}",
            f"all written after {self.written:.0f} s, queue empty after {self.drained:.0f} s, {left}",
            f"all jobs ended after {self.ended:.0f} s: {dict(self.states)}",
            f"slurmctld stopped for {self.stopped_for:.0f} s; {self.objects / busy:.1f} submits/s in the rest",
        ]


def run(objects: int, *, stop_after: float, stop_for: float, kills: int, deadline: float) -> Run:
    """Write objects while slurmctld is stopped for a while and slurmrestd is killed some times; wait for the end."""
    result = Run(objects, f"alice-{uuid.uuid4().hex[:8]}", stopped_for=stop_for)
    dead_before = sum(queue_depth("InboxDeadLetterQueueUrl"))
    with rule(result.name, RULE.format(name=result.name)), delivered(_DELIVERIES):
        begin = time.monotonic()
        faults = threading.Thread(target=_faults, args=(stop_after, stop_for, kills))
        faults.start()
        write({f"inbox/{result.name}/{number}": f"inbox/{result.name}/{number}" for number in range(objects)})
        result.written = time.monotonic() - begin
        faults.join()
        while (waiting := sum(queue_depth())) and time.monotonic() - begin < deadline:
            time.sleep(0.5)
        result.drained, result.waiting = time.monotonic() - begin, waiting
    result.jobs = jobs_named(result.name)
    while (ended := ends(result.name)).total() < len(result.jobs) and time.monotonic() - begin < deadline:
        time.sleep(1)
    result.ended, result.states = time.monotonic() - begin, ended
    result.dead = sum(queue_depth("InboxDeadLetterQueueUrl")) - dead_before
    result.inputs = {job: key for job, key in inputs_by_job(f"inbox/{result.name}/").items() if job in result.jobs}
    return result


def outputs() -> dict[str, str]:
    """Give the outputs of both stacks."""
    return stacks.outputs_of(stacks.REQUIREMENTS_STACK) | stacks.outputs_of(stacks.API_STACK)


def client(service: str, who: str = principals.ADMINISTRATOR) -> Any:  # noqa: ANN401 (boto3 has no types)
    """Give a client of the emulator for a principal."""
    return aws_emulator.client(service, principals.credentials(who))


@contextmanager
def rule(name: str, text: str) -> Iterator[None]:
    """Have a rule for a while, written as an operator does."""
    bucket, s3 = outputs()["BucketName"], client("s3", principals.OPERATOR)
    s3.put_object(Bucket=bucket, Key=f"rules/{name}.yaml", Body=text.encode())
    try:
        yield
    finally:
        client("s3", principals.OPERATOR).delete_object(Bucket=bucket, Key=f"rules/{name}.yaml")


@contextmanager
def delivered(times: int) -> Iterator[None]:
    """Have each event delivered several times: the rule has as many targets, all of them the inbox's queue."""
    events = client("events")
    name = resource("InboxRule")
    [target] = events.list_targets_by_rule(Rule=name)["Targets"]
    more = [{"Id": f"again-{number}", "Arn": target["Arn"]} for number in range(1, times)]
    events.put_targets(Rule=name, Targets=more)
    try:
        yield
    finally:
        events.remove_targets(Rule=name, Ids=[each["Id"] for each in more])


def resource(logical_id: str) -> str:
    """Give the physical id of a resource of the API's stack."""
    found = client("cloudformation").describe_stack_resources(StackName=stacks.API_STACK)["StackResources"]
    return next(str(each["PhysicalResourceId"]) for each in found if each["LogicalResourceId"] == logical_id)


def write(objects: dict[str, str], writers: int = 8) -> dict[str, str]:
    """Write objects, as the pipeline's role, from several threads; give their versions by key."""
    bucket, s3 = outputs()["BucketName"], client("s3", principals.PIPELINE_ROLE)

    def put(item: tuple[str, str]) -> tuple[str, str]:
        key, content = item
        return key, str(s3.put_object(Bucket=bucket, Key=key, Body=content.encode())["VersionId"])

    with ThreadPoolExecutor(writers) as pool:
        return dict(pool.map(put, objects.items()))


def queue_depth(output: str = "InboxQueueUrl") -> tuple[int, int]:
    """Give how many messages of an output's queue can be received now, and how many later."""
    return queue_messages(outputs()[output])


def queue_messages(url: str) -> tuple[int, int]:
    """Give how many messages of a queue can be received now, and how many later."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])


def jobs_named(name: str) -> set[str]:
    """Give the ids of the jobs of a name that slurmctld has, or that accounting has seen."""
    live = cluster.run(["squeue", "--noheader", "--states=all", f"--name={name}", "--format=%A"]).stdout.split()
    told = cluster.run(["sacct", "--noheader", "--allocations", "--allusers", "--starttime=now-1day",
                        f"--name={name}", "--format=JobID"]).stdout.split()  # fmt: skip
    return set(live) | set(told)


def ends(name: str) -> Counter[str]:
    """Give how many of the jobs of a name ended in which state."""
    told = cluster.run(["sacct", "--noheader", "--parsable2", "--allocations", "--allusers", "--starttime=now-1day",
                        f"--name={name}", "--format=State"]).stdout.split("\n")  # fmt: skip
    return Counter(state for state in told if state and state not in {"PENDING", "RUNNING", "COMPLETING", "REQUEUED"})


def inputs_by_job(prefix: str) -> dict[str, str]:
    """Give the key of each job's object, for objects under a prefix, by what the inbox's table remembers."""
    bucket, table = outputs()["BucketName"], outputs()["InboxTableName"]
    pages = client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    from slurm_gateway.inbox_message import InboxObject

    keys = {
        InboxObject(bucket, each["Key"], each["VersionId"]).digest: each["Key"]
        for page in pages
        for each in page.get("Versions", ())
    }
    answers: dict[str, str] = {}
    for page in client("dynamodb").get_paginator("scan").paginate(TableName=table):
        for item in page["Items"]:
            key = keys.get(item["id"]["S"].partition(" ")[2])
            if key is not None and "answer" in item:
                answers[json.loads(item["answer"]["S"])["id"]] = key
    return answers


def _faults(stop_after: float, stop_for: float, kills: int) -> None:
    time.sleep(stop_after)
    for _ in range(kills):
        _signal("KILL", "slurmrestd")
        time.sleep(max(stop_after / 4, 2.0))
    _signal("STOP", "slurmctld")
    time.sleep(stop_for)
    _signal("CONT", "slurmctld")


def _signal(name: str, unit: str) -> None:
    cluster.run(["systemctl", "kill", "--kill-who=main", f"--signal={name}", unit])
