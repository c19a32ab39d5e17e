"""What the client tries again, how soon, for how long, and what it says when it gives up."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from gateway_stand_in import StandIn, gateway
from slurm_gateway_client import backoff, exit_status, refusals
from slurm_gateway_client.errors import RefusedError, SettingsError, UnreachableError
from slurm_gateway_client.transport import Call, Transport

READ = Call("GET", "/jobs/1")


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with gateway() as served:
        yield served


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def wait(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def send(stand_in: StandIn, call: Call = READ, patience: float = 900, at: Time | None = None) -> Any:
    at = at or Time()
    transport = Transport(stand_in.url, patience=patience, wait=at.wait, clock=at.clock)
    return transport.send(call, lambda _: {"X-SLURM-USER-NAME": "alice"})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"message": "Internal Server Error"}),
        (502, b"<html>"),
        (503, {"message": "Service Unavailable"}),
        (504, {"message": "Endpoint request timed out"}),
        (429, {"message": "Too Many Requests"}),
        (409, {"type": "urn:slurm-gateway:problem:submit-in-progress", "detail": "wait"}),
        (409, {"type": "urn:slurm-gateway:problem:submit-outcome-unknown", "detail": "wait"}),
    ],
)
def test_trouble_that_passes_is_waited_out(stand_in: StandIn, status: int, body: Any) -> None:
    stand_in.says(status, body).says(status, body).says(200, {"id": "1"})
    assert send(stand_in).json() == {"id": "1"}
    assert len(stand_in.asked) == 3


@pytest.mark.parametrize("status", [200, 201, 304, 400, 401, 403, 404, 409, 413, 422])
def test_other_answers_are_final(stand_in: StandIn, status: int) -> None:
    stand_in.says(status, {"message": "as it is"})
    assert send(stand_in).status_code == status
    assert len(stand_in.asked) == 1


def test_retry_after_is_waited_for_at_least(stand_in: StandIn) -> None:
    at = Time()
    stand_in.says(503, b"", Retry_After="17").says(200)
    send(stand_in, at=at)
    assert at.slept == [17.0]


def test_delays_grow_and_end_at_a_limit() -> None:
    pauses = backoff.delays()
    drawn = [next(pauses) for _ in range(12)]
    assert all(limit / 2 <= drawn[n] <= limit for n, limit in enumerate([0.5, 1, 2, 4, 8, 16, 20, 20, 20, 20, 20, 20]))


def test_gateway_down_for_ten_minutes_is_survived(stand_in: StandIn) -> None:
    stand_in.says(503)
    down = Time()

    def wait(seconds: float) -> None:
        down.wait(seconds)
        if down.now > 600:
            stand_in.answers = [(200, {}, b"{}")]

    transport = Transport(stand_in.url, patience=900, wait=wait, clock=down.clock)
    assert transport.send(READ, lambda _: {}).status_code == 200
    assert 600 < down.now < 640
    assert len(stand_in.asked) < 60


def test_patience_ends_with_what_happened_what_it_means_and_what_to_do(stand_in: StandIn) -> None:
    stand_in.says(503, {"detail": "No head node."}, apigw_requestid="abc=")
    with pytest.raises(UnreachableError) as caught:
        send(stand_in, patience=60)
    assert "within 60 s" in caught.value.happened
    assert "503: No head node." in caught.value.happened
    assert caught.value.means
    assert "abc=" in caught.value.todo


def test_submit_that_got_no_answer_is_said_to_be_unknown(stand_in: StandIn) -> None:
    stand_in.says(504)
    with pytest.raises(UnreachableError) as caught:
        send(stand_in, Call("POST", "/jobs"), patience=5)
    assert "Whether the job exists is not known" in caught.value.means


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("slurm-takes-no-jobs", "The cluster takes no more jobs now"),
        ("slurm-busy", "Slurm is too busy to take a job now"),
    ],
)
def test_cluster_that_stays_full_is_told_as_that(stand_in: StandIn, kind: str, said: str) -> None:
    stand_in.says(503, {"type": f"urn:slurm-gateway:problem:{kind}", "detail": "Nothing was done."}, Retry_After="30")
    at = Time()
    with pytest.raises(RefusedError) as caught:
        send(stand_in, Call("POST", "/jobs"), at=at)
    assert at.slept == [30.0] * 30
    assert caught.value.happened == (
        f"{said}; nothing was submitted in 15 min. The last answer: 503: Nothing was done."
    )
    assert "not known" not in caught.value.means
    assert exit_status.of_error(caught.value) == exit_status.REFUSED


def test_full_cluster_that_makes_room_is_waited_for(stand_in: StandIn) -> None:
    stand_in.says(503, {"type": "urn:slurm-gateway:problem:slurm-takes-no-jobs"}, Retry_After="30").says(201)
    assert send(stand_in, Call("POST", "/jobs")).status_code == 201


def test_busy_slurm_that_does_not_answer_a_read_is_unreachable(stand_in: StandIn) -> None:
    stand_in.says(503, {"type": "urn:slurm-gateway:problem:slurm-busy"}, Retry_After="5")
    with pytest.raises(UnreachableError):
        send(stand_in, patience=60)


def test_what_must_not_be_repeated_is_sent_once(stand_in: StandIn) -> None:
    stand_in.says(502)
    with pytest.raises(UnreachableError, match="502"):
        send(stand_in, Call("DELETE", "/jobs/1", repeatable=False))
    assert len(stand_in.asked) == 1


def test_nobody_there_is_told_in_the_system_s_words() -> None:
    with gateway() as served:
        url = served.url
    with pytest.raises(UnreachableError, match="connection refused"):
        Transport(url, patience=0.1).send(READ, lambda _: {})


@contextmanager
def server_of(take: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve on a free port of loopback what `take` does with each connection; give the https address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            take(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def hang_up_in_the_handshake(connection: socket.socket) -> None:
    # All of the greeting: what is left unread would make it a reset, which is no matter of TLS.
    connection.recv(65536)


def test_handshake_that_breaks_off_is_tried_again_as_any_broken_connection() -> None:
    at = Time()
    with server_of(hang_up_in_the_handshake) as url, pytest.raises(UnreachableError) as caught:
        Transport(url, patience=30, wait=at.wait, clock=at.clock).send(READ, lambda _: {})
    assert len(at.slept) > 3
    assert "within 30 s" in caught.value.happened
    assert "cannot be reached: TLS broke off." in caught.value.happened


def test_certificate_that_is_not_trusted_is_final(private_key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private_key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .sign(private_key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path / "server.pem"
    file.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + private_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def shake_hands(connection: socket.socket) -> None:
        with suppress(OSError):
            context.wrap_socket(connection, server_side=True)

    at = Time()
    with (
        server_of(shake_hands) as url,
        pytest.raises(UnreachableError, match="no certificate that this machine trusts"),
    ):
        Transport(url, patience=30, wait=at.wait, clock=at.clock).send(READ, lambda _: {})
    assert at.slept == []


def test_file_of_certificates_that_holds_none_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.pem").write_text("")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "empty.pem"))
    at = Time()
    with server_of(hang_up_in_the_handshake) as url, pytest.raises(UnreachableError) as caught:
        Transport(url, patience=30, wait=at.wait, clock=at.clock).send(READ, lambda _: {})
    assert (at.slept, "REQUESTS_CA_BUNDLE" in caught.value.todo) == ([], True)


def test_redirect_is_not_followed_with_the_token(stand_in: StandIn) -> None:
    stand_in.says(302, b"", Location="http://127.0.0.1:1/")
    assert send(stand_in).status_code == 302


@pytest.mark.parametrize("value", ["hush-hush\nhush", " hush-hush"])
def test_header_that_cannot_be_sent_is_refused_without_showing_it(stand_in: StandIn, value: str) -> None:
    with pytest.raises(SettingsError, match="the value of a header") as caught:
        Transport(stand_in.url, patience=1).send(READ, lambda _: {"X-SLURM-USER-TOKEN": value})
    assert "hush" not in str(vars(caught.value))
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    assert stand_in.asked == []


def test_netrc_adds_no_authorization(stand_in: StandIn, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login alice password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    stand_in.says(200)
    send(stand_in)
    assert "Authorization" not in stand_in.asked[0].headers
    assert stand_in.asked[0].headers["X-SLURM-USER-NAME"] == "alice"


def test_plain_http_to_this_machine_goes_by_no_proxy(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    stand_in.says(200)
    with gateway() as proxy:
        proxy.says(502)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert send(stand_in).status_code == 200
    assert proxy.asked == []


def test_proxy_that_refuses_is_told_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with server_of(refuse) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.replace("https:", "http:"))
        with pytest.raises(UnreachableError, match="the proxy says 407 Proxy Authentication Required"):
            Transport("https://gateway.example", patience=0.1).send(READ, lambda _: {})


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("5", 5.0), ("0", 0.0), ("99999", 300.0), ("soon", None), ("-3", None), (None, None), ("1.5", None)],
)
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    assert backoff.retry_after(header, time.time()) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert backoff.retry_after("Sat, 21 Nov 2026 10:00:30 GMT", 1795255200.0) == 30.0


def test_refusal_has_line_words_and_advice(stand_in: StandIn) -> None:
    stand_in.says(
        422,
        {"type": "urn:slurm-gateway:problem:option-not-valid", "title": "sbatch would not submit this", "line": 3,
         "detail": "Line 3, column 9: --tim is no option"},
    )  # fmt: skip
    error = refusals.error(send(stand_in), "submit job.sh")
    assert error.happened == "The gateway would not submit job.sh, line 3. 422: Line 3, column 9: --tim is no option"
    assert error.means == "sbatch would not submit this"
    assert "nothing was submitted" in error.todo
