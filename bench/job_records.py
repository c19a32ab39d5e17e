"""Short jobs that end in every way there is, while the feed is killed: one final record a job, and an event of it.

Half of them go by POST /jobs, half by sbatch on the cluster. What each should come to is known from how it was made,
and compared with the jobs table and with what a rule on the event bus received.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from bench.clients import alice_token, stack_environment
from local import aws_emulator, cluster, principals, stacks
from local.slurm_configuration import NODES

if TYPE_CHECKING:
    from collections.abc import Iterator

FEED = "slurm-gateway-feed.service"
_SETTLE = 180.0
_LOST_NODE = NODES[-1]

End = tuple[str, int, int | None]
"""A state, an exit code and a signal."""


@dataclass(frozen=True)
class Kind:
    """A way to end: the script's body, options of sbatch, and what each job (or task) of it comes to."""

    name: str
    share: int
    body: str
    options: tuple[str, ...]
    end: End
    tasks: int = 0


# Of a hundred jobs.
KINDS = (
    Kind("completed", 36, "true", (), ("COMPLETED", 0, None)),
    Kind("failed", 30, "exit 7", (), ("FAILED", 7, None)),
    Kind("killed by a signal", 5, "kill -SEGV $$", (), ("FAILED", 0, 11)),
    Kind("cancelled before start", 12, "true", ("--hold",), ("CANCELLED", 0, None)),
    Kind("array", 10, "exit $SLURM_ARRAY_TASK_ID", ("--array=0-2",), ("FAILED", 2, None), tasks=3),
    Kind("held array, cancelled", 5, "true", ("--hold", "--array=1-3"), ("CANCELLED", 0, None), tasks=3),
    # Elsewhere than on the node that is lost, after which Slurm would run it again.
    Kind("timed out", 1, "sleep 600", ("--time=1", f"--exclude={_LOST_NODE}"), ("TIMEOUT", 0, None)),
    Kind("node lost", 1, "sleep 600", ("--no-requeue", f"--nodelist={_LOST_NODE}"), ("NODE_FAIL", 0, None)),
)


@dataclass
class Run:
    """What came of a run: what was expected of each job and task, and the records and events that there are."""

    expected: dict[str, End] = field(default_factory=dict)
    records: dict[str, list[tuple[str, int | None, int | None]]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    events: int = 0
    kills: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    begun: int = field(default_factory=lambda: int(time.time()))

    def wrong(self) -> dict[str, Any]:
        """Return by id the jobs whose record is not the one, final and right one, with what there is."""
        return {
            job: {"expected": end, "records": self.records.get(job, [])}
            for job, end in self.expected.items()
            if not _is_right(self.records.get(job, []), end)
        }

    def untold(self) -> set[str]:
        """Return the ids of jobs and tasks of which there was no event of the end."""
        return set(self.expected) - self.told

    def lines(self) -> list[str]:
        """Give the figures, for a reader."""
        jobs = sum(self.kinds.values())
        right = len(self.expected) - len(self.wrong())
        return [
            f"{jobs} jobs ({len(self.expected)} with tasks), half by API and half by sbatch, in {self.seconds:.0f} s",
            ", ".join(f"{count} {kind}" for kind, count in self.kinds.items()),
            f"the feed killed {self.kills} times; {self.events} events, {len(self.untold())} jobs without one",
            f"{right} with the one right final record, {len(self.wrong())} without",
        ]


def _is_right(records: list[tuple[str, int | None, int | None]], end: End) -> bool:
    if len(records) != 1:
        return False
    state, code, signal = records[0]
    # What becomes of a script that Slurm itself ends is Slurm's to choose, and differs by release.
    return state == end[0] and (state in {"TIMEOUT", "NODE_FAIL"} or (code, signal) == end[1:])


def run(jobs: int, *, kill_every: float = 3.0, seed: int = 1) -> Run:
    """Submit this many jobs, kill the feed about every `kill_every` seconds, and give what came of them."""
    found = Run()
    chance = random.Random(seed)
    kinds = [kind for kind in KINDS for _ in range(max(1, kind.share * jobs // 100))]
    kinds += [KINDS[0]] * (jobs - len(kinds))
    found.kinds = Counter(kind.name for kind in kinds)
    chance.shuffle(kinds)
    begin = time.monotonic()
    with event_tap() as tap:
        with _killed(chance, kill_every) as killer:
            ids = _submit(kinds)
            _end_by_hand(ids)
            for job, kind in ids:
                found.expected |= _expected(job, kind)
            _wait(lambda: killer.kills and _are_over({job for job, _ in ids}), "all jobs to end", 600)
        found.kills = killer.kills
        # Now it lives: an end that Slurm's journal does not tell is told some seconds after it was seen, by a feed that
        # was not killed in between.
        _settle(found, tap)
    found.seconds = time.monotonic() - begin
    return found


def _expected(job: str, kind: Kind) -> dict[str, End]:
    if not kind.tasks:
        return {job: kind.end}
    if kind.end[0] == "CANCELLED":
        return {job: kind.end} | {f"{job}_{task}": kind.end for task in range(1, kind.tasks + 1)}
    tasks: dict[str, End] = {
        f"{job}_{task}": ("FAILED" if task else "COMPLETED", task, None) for task in range(kind.tasks)
    }
    return {job: kind.end} | tasks


def _submit(kinds: list[Kind]) -> list[tuple[str, Kind]]:
    """Submit every other job by POST /jobs, the others by sbatch as alice on the head node."""
    env = stack_environment()
    headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": alice_token(env)}
    common = ("--job-name=bench", "--output=/dev/null")

    with httpx.Client(base_url=env["API"], headers=headers, timeout=35, trust_env=False) as http:

        def post(kind: Kind) -> str:
            options = [option.removeprefix("--").partition("=") for option in (*common, *kind.options)]
            key = {"Idempotency-Key": uuid.uuid4().hex}
            script = f"#!/bin/bash\n{kind.body}\n"
            given: list[tuple[str, str | int | float | bool | None]] = [(name, value) for name, _, value in options]
            # A machine that is busy answers 5xx or 409 now and then: the key makes it one job all the same.
            for _ in range(20):
                answer = http.post("/jobs", params=given, content=script, headers=key)
                if answer.status_code in {200, 201}:
                    return str(answer.json()["id"])
                if answer.status_code < 500 and answer.status_code != 409:
                    break
                time.sleep(float(answer.headers.get("retry-after", 1)))
            raise RuntimeError(f"POST /jobs answered {answer.status_code}: {answer.text}")

        with ThreadPoolExecutor(5) as pool:
            by_sbatch = pool.submit(_sbatch, kinds[1::2], common)
            by_api = list(zip(pool.map(post, kinds[::2]), kinds[::2], strict=True))
            return by_api + list(zip(by_sbatch.result(), kinds[1::2], strict=True))


def _sbatch(kinds: list[Kind], common: tuple[str, ...]) -> list[str]:
    lines = [
        f"sbatch --parsable {' '.join((*common, *kind.options))} <<'SCRIPT'\n#!/bin/bash\n{kind.body}\nSCRIPT\n"
        for kind in kinds
    ]
    done = cluster.run(["bash", "-e"], user="alice", stdin="".join(lines).encode())
    ids = done.stdout.split()
    if len(ids) != len(kinds):
        raise RuntimeError(f"sbatch took {len(ids)} of {len(kinds)} jobs: {done.stderr[-500:]}")
    return ids


def _end_by_hand(ids: list[tuple[str, Kind]]) -> None:
    """Cancel what is held, bring forward the end of what is to time out, and lose the node of what is to lose it.

    As they come to run: there are more of them than fit on the nodes at once.
    """
    held = [job for job, kind in ids if kind.end[0] == "CANCELLED"]
    cluster.run(["scancel", *held])
    to_end = {job: kind.end[0] for job, kind in ids if kind.end[0] in {"NODE_FAIL", "TIMEOUT"}}

    def end_what_runs() -> bool:
        listed = _squeue("--format=%A %T")
        states = dict(zip(listed[::2], listed[1::2], strict=True))
        running = [job for job in to_end if states.get(job) == "RUNNING"]
        for job in running:
            if to_end[job] == "TIMEOUT":
                cluster.run(["scontrol", "update", f"JobId={job}", "EndTime=now"])
        if any(to_end[job] == "NODE_FAIL" for job in running):
            for state in ("DOWN", "RESUME"):
                cluster.run(["scontrol", "update", f"NodeName={_LOST_NODE}", f"State={state}", "Reason=lost"])
        # One that began while the node was taken away is over as well.
        for job in [job for job in to_end if job in running or job not in states]:
            del to_end[job]
        return not to_end

    _wait(end_what_runs, "all jobs that are ended by hand to run", 900)


def _squeue(*options: str) -> list[str]:
    listed = cluster.run(["squeue", "--noheader", "--name=bench", *options])
    if listed.returncode:
        raise RuntimeError(f"squeue: {listed.stderr.strip()}")
    return listed.stdout.split()


def _are_over(jobs: set[str]) -> bool:
    return not jobs & set(_squeue("--format=%F"))


def _settle(found: Run, tap: EventTap) -> None:
    """Wait until every record is right and every end told, or until that takes too long."""
    deadline = time.monotonic() + _SETTLE
    while time.monotonic() < deadline:
        found.records = records(set(found.expected), found.begun)
        found.told, found.events = set(tap.ended), tap.events
        if not found.wrong() and not found.untold():
            return
        time.sleep(1)


def records(ids: set[str], since: int) -> dict[str, list[tuple[str, int | None, int | None]]]:
    """Return the jobs table's records of these ids: state, exit code and signal of each.

    `since` (Unix seconds) leaves out those of earlier jobs, whose ids came again.
    """
    dynamodb = aws_emulator.client("dynamodb", principals.administrator())
    table = stacks.outputs_of(stacks.API_STACK)["JobsTableName"]
    found: dict[str, list[tuple[str, int | None, int | None]]] = {}
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            job = json.loads(item["document"]["S"])
            if job["id"] in ids and int(item["submitted"]["N"]) >= since:
                found.setdefault(job["id"], []).append((job["state"], job["exit_code"], job["signal"]))
    return found


class EventTap:
    """Counts what a rule of its own on the bus receives."""

    def __init__(self, queue_url: str) -> None:
        self._sqs = aws_emulator.client("sqs", principals.administrator())
        self._queue_url = queue_url
        self.events = 0
        self.ended: Counter[str] = Counter()
        self.details: list[dict[str, Any]] = []

    def drain(self, ending: threading.Event) -> None:
        """Receive until the end."""
        while not ending.is_set():
            answer = self._sqs.receive_message(QueueUrl=self._queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in answer.get("Messages", []):
                detail = json.loads(message["Body"])["detail"]
                self.events += 1
                self.details.append(detail)
                if detail["change"] == "ended":
                    self.ended[detail["id"]] += 1
                self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])


@contextmanager
def event_tap() -> Iterator[EventTap]:
    """Give a tap on the bus, as a user's own rule would be."""
    administrator = principals.administrator()
    events, sqs = (aws_emulator.client(service, administrator) for service in ("events", "sqs"))
    bus = stacks.outputs_of(stacks.REQUIREMENTS_STACK)["EventBusName"]
    name = f"tap-{uuid.uuid4().hex[:8]}"
    queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["slurm-gateway"], "detail-type": ["Slurm Job State Change"]}
    rule = events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))["RuleArn"]
    sends = {
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [sends]})
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
    events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "tap", "Arn": arn}])
    ending = threading.Event()
    tap = EventTap(queue_url)
    thread = threading.Thread(target=tap.drain, args=(ending,), daemon=True)
    thread.start()
    try:
        yield tap
    finally:
        ending.set()
        thread.join()
        events.remove_targets(Rule=name, EventBusName=bus, Ids=["tap"])
        events.delete_rule(Name=name, EventBusName=bus)
        sqs.delete_queue(QueueUrl=queue_url)


class _Killer:
    kills = 0

    def run(self, chance: random.Random, every: float, ending: threading.Event) -> None:
        while not ending.wait(chance.uniform(0.2, 2 * every)):
            cluster.run(["systemctl", "kill", "--kill-who=main", "--signal=KILL", FEED])
            self.kills += 1


@contextmanager
def _killed(chance: random.Random, every: float) -> Iterator[_Killer]:
    """Kill the feed at random moments."""
    ending = threading.Event()
    killer = _Killer()
    thread = threading.Thread(target=killer.run, args=(chance, every, ending), daemon=True)
    thread.start()
    try:
        yield killer
    finally:
        ending.set()
        thread.join()


def _wait(condition: Any, what: str, timeout: float = 120) -> None:  # noqa: ANN401 (a lambda)
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {timeout:.0f} s for {what}")
        time.sleep(0.2)
