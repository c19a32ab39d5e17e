"""What is bob's stays bob's: for alice it is as if it did not exist, on every route of ours."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from local import aws_emulator, principals, stacks
from slurm_gateway import cursor as cursors
from tests.real.conftest import Stack, slurm, wait_for

SECRET = f"secret-of-bob-{uuid.uuid4().hex}"
MISSING = "67000000"  # an id that Slurm gives to no job on a cluster of this age
NO_SCRIPT = hashlib.sha256(b"nobody's").hexdigest()
SCRIPT = f"#!/bin/bash\n# {SECRET}\nsleep 300\n"
Ask = Callable[..., httpx.Response]


@dataclass(frozen=True)
class Bobs:
    """A job that waits and one that ended, the first one's script, idempotency key and marker, and a cursor."""

    waiting: str
    ended: str
    script: str
    key: str
    marker: str
    cursor: str


@pytest.fixture(autouse=True)
def no_jobs_left() -> None:
    """bob's jobs are needed until the last test; `bobs` cancels them."""


@pytest.fixture(scope="module")
def ask(stack: Stack) -> Ask:
    def send(user: str, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = stack.headers(user) | arguments.pop("headers", {})
        return stack.http.request(method, stack.api + path, headers=headers, **arguments)

    return send


@pytest.fixture(scope="module")
def bobs(stack: Stack, ask: Ask) -> Iterator[Bobs]:
    key = f"key-{uuid.uuid4().hex}"
    waiting = ask("bob", "POST", f"/jobs?hold=yes&job-name={SECRET}", content=SCRIPT, headers={"Idempotency-Key": key})
    ended = ask("bob", "POST", f"/jobs?job-name={SECRET}", content=f"#!/bin/sh\n# {SECRET}\ntrue\n")
    assert (waiting.status_code, ended.status_code) == (201, 201), waiting.text + ended.text
    wait_for(lambda: ask("bob", "GET", f"/jobs/{ended.json()['id']}").json()["state"] == "COMPLETED", "its end")
    page = ask("bob", "GET", "/jobs?limit=1").json()
    yield Bobs(
        waiting.json()["id"],
        ended.json()["id"],
        waiting.json()["script"],
        key,
        extra_of(waiting.json()["id"]),
        page["next"],
    )
    slurm("scancel", "--user=alice")
    slurm("scancel", "--user=bob")


def extra_of(job_id: str) -> str:
    found = re.search(r"Extra=(\S+)", slurm("scontrol", "show", "job", job_id))
    assert found is not None
    return found[1]


def shown(answer: httpx.Response, *own: str) -> tuple[int, str]:
    """An answer without what differs from one request to the next, and without what was asked for."""
    ignored = ("date", "apigw-requestid", "content-length")
    headers = {name: value for name, value in answer.headers.items() if name not in ignored}
    text = json.dumps(headers) + re.sub(r'"instance": ?"[^"]*"', "", answer.text)
    for word in own:
        # Not within a longer number, which a short id may be by chance.
        text = re.sub(rf"(?<!\d){word}(?!\d)" if word.isdigit() else word, "IT", text)
    return answer.status_code, text


# Every route of ours that names a job: a part of a job, its output, a change and a condition too.
OF_A_JOB: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", "/jobs/{id}", {}),
    ("GET", "/jobs/{id}", {"headers": {"If-None-Match": "*"}}),
    ("GET", "/jobs/{id}_0", {}),
    ("GET", "/jobs/{id}+0", {}),
    ("GET", "/jobs/{id}%2B0", {}),
    ("GET", "/jobs/{id}?user=bob", {}),
    ("GET", "/jobs/{id}/output", {}),
    ("GET", "/jobs/{id}/output?offset=0", {}),
    ("GET", "/jobs/{id}/output?list=true", {}),
    ("GET", "/jobs/{id}/output?file=x", {}),
    ("HEAD", "/jobs/{id}", {}),
    ("DELETE", "/jobs/{id}", {}),
    ("DELETE", "/jobs/{id}?signal=KILL", {}),
    ("DELETE", "/jobs/{id}?signal=0", {}),
    ("DELETE", "/jobs/{id}_0", {}),
    ("DELETE", "/jobs/{id}+0", {}),
    ("PATCH", "/jobs/{id}", {"json": {"hold": True}}),
    ("PATCH", "/jobs/{id}", {"json": {"hold": False}}),
    ("PATCH", "/jobs/{id}", {"json": {"time_limit": 60}}),
    ("PATCH", "/jobs/{id}", {"json": {"requeue": True}}),
    ("PATCH", "/jobs/{id}", {"json": {}}),
    ("PATCH", "/jobs/{id}", {"content": b"{"}),
    ("PATCH", "/jobs/{id}_0", {"json": {"hold": True}}),
    ("PATCH", "/jobs/{id}+0", {"json": {"hold": True}}),
)


@pytest.mark.parametrize("which", ["waiting", "ended"])
def test_a_job_of_bobs_is_answered_for_as_one_that_is_not(stack: Stack, ask: Ask, bobs: Bobs, which: str) -> None:
    job_id = getattr(bobs, which)
    before = slurm("scontrol", "show", "job", job_id)
    for method, path, arguments in OF_A_JOB:
        his = ask("alice", method, path.format(id=job_id), **arguments)
        none = ask("alice", method, path.format(id=MISSING), **arguments)
        assert his.status_code >= 400, (method, path)
        assert shown(his, job_id) == shown(none, MISSING), (method, path, arguments)
        assert SECRET not in his.text
    assert slurm("scontrol", "show", "job", job_id) == before


@pytest.mark.parametrize(("method", "arguments"), [("GET", {}), ("DELETE", {}), ("PATCH", {"json": {"hold": True}})])
def test_the_time_that_an_answer_takes_tells_nothing(
    ask: Ask, bobs: Bobs, method: str, arguments: dict[str, Any]
) -> None:
    def medians() -> tuple[float, float]:
        took: dict[str, list[float]] = {bobs.waiting: [], MISSING: []}
        for _ in range(25):
            for job_id, times in took.items():
                started = time.perf_counter()
                ask("alice", method, f"/jobs/{job_id}", **arguments)
                times.append(time.perf_counter() - started)
        his, none = (statistics.median(times) for times in took.values())
        return his, none

    measured: list[tuple[float, float]] = []
    # What is told is told each time; what else the machine does is in one measurement or another.
    for _ in range(3):
        his, none = medians()
        measured.append((his, none))
        # A second question to Slurm, or none, would be half of it or twice as much.
        if abs(his - none) < 0.35 * min(his, none) + 0.003:
            return
    pytest.fail(f"medians in seconds, of his and of none: {measured}")


def test_bobs_script_is_no_script_of_alices(ask: Ask, bobs: Bobs) -> None:
    for path in ("/scripts/{id}", "/scripts/{id}?user=bob", "/scripts/..%2Fbob%2F{id}"):
        his, none = (ask("alice", "GET", path.format(id=one)) for one in (bobs.script, NO_SCRIPT))
        assert his.status_code >= 400
        # What was asked for is repeated, cut after 64 characters.
        assert shown(his, bobs.script, bobs.script[:57]) == shown(none, NO_SCRIPT, NO_SCRIPT[:57]), path
    submits = [
        ask("alice", "POST", "/jobs?dry_run=true", json={"script_sha256": one}) for one in (bobs.script, NO_SCRIPT)
    ]
    assert submits[0].status_code == 404
    assert shown(submits[0], bobs.script) == shown(submits[1], NO_SCRIPT)
    # That bob has it neither keeps alice from having the same nor shows in what she is told of it.
    staged, new = (ask("alice", "POST", "/scripts", content=text) for text in (SCRIPT, SCRIPT + " "))
    assert (staged.status_code, staged.json()["sha256"]) == (201, bobs.script)
    assert shown(staged, bobs.script, str(len(SCRIPT))) == shown(new, new.json()["sha256"], str(len(SCRIPT) + 1))


def test_bobs_jobs_are_in_no_list_of_alices(ask: Ask, bobs: Bobs) -> None:
    assert SECRET in ask("bob", "GET", f"/jobs?name={SECRET}").text
    for query in (f"name={SECRET}", "limit=500", "limit=500&since=2020-01-01T00:00:00Z", "state=PENDING&limit=500"):
        answer = ask("alice", "GET", f"/jobs?{query}")
        assert answer.status_code == 200
        assert {job["user"] for job in answer.json()["jobs"]} <= {"alice"}
        assert SECRET not in answer.text
    for query in ("users=bob", "owner=bob", "USER=bob", "name=x&name=y", "user=alice&user=bob", "cluster=other"):
        assert ask("alice", "GET", f"/jobs?{query}").status_code == 422, query
    assert ask("alice", "GET", "/jobs?user=bob").status_code == 403


def test_a_cursor_opens_nobodys_list_but_the_callers(ask: Ask, bobs: Bobs) -> None:
    rubbish = ask("alice", "GET", "/jobs?cursor=rubbish")
    assert (rubbish.status_code, rubbish.json()["type"]) == (400, "urn:slurm-gateway:problem:cursor-not-valid")
    far = "9999999999#9999999999"
    none: tuple[str, ...] = ("", "", "", "0")
    refused = [
        bobs.cursor, cursors.make(far, user="bob", filters=none), cursors.make(far, user="alice", filters=("X", "",
        "", "0")),
        cursors.make(far, user="alice", filters=("", "", "", "1")), bobs.cursor + "A", bobs.cursor[:-1],
        bobs.cursor.swapcase(),
        "=", "%00", "\u00e9", "A" * 101, "A" * 5000, base64.urlsafe_b64encode(b"9999999999#9999999999#bob").decode(),
        base64.urlsafe_b64encode(json.dumps({"user": "bob"}).encode()).decode(), "../bob", "' OR 1=1", "{}", "null",
        "0", "-1",
    ]  # fmt: skip
    for cursor in refused:
        answer = ask("alice", "GET", "/jobs", params={"cursor": cursor})
        assert (answer.status_code, SECRET in answer.text) in ((400, False), (422, False)), cursor
    # One that she forges for herself opens her own list, from anywhere, and from before it begins.
    for place in (far, "0000000000#0000000000", "1795250000#0000000001"):
        forged = cursors.make(place, user="alice", filters=none)
        answer = ask("alice", "GET", "/jobs", params={"cursor": forged, "limit": "500"})
        assert answer.status_code == 200, answer.text
        assert {job["user"] for job in answer.json()["jobs"]} <= {"alice"}
    late = cursors.make("0000000001#0000000001", user="alice", filters=("", "", "", "4102444800"))
    answer = ask("alice", "GET", "/jobs", params={"cursor": late, "since": "2100-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()) == (200, {"jobs": [], "next": None})


def test_bobs_idempotency_key_is_not_alices(ask: Ask, bobs: Bobs) -> None:
    path = f"/jobs?hold=yes&job-name={SECRET}"
    hers = ask("alice", "POST", path, content=SCRIPT, headers={"Idempotency-Key": bobs.key})
    assert hers.status_code == 201, hers.text
    assert (hers.json()["user"], "idempotent-replayed" in hers.headers) == ("alice", False)
    assert hers.json()["id"] != bobs.waiting
    # With another request under his key she is not told that it is taken.
    other = ask("alice", "POST", "/jobs?hold=yes", content=SCRIPT + "#\n", headers={"Idempotency-Key": f"{bobs.key}2"})
    assert other.status_code == 201
    again = ask("bob", "POST", path, content=SCRIPT, headers={"Idempotency-Key": bobs.key})
    assert (again.status_code, again.json()["id"]) == (201, bobs.waiting)
    assert again.headers["idempotent-replayed"] == "true"


def test_strange_idempotency_keys_are_refused_or_are_keys_of_their_own(ask: Ask, bobs: Bobs) -> None:
    strange = [f"bob {bobs.key}", "", "a b", "a\tb", "\u00e9", "a" * 256, "a\u00a0b"]
    for key in strange:
        answer = ask("alice", "POST", "/jobs?hold=yes", content=SCRIPT, headers={"Idempotency-Key": key.encode()})
        assert answer.status_code == 400, (key, answer.text)
    own = ["".join(map(chr, range(0x21, 0x7F))), "../bob", "*", "{}", "'OR'1'='1", "a" * 223, "bob#1", "bob/1", "a,b"]
    for key in (f"{word}{uuid.uuid4().hex}" for word in own):
        answer = ask(
            "alice", "POST", "/jobs?hold=yes&job-name=strange", content=SCRIPT, headers={"Idempotency-Key": key}
        )
        assert (answer.status_code, answer.json()["user"]) == (201, "alice"), (key, answer.text)


def test_a_job_of_alices_with_bobs_marker_is_hers_and_changes_nothing_of_his(
    stack: Stack, ask: Ask, bobs: Bobs
) -> None:
    records = records_of(bobs.waiting)
    forged = str(stack.submit("alice", extra=bobs.marker, hold=True, name="forged"))
    later = str(stack.submit("alice", hold=True, name="forged"))
    assert stack.slurm("alice", "POST", f"job/{later}", json={"extra": bobs.marker}).status_code == 200
    for job_id in (forged, later):
        assert extra_of(job_id) == bobs.marker
        read = ask("alice", "GET", f"/jobs/{job_id}").json()
        assert (read["user"], read["id"]) == ("alice", job_id)
    # The marker names his script; it opens only where she has the same.
    foreign = re.sub(r"[0-9a-f]{64}$", hashlib.sha256(SECRET.encode()).hexdigest(), bobs.marker)
    assert stack.slurm("alice", "POST", f"job/{later}", json={"extra": foreign}).status_code == 200
    link = ask("alice", "GET", f"/jobs/{later}").json()["links"]["script"]
    assert ask("alice", "GET", link).status_code == 404
    again = ask(
        "bob", "POST", f"/jobs?hold=yes&job-name={SECRET}", content=SCRIPT, headers={"Idempotency-Key": bobs.key}
    )
    assert (again.status_code, again.json()["id"]) == (201, bobs.waiting)
    assert records_of(bobs.waiting) == records


def test_a_submit_of_bobs_whose_outcome_is_unknown_does_not_end_in_alices_job(
    stack: Stack, ask: Ask, bobs: Bobs
) -> None:
    """She forges the marker of a submit of his that never arrived: his next try still makes a job of his own."""
    key, name = f"key-{uuid.uuid4().hex}", f"lost-{uuid.uuid4().hex}"
    path, headers = f"/jobs?hold=yes&job-name={name}", {"Idempotency-Key": key}
    first = ask("bob", "POST", path, content=SCRIPT, headers=headers)
    marker = extra_of(first.json()["id"])
    slurm("scancel", first.json()["id"])
    lost = re.sub(r":[0-9a-f]{32}:", f":{uuid.uuid4().hex}:", marker)
    table, dynamodb = submissions()
    dynamodb.update_item(
        TableName=table,
        Key={"id": {"S": f"bob {key}"}},
        UpdateExpression="SET marker = :marker, sender_until = :never, token_expires_at = :past, sent_after = :now "
        "REMOVE answer",
        ExpressionAttributeValues={":marker": {"S": lost}, ":never": {"N": "0"}, ":past": {"N": "1"},
                                   ":now": {"N": str(int(time.time()) - 10)}},
    )  # fmt: skip
    forged = stack.submit("alice", extra=lost, hold=True, name=name)

    def settled() -> httpx.Response | None:
        answer = ask("bob", "POST", path, content=SCRIPT, headers=headers)
        return None if answer.status_code == 409 else answer

    second = wait_for(settled, "the submit to be settled", 60)

    assert (second.status_code, second.json()["user"]) == (201, "bob"), second.text
    assert second.json()["id"] != str(forged)
    assert slurm("squeue", "--noheader", f"--jobs={second.json()['id']}", "--format=%u %j").split() == ["bob", name]
    assert extra_of(second.json()["id"]) == lost


def records_of(job_id: str) -> list[Any]:
    table, dynamodb = _table("JobsTable")
    answer = dynamodb.query(
        TableName=table, KeyConditionExpression="job = :job",
        ExpressionAttributeValues={":job": {"S": f"parallelcluster#{job_id}"}},
    )  # fmt: skip
    return list(answer["Items"])


def submissions() -> tuple[str, Any]:
    return _table("SubmissionsTable")


def _table(logical_id: str) -> tuple[str, Any]:
    administrator = principals.administrator()
    found = aws_emulator.client("cloudformation", administrator).describe_stack_resource(
        StackName=stacks.API_STACK, LogicalResourceId=logical_id
    )
    return str(found["StackResourceDetail"]["PhysicalResourceId"]), aws_emulator.client("dynamodb", administrator)
