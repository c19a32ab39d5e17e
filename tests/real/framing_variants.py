"""Requests whose end two readers could see in two places, odd bytes, and requests larger than what is taken."""

from __future__ import annotations

from collections.abc import Iterator

from tests.real.header_variants import SLURM, Known, Variant
from tests.real.raw_http import pair, request

TRANSFER_ENCODINGS = (
    b"Transfer-Encoding: chunked", b"transfer-encoding: CHUNKED", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked;q=1", b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding:chunked",
    b"Transfer-Encoding:  chunked ", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: chunked\t",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: chunked\x0c", b"Transfer-Encoding : chunked", b" Transfer-Encoding: chunked",
    b"Transfer-Encoding\t: chunked",
    b"Transfer-Encoding: \r\n chunked", b"Transfer-Encoding:\r\n\tchunked", b"X: x\nTransfer-Encoding: chunked",
    b"X: x\rTransfer-Encoding: chunked",
    b"Transfer_Encoding: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding:",
    b"Transfer-Encoding: \x00chunked", b"Transfer-Encoding: chunke",
    b"Transfer-Encoding: ch\xc2\xadunked", b"Transfer-\xc2\xadEncoding: chunked", b"TE: chunked",
    b"Content-Encoding: chunked", b"Transfer-Encoding: [chunked]",
)  # fmt: skip
LENGTHS = (
    b"Content-Length: %d\r\nContent-Length: %d", b"Content-Length: %d, %d",
    b"Content-Length: %d\r\nContent-Length: 0", b"Content-Length: 0\r\nContent-Length: %d",
    b"Content-Length: +%d", b"Content-Length: -%d", b"Content-Length: 0x%x", b"Content-Length: 0%d",
    b"Content-Length: %d.0", b"Content-Length: %de0",
    b"Content-Length: %d ;", b'Content-Length: "%d"', b"Content-Length: %d\0", b"Content-Length: 1 %d",
    b"Content-Length:\r\n %d", b"Content-Length : %d",
    b" Content-Length: %d", b"Content_Length: %d", b"content-length: %d\r\nCONTENT-LENGTH: 1",
    b"Content-Length: 18446744073709551616%d",
    b"Content-Length: 9223372036854775807", b"Content-Length: -1", b"Content-Length:",
    b"Content-Length: \xef\xbc\x95", b"Content-Length: %d\r\nX-Content-Length: 0",
    b"X: x\nContent-Length: %d", b"Content-Length: 0", b"X-A: b",
)  # fmt: skip
CHUNKS = (
    b"%x\r\n%s\r\n0\r\n\r\n%s", b"%x;ext=1\r\n%s\r\n0\r\n\r\n%s", b"%x;\n%s\r\n0\r\n\r\n%s",
    b"%x \r\n%s\r\n0\r\n\r\n%s", b" %x\r\n%s\r\n0\r\n\r\n%s", b"0x%x\r\n%s\r\n0\r\n\r\n%s",
    b"+%x\r\n%s\r\n0\r\n\r\n%s", b"-%x\r\n%s\r\n0\r\n\r\n%s", b"%x\n%s\n0\n\n%s", b"%x\r%s\r0\r\r%s",
    b"%x\r\n%s0\r\n\r\n%s", b"%x\r\n%s\r\n0\r\n%s",
    b"%x\r\n%s\r\n00000000000000000\r\n\r\n%s", b"%x\r\n%s\r\n0;x=\r\n\r\n%s",
    b"FFFFFFFFFFFFFFFF%x\r\n%s\r\n0\r\n\r\n%s", b"1000000000000000%x\r\n%s\r\n0\r\n\r\n%s",
    b"%x\r\n%s\r\nx\r\n\r\n%s", b"%x_\r\n%s\r\n0\r\n\r\n%s", b"%x\x0b\r\n%s\r\n0\r\n\r\n%s",
    b"%x\r\n%s\r\n0\r\nX-SLURM-USER-NAME: bob\r\n\r\n%s",
    b"%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n%s", b"%x\r\n%s\r\n0\r\n folded\r\n\r\n%s",
    b"%x\r\n%s\r\n0\r\nHost: bob\r\nTransfer-Encoding: chunked\r\n\r\n%s",
)  # fmt: skip


def smuggled(k: Known) -> Iterator[Variant]:
    """A second request hidden in the first: with no pair, with bob's name, with an unverified token of root's."""
    hidden = {
        "nobody's": b"GET %s/node/smuggled HTTP/1.1\r\nHost: x\r\n\r\n" % SLURM.encode(),
        "root's": request("DELETE", f"{SLURM}/job/{k.bobs_job}?smuggled=1", pair("root", k.unverified["root"])),
    }
    for whose, inner in hidden.items():
        chunked = b"0\r\n\r\n" + inner
        for coding in TRANSFER_ENCODINGS:
            for name, length in (("all", len(chunked)), ("the first chunk", 5), ("none", None)):
                lines = [*k.pair, coding] + ([b"Content-Length: %d" % length] if length is not None else [])
                for order, placed in (("behind", lines), ("before", lines[::-1])):
                    data = _post(f"{SLURM}/job/0", placed) + chunked
                    yield Variant(f"{whose}, {coding!r}, Content-Length {order}: {name}", data)
        for length_line in LENGTHS:
            count = length_line.count(b"%")
            line = length_line % ((len(inner),) * count)
            for method in ("POST", "GET", "DELETE"):
                yield Variant(
                    f"{whose}, {method} {length_line!r}", _post(f"{SLURM}/job/0", [*k.pair, line], method) + inner
                )
        for chunk in CHUNKS:
            body = chunk % (2, b"{}", inner)
            data = _post(f"{SLURM}/job/0", [*k.pair, b"Transfer-Encoding: chunked"]) + body
            yield Variant(f"{whose}, chunks {chunk[:24]!r}", data)
        for version in (b"HTTP/1.0", b"HTTP/1.1"):
            for connection in (b"close", b"keep-alive", b"Keep-Alive, close"):
                first = _post(f"{SLURM}/job/{k.alices_job}", [*k.pair], "GET").replace(b"HTTP/1.1", version)
                data = first.replace(b"Connection: keep-alive", b"Connection: " + connection) + inner
                yield Variant(f"{whose}, in a row, {version.decode()}, {connection.decode()}", data)


def odd_bytes(k: Known) -> Iterator[Variant]:
    """Each control character and some beyond ASCII, in the path, the query, a header's name and its value."""
    for code in (
        *range(0x21),
        0x22,
        0x3C,
        0x3E,
        0x5C,
        0x5E,
        0x60,
        0x7B,
        0x7C,
        0x7D,
        0x7F,
        0x80,
        0x85,
        0xA0,
        0xAD,
        0xC0,
        0xE2,
        0xFE,
        0xFF,
    ):
        letter = bytes([code])
        job = f"{SLURM}/job/{k.bobs_job}".encode()
        yield Variant(f"{code:#x} in the path", request("GET", job + letter, k.pair))
        yield Variant(f"%{code:02x} in the path", request("GET", job + b"%%%02x" % code, k.pair))
        yield Variant(f"{code:#x} in the query", request("GET", job + b"?a=" + letter, k.pair))
        yield Variant(f"{code:#x} in a header's name", request("GET", job, [*k.pair, b"X-A" + letter + b"B: c"]))
        yield Variant(
            f"{code:#x} in a header's value",
            request("GET", job, [*k.pair, b"X-A: b" + letter + b"X-SLURM-USER-NAME: bob"]),
        )
        yield Variant(f"{code:#x} behind the name", request("GET", job, pair(b"alice" + letter, k.alice)))
        yield Variant(f"{code:#x} in the method", request(b"GET" + letter, job, k.pair))


def sizes(k: Known) -> Iterator[Variant]:
    """Requests overlong in each part, and bodies longer than what is taken or than what was said."""
    job = f"{SLURM}/job/{k.bobs_job}"
    for size in (1000, 4096, 8192, 9000, 10_240, 16_384, 65_536, 1_000_000):
        over = size >= 10_240
        yield Variant(f"path of {size}", request("GET", f"{SLURM}/node/{'a' * size}", k.pair), refused=over)
        yield Variant(f"path of {size} slashes", request("GET", f"{SLURM}{'/' * size}node", k.pair), refused=True)
        yield Variant(
            f"path of {size} steps", request("GET", f"{SLURM}{'/..' * (size // 3)}/smuggled", k.pair), refused=True
        )
        yield Variant(
            f"path of {size} escapes", request("GET", f"{SLURM}/node/{'%61' * (size // 3)}", k.pair), refused=over
        )
        yield Variant(f"query of {size}", request("GET", f"{job}?{'a' * size}", k.pair), refused=over)
        yield Variant(
            f"query of {size // 4} parameters", request("GET", f"{job}?{'a=b&' * (size // 4)}", k.pair), refused=over
        )
        yield Variant(f"header of {size}", request("GET", job, [*k.pair, b"X-A: " + b"a" * size]), refused=over)
        yield Variant(f"header's name of {size}", request("GET", job, [*k.pair, b"X" * size + b": a"]), refused=over)
        yield Variant(
            f"{size // 10} headers", request("GET", job, [*k.pair, *[b"X-A%d: b" % n for n in range(size // 10)]])
        )
        yield Variant(
            f"{size // 30} names",
            request("GET", job, [*k.pair, *[b"X-SLURM-USER-NAME: bob"] * (size // 30)]),
            refused=True,
        )
        yield Variant(f"method of {size}", request("G" * size, job, k.pair), refused=True)
        yield Variant(f"name of {size}", request("GET", job, pair("a" * size, k.alice)), refused=True)
        yield Variant(f"{size} empty lines first", b"\r\n" * size + request("GET", job, k.pair))
    for path in (f"{SLURM}/job/submit", "/jobs", "/scripts"):
        for said in (10 * 1024 * 1024 + 1, 2**31, 2**32, 2**63 - 1, 10**18 - 1):
            head = _post(path, [*k.pair, b"Content-Length: %d" % said])
            yield Variant(f"{path}, a body said to have {said}", head + b"{}", refused=True)
        yield Variant(f"{path}, a body over 10 MB in chunks",
                      _post(path, [*k.pair,
                      b"Transfer-Encoding: chunked"]) + (b"100000\r\n" + b"a" * 0x100000 + b"\r\n") * 11,
                      refused=True)  # fmt: skip
        yield Variant(
            f"{path}, a body shorter than said", _post(path, [*k.pair, b"Content-Length: 100"]) + b"{}", refused=True
        )
        yield Variant(
            f"{path}, a chunk shorter than said",
            _post(path, [*k.pair, b"Transfer-Encoding: chunked"]) + b"ff\r\n{}",
            refused=True,
        )
    for deep in (1000, 100_000, 1_000_000):
        for opened in (b"[", b'{"job":'):
            body = opened * deep
            for path in (f"{SLURM}/job/submit", "/jobs", "/scripts"):
                yield Variant(
                    f"{path}, {opened!r} {deep} deep",
                    request("POST", path, [*k.pair, b"Content-Type: application/json"], body),
                    refused=True,
                )


def _post(path: str, lines: list[bytes], method: str = "POST") -> bytes:
    head = [
        f"{method} {path} HTTP/1.1".encode(),
        b"Host: api",
        b"Connection: keep-alive",
        b"Content-Type: application/json",
        *lines,
    ]
    return b"\r\n".join([*head, b"", b""])
