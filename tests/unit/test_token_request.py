from __future__ import annotations

from typing import Any

import pytest

from slurm_gateway.problem import Problem
from slurm_gateway.token_request import TokenRequest, parse, wants_text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", TokenRequest()),
        (b" \r\n", TokenRequest()),
        (b"{}", TokenRequest()),
        (b'{"user": "alice"}', TokenRequest(user="alice")),
        (b'{"lifespan": 60}', TokenRequest(lifespan=60)),
        (b'{"user": "alice", "lifespan": 60}', TokenRequest(user="alice", lifespan=60)),
    ],
)
def test_a_body_says_what_is_asked_for(body: Any, expected: Any) -> None:
    assert expected == parse(body)


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b'{\n "user": alice}', 400, "Line 2, column 10: Expecting value"),
        (b"user=alice", 400, "Line 1, column 1: Expecting value"),
        (b'{"user": "alice", "user": "bob"}', 400, "The key 'user' stands twice"),
        (b'{"lifespan": NaN}', 400, "NaN is not JSON"),
        (b'{"user": "\xff"}', 400, "'utf-8' codec can't decode"),
        (b"#" * 4097, 413, "The body has 4097 bytes; such a request has 4096 at most."),
        (b"[]", 422, "the body should be a JSON object"),
        (b"null", 422, "the body should be a JSON object"),
        (
            b'{\n\n"username": "alice"}',
            422,
            "line 3: there is no field 'username'; there are user and lifespan.",
        ),
        (b'{"user": null}', 422, "line 1: user should be the name of a Linux user."),
        (b'{"user": "0"}', 422, "line 1: user should be the name of a Linux user."),
        (b'{"user": ["alice"]}', 422, "line 1: user should be the name of a Linux user."),
        (b'{"\\u0075ser": 0}', 422, "user should be the name of a Linux user."),
        (b'{\n"lifespan": 0}', 422, "line 2: lifespan should be a whole number of seconds, 1 or more."),
        (b'{"lifespan": true}', 422, "line 1: lifespan should be a whole number of seconds, 1 or more."),
        (b'{"lifespan": 60.0}', 422, "line 1: lifespan should be a whole number of seconds, 1 or more."),
        (b'{"lifespan": "60"}', 422, "line 1: lifespan should be a whole number of seconds, 1 or more."),
        (b'{"lifespan": null}', 422, "line 1: lifespan should be a whole number of seconds, 1 or more."),
    ],
)
def test_a_wrong_body_is_told_what_and_where(body: Any, status: int, detail: str) -> None:
    with pytest.raises(Problem) as raised:
        parse(body)

    assert raised.value.status == status
    assert raised.value.detail.startswith(detail)


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/plain", True),
        ("TEXT/PLAIN; charset=utf-8", True),
        ("text/*", True),
        ("text/plain, application/json", False),
        ("text/plain, application/json;q=0.9", True),
        ("text/plain;q=0.5, */*", False),
        ("text/plain;q=0", False),
        ("application/*;q=0.2, text/plain;q=0.3", True),
        ("image/png", False),
        (";;,,q=", False),
    ],
)
def test_text_is_given_to_who_would_rather_have_it(accept: str, text: Any) -> None:
    assert text == wants_text(accept)
