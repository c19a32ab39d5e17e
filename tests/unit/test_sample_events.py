"""events/: one sample for each function and kind of route, as API Gateway sends them, true to the template."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from templates_under_test import ISSUERS, api_body, operations

from local.address import CHECKOUT
from slurm_gateway import events

# The recorder's and the inbox's come from queues, the canary's from a schedule.
OTHERS = ("recorder.json", "inbox-batch.json", "canary.json")
EVENTS = sorted(path for path in (CHECKOUT / "events").glob("*.json") if path.name not in OTHERS)
AUTHORIZER_EVENTS = [path for path in EVENTS if path.name.startswith("authorizer-")]
IAM_EVENTS = [path for path in EVENTS if path.name.startswith("token-iam-")]
OIDC_EVENTS = [path for path in EVENTS if path.name.startswith("token-oidc-")]


def read(path: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(path.read_text())
    return event


def test_there_is_an_event_for_every_route() -> None:
    assert {read(path)["routeKey"] for path in EVENTS} == set(operations(**ISSUERS))


def test_there_is_an_authorizer_event_for_every_route_that_it_guards() -> None:
    guarded = {route for route, item in operations().items() if item.get("security") == [{"EdgeAuthorizer": []}]}

    assert {read(path)["routeKey"] for path in AUTHORIZER_EVENTS} == guarded


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.name)
def test_an_event_is_of_one_piece(path: Any) -> None:
    event = read(path)
    context = event["requestContext"]
    method, _, route = event["routeKey"].partition(" ")
    pattern = re.sub(r"\{(\w+)\}", r"[^/]+", re.sub(r"\{(\w+)\+\}", ".+", route)).replace(".well", r"\.well")

    assert event["version"] == "2.0"
    assert context["routeKey"] == event["routeKey"]
    assert context["http"]["path"] == event["rawPath"]
    assert method in {"ANY", context["http"]["method"]}
    assert re.fullmatch(pattern, event["rawPath"])
    assert set(event.get("pathParameters", {})) == set(re.findall(r"\{(\w+)\+?\}", route))
    assert all(name == name.lower() for name in event["headers"])


@pytest.mark.parametrize("path", AUTHORIZER_EVENTS, ids=lambda path: path.name)
def test_an_authorizer_event_holds_the_identity_sources_that_the_template_names(path: Any) -> None:
    event = read(path)
    scheme = api_body()["components"]["securitySchemes"]["EdgeAuthorizer"]
    sources = scheme["x-amazon-apigateway-authorizer"]["identitySource"].split(", ")

    values = [
        event["routeKey"] if source == "$context.routeKey" else event["headers"][source.rpartition(".")[2].lower()]
        for source in sources
    ]

    assert event["identitySource"] == values
    assert event["type"] == "REQUEST"


@pytest.mark.parametrize("path", OIDC_EVENTS, ids=lambda path: path.name)
def test_an_oidc_event_has_every_claim_as_text(path: Any) -> None:
    claims = read(path)["requestContext"]["authorizer"]["jwt"]["claims"]

    assert events.oidc_claims(read(path)) == claims
    assert claims["iss"] in ISSUERS.values()
    assert events.iam_caller(read(path)) is None


@pytest.mark.parametrize("path", IAM_EVENTS, ids=lambda path: path.name)
def test_a_token_event_names_the_iam_caller(path: Any) -> None:
    assert re.fullmatch(r"arn:aws:(iam|sts)::000000000000:.+", events.iam_caller(read(path)) or "")


def test_the_schedules_event_has_the_id_by_which_the_canary_submits_once() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", read(CHECKOUT / "events" / "canary.json")["id"])


def test_no_event_holds_a_token() -> None:
    for path in EVENTS:
        assert "eyJ" not in path.read_text(), path.name
