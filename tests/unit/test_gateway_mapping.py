from __future__ import annotations

import pytest

from local.gateway.errors import ConfigurationError
from local.gateway.exchange import Api, Exchange
from local.gateway.mapping import Mapped, compile_mapping
from local.gateway.messages import Headers, Request

API = Api("api", "$default", "us-east-1", "000000000000", {"color": "green"})


def mapped(
    parameters: dict[str, str],
    *,
    headers: Headers | None = None,
    target: str = "/p?a=1",
    user: str | None = "alice",
) -> Mapped:
    request = Request("GET", target, headers or [])
    exchange = Exchange(API, request, request_id="id")
    exchange.path_parameters = {"proxy": "job/1"}
    if user is not None:
        exchange.authorizer = {"lambda": {"user": user, "flag": True}}
    return compile_mapping(parameters, "here").apply(exchange, request.headers, target)


def test_overwrite_replaces_every_spelling_of_a_header() -> None:
    sent = [("X-SLURM-USER-NAME", "bob"), ("Other", "1"), ("x-slurm-user-name", "root")]

    result = mapped({"overwrite:header.X-SLURM-USER-NAME": "$context.authorizer.user"}, headers=sent)

    assert result.headers == [("Other", "1"), ("X-SLURM-USER-NAME", "alice")]


def test_overwrite_by_a_variable_without_value_removes_what_the_client_sent() -> None:
    sent = [("X-SLURM-USER-NAME", "bob")]

    result = mapped({"overwrite:header.X-SLURM-USER-NAME": "$context.authorizer.user"}, headers=sent, user=None)

    assert result.headers == []


def test_append_keeps_and_remove_drops() -> None:
    result = mapped({"append:header.A": "new", "remove:header.B": "''"}, headers=[("A", "old"), ("B", "1")])

    assert result.headers == [("A", "old"), ("A", "new")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("static", "static"),
        ("$context.requestId", "id"),
        ("$context.authorizer.flag", "true"),
        ("$stageVariables.color", "green"),
        ("$request.path", "/p"),
        ("$request.path.proxy", "job/1"),
        ("$request.querystring.a", "1"),
        ("$request.header.h", "x,y"),
        ("${request.path.proxy} by ${context.authorizer.user}", "job/1 by alice"),
        ("<${request.header.missing}>", "<>"),
    ],
)
def test_values(value: str, expected: str) -> None:
    result = mapped({"overwrite:header.Out": value}, headers=[("H", "x"), ("h", "y")])

    assert result.headers[-1] == ("Out", expected)


def test_query_parameters_that_are_not_meant_keep_their_bytes() -> None:
    parameters = {
        "overwrite:querystring.a": "ä &",
        "append:querystring.b": "2",
        "remove:querystring.c": "''",
    }

    assert mapped(parameters, target="/p?x=%7e+&a=1&%61=2&c&b=1").target == "/p?x=%7e+&b=1&a=%C3%A4%20%26&b=2"


def test_path_and_query_pass_byte_for_byte_when_nothing_maps_them() -> None:
    target = "/a%2Fb//c;x=%zz/?q=%7E+%41&&=&r"

    assert mapped({}, target=target).target == target


def test_an_overwritten_path_cannot_become_a_query() -> None:
    assert (
        mapped({"overwrite:path": "/v1/${context.authorizer.user}"}, user="a?b #%").target == "/v1/a%3Fb%20%23%25?a=1"
    )


@pytest.mark.parametrize(
    "header",
    ["Authorization", "x-amz-date", "X-Amzn-Trace-Id", "Via", "x-forwarded-for", "Content-Length", "apigw-x", "origin"],
)
def test_reserved_headers_cannot_be_mapped(header: str) -> None:
    with pytest.raises(ConfigurationError, match=f"here.overwrite:header.{header}: .*reserved"):
        compile_mapping({f"overwrite:header.{header}": "x"}, "here")


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"overwrite:header.A": "$context.nonsense"}, "knows no variable"),
        ({"overwrite:header.A": "$request.body.x"}, "unknown selection"),
        ({"overwrite:header.A": "$nothing.x"}, "unknown selection"),
        ({"overwrite:header.A": "x $context.path"}, "write variables as"),
        ({"overwrite:header.A": "${context.path} $context.path"}, "write every variable"),
        ({"overwrite:header.A": "'quoted'"}, "quote"),
        ({"overwrite:header.A B": "x"}, "no header name"),
        ({"overwrite:body": "x"}, "known keys"),
        ({"integration.request.header.A": "method.request.header.B"}, "known keys"),
        ({"remove:header.A": "x"}, "takes no value"),
    ],
)
def test_what_is_unknown_is_refused_at_its_place(parameters: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"here.*{problem}"):
        compile_mapping(parameters, "here")
