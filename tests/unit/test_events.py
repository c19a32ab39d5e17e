from __future__ import annotations

import pytest

from slurm_gateway import events


def test_headers_are_by_lower_case_name_and_a_second_one_is_joined() -> None:
    event = {"headers": {"X-A": "1", "x-a": "2", "B": "3"}}

    assert events.headers(event) == {"x-a": "1,2", "b": "3"}


def test_a_body_is_bytes_however_it_came() -> None:
    assert events.body({}) == b""
    assert events.body({"body": "ä"}) == b"\xc3\xa4"
    assert events.body({"body": "/w==", "isBase64Encoded": True}) == b"\xff"
    with pytest.raises(ValueError, match=r"base64|padding"):
        events.body({"body": "/w=", "isBase64Encoded": True})


@pytest.mark.parametrize(("route", "path"), [("GET /slurm/{proxy+}", "/slurm/{proxy+}"), ("$default", ""), ("", "")])
def test_a_routes_path_is_what_follows_its_method(route: str, path: str) -> None:
    assert events.route_path({"routeKey": route}) == path


def test_an_event_without_a_context_has_no_origin_and_no_caller() -> None:
    assert events.origin({}) == {"request_id": "", "source_ip": ""}
    assert events.iam_caller({}) is None
    assert events.iam_caller({"requestContext": {"authorizer": {"lambda": {"user": "alice"}}}}) is None
