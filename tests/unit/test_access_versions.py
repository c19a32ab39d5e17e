"""Which version of the access document holds, in a function that runs and in one that has just started."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from slurm_gateway.access import Access
from slurm_gateway.access_document import AccessDocument
from slurm_gateway.errors import UnavailableError
from slurm_gateway.users import forbidden_names

if TYPE_CHECKING:
    from emulation import Aws, LogLines

FORBIDDEN = forbidden_names(default_user_sudo=True)
BROKEN = "version: 1\nrules: ]\n"
FORBIDDING = "version: 1\nrules:\n  - {name: r, principal: {iam_user: 'arn:aws:iam::1:user/r'}, users: [root]}\n"


def naming(*users: str) -> str:
    rules = "".join(
        f"  - {{name: {user}, principal: {{iam_user: 'arn:aws:iam::123456789012:user/{user}'}}, users: [{user}]}}\n"
        for user in users
    )
    return f"version: 1\nrules:\n{rules}" if users else "version: 1\nrules: []\n"


def users_of(access: Access) -> list[str]:
    return [user for rule in access.rules for user in rule.users]


def started(emulated: Aws, parameter: str) -> AccessDocument:
    return AccessDocument(emulated.ssm, parameter, forbidden=FORBIDDEN)


def put(emulated: Aws, *texts: str) -> str:
    parameter = emulated.parameter(texts[0])
    for text in texts[1:]:
        emulated.parameter(text, name=parameter)
    return parameter


@pytest.mark.parametrize("broken", [BROKEN, FORBIDDING, naming("alice").replace("version: 1", "version: 2")])
def test_a_broken_document_changes_nothing_for_a_function_that_runs_nor_for_one_that_starts(
    emulated: Aws, broken: str
) -> None:
    parameter = put(emulated, naming("alice"))
    running = started(emulated, parameter)
    assert users_of(running.read()) == ["alice"]

    emulated.parameter(broken, name=parameter)

    assert users_of(running.read()) == ["alice"]
    assert users_of(started(emulated, parameter).read()) == ["alice"]


def test_what_was_changed_before_it_broke_is_in_force_also_for_a_function_that_never_read_it(emulated: Aws) -> None:
    parameter = put(emulated, naming("alice", "mallory"))
    running = started(emulated, parameter)
    running.read()

    emulated.parameter(naming("alice"), name=parameter)
    emulated.parameter(BROKEN, name=parameter)
    emulated.parameter(FORBIDDING, name=parameter)

    assert users_of(running.read()) == ["alice"]
    assert users_of(started(emulated, parameter).read()) == ["alice"]


def test_a_mended_document_is_in_force_again(emulated: Aws) -> None:
    parameter = put(emulated, naming("alice"), BROKEN)
    document = started(emulated, parameter)
    document.read()

    emulated.parameter(naming("bob"), name=parameter)

    assert users_of(document.read()) == ["bob"]


def test_a_document_of_nobody_is_valid_and_is_what_a_broken_one_falls_back_to(emulated: Aws) -> None:
    parameter = put(emulated, naming("alice"), naming(), BROKEN)

    assert started(emulated, parameter).read() == Access(())


def test_a_document_that_was_never_valid_decides_nothing(emulated: Aws) -> None:
    with pytest.raises(UnavailableError, match="nor is an earlier version"):
        started(emulated, put(emulated, BROKEN, FORBIDDING)).read()


def test_a_function_that_runs_holds_on_however_often_it_is_broken(emulated: Aws) -> None:
    parameter = put(emulated, naming("alice"))
    running = started(emulated, parameter)
    running.read()

    for number in range(30):
        emulated.parameter(f"{BROKEN}# {number}", name=parameter)
        assert users_of(running.read()) == ["alice"]

    # One that starts looks back a good way, and no further.
    with pytest.raises(UnavailableError):
        started(emulated, parameter).read()


def test_a_parameter_that_was_made_anew_has_forgotten_what_it_held(emulated: Aws) -> None:
    parameter = put(emulated, naming("alice"), naming("alice", "bob"))
    running = started(emulated, parameter)
    running.read()

    emulated.ssm.delete_parameter(Name=parameter)
    with pytest.raises(UnavailableError):
        running.read()
    emulated.parameter(BROKEN, name=parameter)
    with pytest.raises(UnavailableError):
        running.read()
    emulated.parameter(naming("carol"), name=parameter)
    assert users_of(running.read()) == ["carol"]


def test_while_it_is_broken_every_reading_says_so_with_the_line_and_as_a_metric(
    emulated: Aws, log_lines: LogLines, capsys: pytest.CaptureFixture[str]
) -> None:
    parameter = put(emulated, naming("alice"), FORBIDDING)
    document = started(emulated, parameter)
    document.read()
    document.read()

    [what, *again] = log_lines()
    assert (what["parameter"], what["version"], "line 3: " in str(what["problems"])) == (parameter, 2, True)
    assert [(line["parameter"], line["version"]) for line in again] == [(parameter, 2)] * 2
    counted = [line for text in capsys.readouterr().err.splitlines() if "_aws" in (line := json.loads(text))]
    assert [line["AccessDocumentNotValid"] for line in counted] == [1, 1]
    for line in counted:
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert directive["Metrics"] == [{"Name": "AccessDocumentNotValid", "Unit": "Count"}]
        assert all(name in line for dimension in directive["Dimensions"] for name in dimension)


def test_nothing_is_decided_when_the_earlier_version_cannot_be_read(emulated: Aws) -> None:
    def answer(value: str) -> dict[str, Any]:
        return {"Parameter": {"Name": "/x", "Value": value, "Version": 2}}

    document = started(emulated, "/x")
    with Stubber(emulated.ssm) as stub:
        stub.add_response("get_parameter", answer(BROKEN), {"Name": "/x"})
        stub.add_client_error("get_parameter", "ThrottlingException", expected_params={"Name": "/x:1"})
        with pytest.raises(UnavailableError, match="ThrottlingException"):
            document.read()
