"""Requests of alice's with headers by which she might pass for somebody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.real.conftest import NATIVE_VERSION
from tests.real.raw_http import pair, request

NAME, TOKEN = b"X-SLURM-USER-NAME", b"X-SLURM-USER-TOKEN"
SLURM, SLURMDB = f"/slurm/{NATIVE_VERSION}", f"/slurmdb/{NATIVE_VERSION}"
Headers = list[bytes]


@dataclass(frozen=True)
class Variant:
    """A request's bytes. With `refused` no answer to it may be a success."""

    name: str
    data: bytes
    refused: bool = False


@dataclass(frozen=True)
class Known:
    """Whom the variants are about: two users' good tokens, tokens that the edge has not seen, and a job of each."""

    alice: str
    bob: str
    unverified: dict[str, str]
    alices_job: int
    bobs_job: int

    @property
    def pair(self) -> Headers:
        return pair("alice", self.alice)


def identities(k: Known) -> Iterator[Variant]:
    """Every trick with headers against targets that tell whom Slurm takes the sender for."""
    others = (
        ("bob's job in /jobs", "GET", f"/jobs/{k.bobs_job}"),
        ("bob's job cancelled", "DELETE", f"/jobs/{k.bobs_job}"),
        ("bob's job killed", "DELETE", f"{SLURM}/job/{k.bobs_job}?signal=KILL"),
        ("bob's job in the accounting", "GET", f"{SLURMDB}/job/{k.bobs_job}"),
        ("own job", "GET", f"{SLURM}/job/{k.alices_job}"),
    )
    for number, (trick, headers) in enumerate(tricks(k)):
        job = {
            "name": f"variant-{number}", "hold": True, "current_working_directory": "/tmp", "environment": ["A=b"],
            "script": "#!/bin/sh\ntrue\n",
        }  # fmt: skip
        submit = [*headers, b"Content-Type: application/json"]
        yield Variant(
            f"submit, {trick}", request("POST", f"{SLURM}/job/submit", submit, json.dumps({"job": job}).encode())
        )
        yield Variant(f"bob's job, {trick}", request("GET", f"{SLURM}/job/{k.bobs_job}", headers))
        what, method, path = others[number % len(others)]
        yield Variant(f"{what}, {trick}", request(method, path, headers), refused=path.startswith("/jobs"))


def tricks(k: Known) -> Iterator[tuple[str, Headers]]:
    """All tricks, by name, with the headers in place of alice's pair."""
    for made in (
        _twice,
        _cases,
        _other_letters,
        _white_space,
        _hop_by_hop,
        _other_authentication,
        _other_names,
        _pairs,
    ):
        yield from made(k)


def _twice(k: Known) -> Iterator[tuple[str, Headers]]:
    extras = {f"name {user}": [NAME + b": " + user.encode()] for user in ("alice", "bob", "root", "")}
    extras |= {
        f"token of {who}": [TOKEN + b": " + token.encode()] for who, token in (("alice", k.alice), ("bob", k.bob))
    }
    extras |= {
        "bob's pair": pair("bob", k.bob),
        "bob's pair, turned": pair("bob", k.bob)[::-1],
        "nobody's": pair("", ""),
    }
    for what, extra in extras.items():
        yield f"{what} before", [*extra, *k.pair]
        yield f"{what} behind", [*k.pair, *extra]
        yield f"{what} between", [k.pair[0], *extra, k.pair[1]]


def _cases(k: Known) -> Iterator[tuple[str, Headers]]:
    for case in (
        bytes.lower,
        bytes.upper,
        bytes.title,
        lambda name: name.title().swapcase(),
        lambda name: name[:9].lower() + name[9:],
    ):
        written = case(NAME).decode()
        yield f"{written} alone", [case(NAME) + b": alice", case(TOKEN) + b": " + k.alice.encode()]
        for position in (0, 2):
            for user in ("bob", "root"):
                extra = case(NAME) + b": " + user.encode()
                yield f"{written} {user} at {position}", [*k.pair[:position], extra, *k.pair[position:]]
            extra = case(TOKEN) + b": " + k.bob.encode()
            yield f"{case(TOKEN).decode()} of bob at {position}", [*k.pair[:position], extra, *k.pair[position:]]


def _other_letters(k: Known) -> Iterator[tuple[str, Headers]]:
    hyphens = [place for place, letter in enumerate(NAME) if letter == ord("-")]
    for mask in range(1, 1 << len(hyphens)):
        chosen = [place for number, place in enumerate(hyphens) if mask >> number & 1]
        for name, value in ((NAME, b"bob"), (NAME, b"root"), (TOKEN, k.bob.encode())):
            written = bytes(ord("_") if place in chosen else letter for place, letter in enumerate(name))
            yield f"{written.decode()}: {value[:4].decode()}", [*k.pair, written + b": " + value]
    for hyphen in (".", "~", "", "+", "%2d", "&#45;", "\u2010", "\u2011", "\u00ad", "\uff0d", "--", "'", "*", "!", "#"):
        written = NAME.replace(b"-", hyphen.encode())
        yield f"hyphen {hyphen!r}", [*k.pair, written + b": bob"]
        yield f"hyphen {hyphen!r} alone", [written + b": alice", k.pair[1]]
    for written in (
        "X-SLURM-USER-N\u0410ME",
        "\uff38-SLURM-USER-NAME",
        "X-SLURM-USER-NAME\u200b",
        "HTTP_X_SLURM_USER_NAME",
    ):
        yield f"letters {written!r}", [*k.pair, written.encode() + b": bob"]


def _white_space(k: Known) -> Iterator[tuple[str, Headers]]:
    lines = {
        "a blank before the colon": NAME + b" : bob", "a tab before the colon": NAME + b"\t: bob",
        "a blank before the name": b" " + NAME + b": bob", "a tab before the name": b"\t" + NAME + b": bob",
        "folded": NAME + b":\r\n bob", "folded by a tab": NAME + b": alice\r\n\tbob",
        "folded, empty": NAME + b": \r\n ",
        "a vertical tab": NAME + b":\x0bbob", "a form feed": NAME + b":\x0cbob",
        "a NUL in the value": NAME + b": alice\0bob",
        "a NUL in the name": NAME + b"\0: bob", "two colons": NAME + b":: bob", "a colon first": b":" + NAME + b": bob",
        "no colon": NAME + b" bob", "an equals sign": NAME + b"=bob", "a no-break space": NAME + b"\xc2\xa0: bob",
        "a bare LF": b"X-A: b\n" + NAME + b": bob", "a bare CR": b"X-A: b\r" + NAME + b": bob",
        "CR CR LF": b"X-A: b\r\r\n" + NAME + b": bob", "LF CR": b"X-A: b\n\r" + NAME + b": bob",
        "an escaped line end": b"X-A: b%0d%0a" + NAME + b": bob", "NEL": b"X-A: b\xc2\x85" + NAME + b": bob",
        "a line separator": b"X-A: b\xe2\x80\xa8" + NAME + b": bob",
        "a letter that ends in 0a": b"X-A: \xc4\x8a" + NAME + b": bob",
        "an empty line's half": b"\r" + NAME + b": bob", "no name": b": bob", "a comment": NAME + b": alice (bob)",
    }  # fmt: skip
    for what, line in lines.items():
        yield f"{what}, before", [line, *k.pair]
        yield f"{what}, behind", [*k.pair, line]
    yield "blanks around both", [NAME + b":   alice  ", TOKEN + b": \t" + k.alice.encode() + b"\t "]


def _hop_by_hop(k: Known) -> Iterator[tuple[str, Headers]]:
    both = NAME + b", " + TOKEN
    for options in (
        NAME, TOKEN, both, both.lower(), b"close, " + NAME, b"," + TOKEN + b",", b'"' + NAME + b'"',
        b"keep-alive, " + both,
        b"X-Forwarded-For, Host, Content-Length", b"upgrade, http2-settings", b"te", b"*",
    ):  # fmt: skip
        yield f"Connection: {options.decode()}", [*k.pair, b"Connection: " + options]
        yield f"Connection: {options.decode()}, bob behind", [*k.pair, NAME + b": bob", b"Connection: " + options]
    for line in (
        b"Proxy-Connection: " + NAME, b"Keep-Alive: " + NAME, b"Trailer: " + NAME, b"TE: trailers",
        b"Upgrade: websocket",
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", b"Upgrade: TLS/1.0", b"Expect: 100-continue",
        b"Expect: " + NAME,
    ):  # fmt: skip
        yield line[:40].decode(), [*k.pair, line]


def _other_authentication(k: Known) -> Iterator[tuple[str, Headers]]:
    bearers = k.unverified | {"alice, verified": k.alice, "bob, verified": k.bob, "rubbish": "rubbish", "nothing": ""}
    dropped = {"": [], ", the pair's token dropped": [b"Connection: " + TOKEN],
               ", the pair dropped": [b"Connection: " + NAME.lower() + b"," + TOKEN.lower()]}  # fmt: skip
    for who, token in bearers.items():
        for how, connection in dropped.items():
            yield f"Bearer {who}{how}", [*k.pair, b"Authorization: Bearer " + token.encode(), *connection]
    root = k.unverified["root"].encode()
    for line in (
        b"authorization: bearer " + root, b"AUTHORIZATION: BEARER " + root, b"Authorization: Basic cm9vdDo=",
        b"Authorization:\tBearer  " + root, b"Authorization: " + root,
        b"Authorization: Bearer " + root + b", Bearer " + root,
        b"Authorization:\r\nAuthorization: Bearer " + root, b"Authorization: Negotiate AAAA",
        b"Authorization: munge AAAA",
        b"Proxy-Authorization: Bearer " + root, b"Authorization_: Bearer " + root, b"X-Authorization: Bearer " + root,
    ):  # fmt: skip
        yield f"{line[:30].decode()}, of {len(line)}", [*k.pair, line, b"Connection: " + TOKEN]


def _other_names(k: Known) -> Iterator[tuple[str, Headers]]:
    for line in (
        "X-Forwarded-User: bob", "X-Remote-User: bob", "Remote-User: bob", "X-User: bob", "X-SLURM-USER: bob",
        "X-SLURM-USER-ID: 0", "X-SLURM-UID: 0", "X-SLURM-USER-NAMES: bob", "X-SLURM-USER: root", "SLURM_JWT: x",
        f"Cookie: X-SLURM-USER-NAME=bob; X-SLURM-USER-TOKEN={k.bob}", f"SLURM-JWT: {k.bob}",
        f"X-Original-URL: {SLURM}/job/{k.bobs_job}", "X-Rewrite-URL: /metrics/jobs", "X-Original-URI: /metrics",
        "X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE",
        "X-Original-Method: DELETE",
        "X-Forwarded-Host: head-node", "X-Forwarded-Prefix: /metrics", "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "X-Forwarded-Proto: https", "Forwarded: for=127.0.0.1;by=root;host=head-node", "Via: 1.1 localhost",
        "True-Client-IP: 127.0.0.1", "X-Amzn-Oidc-Identity: bob", "X-Amzn-Oidc-Data: e30.e30.e30",
        "X-Amz-Security-Token: x",
        "X-Amzn-Trace-Id: Root=1-0-0;User=bob", "apigw-requestid: bob", "X-Amz-Date: 20260101T000000Z",
        "Origin: https://bob",
        "Access-Control-Request-Method: DELETE", "Content-Location: /metrics", "Referer: /metrics", "Range: bytes=0-1",
        "If-None-Match: *", "Content-Encoding: gzip", "Accept-Encoding: gzip, br", "Front-End-Https: on",
        "X-Api-Version: v0.0.0",
    ):  # fmt: skip
        yield line[:50], [*k.pair, line.encode()]


def _pairs(k: Known) -> Iterator[tuple[str, Headers]]:
    for name in ("bob", "root", "slurm", "", "0", "1001", "alice,bob", "bob,alice"):
        yield f"alice's token of {name!r}", pair(name, k.alice)
    yield "bob's token of alice", pair("alice", k.bob)
    for who, token in k.unverified.items():
        yield f"unverified token of {who}", pair(who.partition(" ")[0], token)
    yield "no pair", []
    yield "a name alone", k.pair[:1]
    yield "a token alone", k.pair[1:]
