"""What the mixed load takes for an answer that clients can expect."""

from __future__ import annotations

import httpx
import pytest

from bench.mixed_load import status_of
from local.gateway.errors import GatewayError
from local.haproxy import SERVER
from slurm_gateway.problem import unavailable

BARE = "503 that does not say to come back"
GATEWAYS = GatewayError(503).response()
OURS = unavailable("KMS does not answer").response("id")


@pytest.mark.parametrize(
    ("what", "answer", "expected"),
    [
        ("job", httpx.Response(503, headers=OURS["headers"], text=OURS["body"]), "503"),
        # Lambda's throttling, as API Gateway tells it.
        ("submit", httpx.Response(503, headers=GATEWAYS.headers, content=GATEWAYS.body), "503"),
        # The same words where no function is on the way: the load balancer cannot be reached.
        ("native", httpx.Response(503, headers=GATEWAYS.headers, content=GATEWAYS.body), BARE),
        ("native", httpx.Response(503, headers={"Server": SERVER}, html="<h1>503</h1>"), BARE),
        ("native", httpx.Response(503, json={"errors": []}), BARE),
        ("page", httpx.Response(503, headers={"Content-Type": "application/problem+json"}, text=OURS["body"]), BARE),
        ("page", httpx.Response(503, headers={"Retry-After": ""}), BARE),
        ("page", httpx.Response(200), "200"),
        ("page", httpx.Response(504), "504"),
    ],
)
def test_a_503_is_wanted_only_where_it_is_a_word_to_come_back(what: str, answer: httpx.Response, expected: str) -> None:
    assert status_of(what, answer) == expected
