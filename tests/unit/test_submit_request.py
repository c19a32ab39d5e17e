"""What POST /jobs reads of a request, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slurm_gateway import submit_request
from slurm_gateway.caller import Caller
from slurm_gateway.problem import Problem
from slurm_gateway.router import Request

SCRIPT = "#!/bin/sh\ntrue\n"


def request(body: str, *, query: str = "", content_type: str = "application/x-www-form-urlencoded") -> Request:
    event: dict[str, Any] = {"rawQueryString": query, "headers": {"content-type": content_type}, "body": body}
    return Request(Caller("alice", "token", 2_000_000_000), event)


def of_json(document: object, query: str = "") -> submit_request.SubmitRequest:
    return submit_request.parse(request(json.dumps(document), query=query, content_type="application/json"))


def refusal(document: object) -> Problem:
    with pytest.raises(Problem) as caught:
        of_json(document)
    return caught.value


def test_a_body_that_is_not_called_json_is_the_script_and_the_query_holds_options() -> None:
    asked = submit_request.parse(request(SCRIPT, query="partition=queue1&time=10%3A00&hold&dry_run=true"))

    assert (asked.script, asked.dry_run) == (SCRIPT.encode(), True)
    assert asked.options == (("partition", "queue1"), ("time", "10:00"), ("hold", ""))


def test_json_says_the_same_and_more_and_the_query_wins() -> None:
    asked = of_json(
        {
            "script": SCRIPT,
            "options": {"time": 10, "hold": True, "mail-user": None},
            "environment": {"A": "b"},
            "working_directory": "/tmp",
            "arguments": ["one", "two"],
        },
        query="time=20",
    )

    assert asked.options == (("time", 10), ("hold", True), ("mail-user", None), ("time", "20"))
    assert (asked.script, asked.environment, asked.working_directory, asked.arguments) == (
        SCRIPT.encode(), {"A": "b"}, "/tmp", ("one", "two"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"scrpt": SCRIPT},
        {"script": 1},
        {"script": "\ud800"},
        {"script": SCRIPT, "script_sha256": "0" * 64},
        {"script_sha256": "0" * 63},
        {"script": SCRIPT, "script_name": 3},
        {"script": SCRIPT, "script_name": "a\0b"},
        {"script": SCRIPT, "options": []},
        {"script": SCRIPT, "options": {"time": 1.5}},
        {"script": SCRIPT, "options": {"time": [1]}},
        {"script": SCRIPT, "options": {"comment": "\ud800"}},
        {"script": SCRIPT, "environment": ["A=b"]},
        {"script": SCRIPT, "environment": {"A": 1}},
        {"script": SCRIPT, "environment": {"A=": "b"}},
        {"script": SCRIPT, "environment": {"A": "\0"}},
        {"script": SCRIPT, "working_directory": "here"},
        {"script": SCRIPT, "arguments": "one"},
        {"script": SCRIPT, "arguments": [1]},
    ],
)
def test_json_that_means_nothing_is_refused(document: object) -> None:
    assert (refusal(document).status, refusal(document).kind) == (422, "request-not-valid")


@pytest.mark.parametrize("body", ["", "{", '{"script": "a", "script": "b"}', "nonsense"])
def test_a_body_that_is_not_the_json_it_is_called_is_refused(body: str) -> None:
    with pytest.raises(Problem) as caught:
        submit_request.parse(request(body, content_type="application/json; charset=utf-8"))

    assert caught.value.status == 400


def test_a_script_may_have_the_name_of_its_file() -> None:
    body = json.dumps({"script": SCRIPT, "script_name": "jobs/run.sh"})
    assert submit_request.parse(request(body, content_type="application/json")).script_name == "jobs/run.sh"


@pytest.mark.parametrize("query", ["dry_run=yes", "dry_run=", "dry_run=true&dry_run=true"])
def test_dry_run_is_true_or_false(query: str) -> None:
    with pytest.raises(Problem, match="dry_run"):
        submit_request.parse(request(SCRIPT, query=query))


def test_a_fingerprint_tells_bodies_options_and_kinds_apart() -> None:
    requests = [
        request(SCRIPT),
        request(SCRIPT + " "),
        request(SCRIPT, query="time=1"),
        request(SCRIPT, query="time=2"),
        request('{"script": "#!/bin/sh\\n"}', content_type="application/json"),
        request('{"script": "#!/bin/sh\\n"}'),
    ]

    assert len({submit_request.parse(each).fingerprint for each in requests}) == len(requests)
    assert submit_request.parse(requests[2]).fingerprint == submit_request.parse(requests[2]).fingerprint


@pytest.mark.parametrize(
    ("script", "status", "members"),
    [
        (b"", 422, {"line": 1, "column": 1}),
        (b"echo\n", 422, {"line": 1, "column": 1}),
        (b"#!/bin/sh\necho\r\n", 422, {"line": 2, "column": 5}),
        (b"#!/bin/sh\n#\0\n", 422, {"line": 2, "column": 2}),
        (b"#!/bin/sh\n" + b"#" * 4 * 1024 * 1024, 413, {}),
    ],
)
def test_a_script_that_sbatch_refuses_is_refused_with_its_place(
    script: bytes, status: int, members: dict[str, int]
) -> None:
    with pytest.raises(Problem) as caught:
        submit_request.read_script(script)

    assert (caught.value.status, caught.value.members) == (status, members)
