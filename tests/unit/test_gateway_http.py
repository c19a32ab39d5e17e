"""Raw requests: what is malformed or ambiguous never reaches an authorizer or the load balancer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from gateway_stack import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


HEAD = b"Host: api\r\nX-SLURM-USER-NAME: alice\r\nX-SLURM-USER-TOKEN: good\r\nConnection: close\r\n"
TARGET = b"/slurm/v0.0.42/job/1"


def raw(line: bytes = b"GET " + TARGET + b" HTTP/1.1", head: bytes = HEAD, body: bytes = b"") -> bytes:
    return line + b"\r\n" + head + b"\r\n" + body


MALFORMED = {
    "length and chunks": raw(head=HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"),
    "two lengths": raw(head=HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n", body=b"ab"),
    "the same length twice": raw(head=HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n", body=b"a"),
    "a list of lengths": raw(head=HEAD + b"Content-Length: 1, 1\r\n", body=b"a"),
    "a signed length": raw(head=HEAD + b"Content-Length: +1\r\n", body=b"a"),
    "two transfer codings": raw(head=HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    "an unknown transfer coding": raw(head=HEAD + b"Transfer-Encoding: gzip, chunked\r\n"),
    "a disguised transfer coding": raw(head=HEAD + b"Transfer-Encoding: xchunked\r\n"),
    "a space before the colon": raw(head=HEAD + b"Transfer-Encoding : chunked\r\n"),
    "a folded header": raw(head=HEAD + b"X-A: b\r\n c\r\n"),
    "a NUL in a header": raw(head=HEAD + b"X-A: b\x00c\r\n"),
    "a control character in a header": raw(head=HEAD + b"X-A: b\x0bc\r\n"),
    "a header without a name": raw(head=HEAD + b": b\r\n"),
    "a header without a colon": raw(head=HEAD + b"X-A\r\n"),
    "a bare line feed": raw(head=HEAD + b"X-A: b\nX-B: c\r\n"),
    "a bare carriage return": raw(head=HEAD + b"X-A: b\rX-B: c\r\n"),
    "line feeds only": raw().replace(b"\r\n", b"\n"),
    "no host": raw(head=HEAD.replace(b"Host: api\r\n", b"")),
    "two hosts": raw(head=HEAD + b"Host: other\r\n"),
    "the absolute form": raw(b"GET http://api" + TARGET + b" HTTP/1.1"),
    "the asterisk form": raw(b"OPTIONS * HTTP/1.1"),
    "the authority form": raw(b"CONNECT api:443 HTTP/1.1"),
    "a fragment": raw(b"GET " + TARGET + b"#x HTTP/1.1"),
    "a NUL in the path": raw(b"GET " + TARGET + b"\x00 HTTP/1.1"),
    "an encoded NUL": raw(b"GET " + TARGET + b"%00 HTTP/1.1"),
    "a broken escape": raw(b"GET " + TARGET + b"%zz HTTP/1.1"),
    "raw UTF-8": raw(b"GET /slurm/v0.0.42/\xc3\xa4 HTTP/1.1"),
    "a backslash": raw(b"GET /slurm/v0.0.42\\job HTTP/1.1"),
    "dot segments": raw(b"GET /slurm/v0.0.42/../../token HTTP/1.1"),
    "encoded dot segments": raw(b"GET /slurm/v0.0.42/%2e%2E/job HTTP/1.1"),
    "a single dot segment": raw(b"GET /slurm/./v0.0.42/job HTTP/1.1"),
    "a space in the path": raw(b"GET " + TARGET + b" x HTTP/1.1"),
    "HTTP/0.9": b"GET /slurm/v0.0.42/job/1\r\n\r\n",
    "HTTP/2 in plain text": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown version": raw(b"GET " + TARGET + b" HTTP/1.2"),
    "no request at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a broken chunk": raw(head=HEAD + b"Transfer-Encoding: chunked\r\n", body=b"zz\r\nabc\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_is_400_and_goes_nowhere(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as stack:
        answer = await stack.raw(MALFORMED[name])

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"apigw-requestid: " in answer
    assert answer.endswith(b'{"message":"Bad Request"}')
    assert (stack.seen, stack.events) == ([], [])


@pytest.mark.parametrize("target", [b"/slurm/v0.0.42/a%2Fb//c/?q=%7E+%zz&x=..;y", b"/slurm/v0.0.42/%41/~"])
async def test_the_target_passes_byte_for_byte(tmp_path: Path, target: bytes) -> None:
    async with running(tmp_path) as stack:
        answer = await stack.raw(raw(b"GET " + target + b" HTTP/1.1"))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [request.target for request in stack.seen] == [target.decode()]


async def test_what_follows_a_refused_request_is_not_read_as_another(tmp_path: Path) -> None:
    smuggled = raw(head=HEAD + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", body=b"0\r\n\r\n") + raw()
    async with running(tmp_path) as stack:
        answer = await stack.raw(smuggled)

    assert answer.count(b"HTTP/1.1 ") == 1
    assert stack.seen == []


async def test_a_chunked_body_arrives_with_a_length(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        await stack.raw(raw(head=HEAD + b"Transfer-Encoding: chunked\r\n", body=b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n"))

    assert stack.seen[0].body == b"abc"
    assert stack.seen[0].header("content-length") == "3"
    assert stack.seen[0].header("transfer-encoding") is None


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    first = raw(b"POST /public HTTP/1.1", head=b"Host: api\r\nContent-Length: 1\r\n", body=b"a")
    async with running(tmp_path) as stack:
        answer = await stack.raw(first + raw(b"GET /nowhere HTTP/1.1"))

    assert answer.find(b"HTTP/1.1 200") < answer.find(b"HTTP/1.1 404")


async def test_the_head_may_have_10240_bytes_and_not_one_more(tmp_path: Path) -> None:
    head = raw(b"GET /public HTTP/1.1", head=HEAD)
    filler = b"X-Fill: " + b"f" * (10_240 - len(head.removesuffix(b"\r\n\r\n")) - len(b"\r\nX-Fill: ")) + b"\r\n"
    async with running(tmp_path) as stack:
        fits = await stack.raw(raw(b"GET /public HTTP/1.1", head=HEAD + filler))
        exceeds = await stack.raw(raw(b"GET /public HTTP/1.1", head=HEAD + b"Y" + filler))
        far_exceeds = await stack.raw(raw(b"GET /public HTTP/1.1", head=HEAD + filler * 30))

    assert fits.startswith(b"HTTP/1.1 200 ")
    assert exceeds.startswith(b"HTTP/1.1 431 ")
    assert far_exceeds.startswith(b"HTTP/1.1 431 ")


async def test_a_body_may_have_10_mib_and_not_one_byte_more(tmp_path: Path) -> None:
    target = "/slurm/v0.0.42/job/submit"
    who = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": "good"}
    limit = 10 * 1024 * 1024

    async def chunks(size: int) -> AsyncIterator[bytes]:
        yield b"x" * size

    async with running(tmp_path) as stack:
        fits = await stack.client.post(target, content=b"x" * limit, headers=who)
        exceeds = await stack.client.post(target, content=b"x" * (limit + 1), headers=who)
        exceeds_in_chunks = await stack.client.post(target, content=chunks(limit + 1), headers=who)

    assert [answer.status_code for answer in (fits, exceeds, exceeds_in_chunks)] == [200, 413, 413]
    assert exceeds.json() == exceeds_in_chunks.json() == {"message": "Request Entity Too Large"}
    assert [len(request.body) for request in stack.seen] == [limit]


async def test_a_client_that_waits_for_100_continue_is_told_to_go_on(tmp_path: Path) -> None:
    head = HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n"
    async with running(tmp_path) as stack:
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        writer.write(raw(b"POST " + TARGET + b" HTTP/1.1", head=head))
        first = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"ok")
        second = await reader.read()
        writer.close()

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert stack.seen[0].header("expect") is None


async def test_head_has_a_length_and_no_body(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        answer = await stack.raw(raw(b"HEAD /public HTTP/1.1"))

    assert b"\r\nContent-Length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")
