"""What becomes of tokens when AWS is slow, throttles or is not there: real sockets, functions as deployed."""

from __future__ import annotations

import importlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from event_samples import authorizer_event, token_event

from slurm_gateway.errors import UnavailableError
from slurm_gateway.keys import parse_key_list
from slurm_gateway.tokens import Mint

if TYPE_CHECKING:
    from emulation import Aws, PublishedUsers

DOCUMENT = """\
version: 1
rules:
  - {name: alice, principal: {iam_user: "arn:aws:iam::000000000000:user/alice"}, users: [alice]}
"""
THROTTLED = (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
BROKEN = (500, {"__type": "InternalServerError"})
SLOW = (0, {})
# API Gateway gives an authorizer 10 s, and a client little more patience.
PATIENCE = 10.0


class Fault:
    """A service that answers every request with one fault; status 0 is no answer."""

    def __init__(self) -> None:
        self.fault: tuple[int, dict[str, str]] = BROKEN
        self.asked = 0
        over = self._over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked += 1
                status, document = outer.fault
                if status == 0:
                    over.wait(PATIENCE)
                    return
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing on standard error."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def faulty() -> Iterator[Fault]:
    fault = Fault()
    yield fault
    fault.stop()


@pytest.fixture
def start(emulated: Aws, published_users: PublishedUsers) -> Iterator[Callable[..., Any]]:
    """Return a function that starts a deployed function anew, with some services elsewhere."""
    environment = {
        "KEYS_PARAMETER": emulated.parameter(emulated.key()),
        "ACCESS_PARAMETER": emulated.parameter(DOCUMENT),
        "BUCKET": "bucket",
        "ALLOW_HEAD_NODE_TOKENS": "false",
        "DEFAULT_USER_SUDO": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)

        def build(module: str, **endpoints: str) -> Any:
            loaded = importlib.import_module(f"slurm_gateway.{module}")
            for service, url in endpoints.items():
                patch.setenv(f"AWS_ENDPOINT_URL_{service}", url)
            return loaded.build(environment)

        yield build


def mint(function: Any) -> tuple[int, dict[str, str], float]:
    begin = time.monotonic()
    response = function(token_event())
    assert "eyJ" not in response["body"]
    return response["statusCode"], response["headers"], time.monotonic() - begin


@pytest.mark.parametrize(
    ("service", "fault"),
    [("SSM", THROTTLED), ("SSM", BROKEN), ("KMS", THROTTLED), ("KMS", BROKEN), ("KMS", SLOW)],
    ids=str,
)
def test_a_service_in_trouble_is_a_503_in_time_and_a_line_that_names_it(
    start: Callable[..., Any], faulty: Fault, log_lines: Any, service: str, fault: tuple[int, dict[str, str]]
) -> None:
    faulty.fault = fault
    function = start("token_api", **{service: faulty.url})

    status, headers, seconds = mint(function)

    assert (status, headers["retry-after"], headers["content-type"]) == (503, "5", "application/problem+json")
    assert seconds < PATIENCE
    # Twice at most: who throttles is not helped by more.
    assert 1 <= faulty.asked <= 2


@pytest.mark.parametrize("service", ["SSM", "KMS"])
def test_a_service_that_is_not_there_is_a_503(start: Callable[..., Any], service: str) -> None:
    status, headers, seconds = mint(start("token_api", **{service: "http://127.0.0.1:1"}))

    assert (status, headers["retry-after"], seconds < PATIENCE) == (503, "5", True)


def test_s3_that_is_not_there_is_a_503_that_says_what_is_missing(start: Callable[..., Any]) -> None:
    status, headers, seconds = mint(start("token_api", S3="http://127.0.0.1:1"))

    assert (status, headers["retry-after"], seconds < PATIENCE) == (503, "60", True)


@pytest.mark.parametrize(("service", "fault"), [("SSM", SLOW), ("KMS", THROTTLED)], ids=str)
def test_at_the_edge_nothing_passes_and_nothing_is_refused_while_the_keys_cannot_be_had(
    start: Callable[..., Any], faulty: Fault, emulated: Aws, service: str, fault: tuple[int, dict[str, str]]
) -> None:
    faulty.fault = fault
    key = parse_key_list(emulated.key()).signer
    assert key is not None
    token = Mint(emulated.kms).mint("alice", lifespan=900, key=key).text
    function = start("edge_authorizer", **{service: faulty.url})

    begin = time.monotonic()
    with pytest.raises(UnavailableError):
        function(authorizer_event(token=token))

    assert time.monotonic() - begin < PATIENCE
