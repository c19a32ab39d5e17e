"""Presigned uploads bent in every way, names of scripts that are paths, and bodies that are bombs."""

from __future__ import annotations

import json
import time
import uuid
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import httpx
import jwt
import pytest

from tests.real.conftest import Stack, wait_for
from tests.real.raw_http import exchange, in_parallel, pair, request

pytestmark = pytest.mark.any_release


@pytest.fixture(autouse=True)
def no_jobs_left() -> None:
    """Nothing here makes a job."""


@pytest.fixture
def script() -> bytes:
    """A script that nobody else has."""
    return f"#!/bin/sh\n# {uuid.uuid4()}\n".encode()


def ask_for_upload(stack: Stack, headers: dict[str, str], script: bytes) -> dict[str, Any]:
    asked = {"sha256": sha256(script).hexdigest(), "size": len(script)}
    answer = stack.http.post(f"{stack.api}/scripts", json=asked, headers=headers)
    assert answer.status_code == 200, answer.text
    upload: dict[str, Any] = answer.json()["upload"]
    return upload


def checksum(data: bytes) -> str:
    return b64encode(sha256(data).digest()).decode()


def test_an_upload_takes_its_own_script_and_nothing_else(
    stack: Stack, script: bytes, report: Callable[[str], None]
) -> None:
    upload = ask_for_upload(stack, stack.headers("alice"), script)
    url, own = upload["url"], {"x-amz-checksum-sha256": upload["headers"]["x-amz-checksum-sha256"]}
    digest, other = sha256(script).hexdigest(), bytes(len(script))

    def send(url: str, content: bytes, headers: dict[str, str], method: str = "PUT") -> int:
        return httpx.request(method, url, content=content, headers=headers, trust_env=False).status_code

    bent: dict[str, tuple[Any, ...]] = {
        "one byte more": (url, script + b"x", own),
        "a megabyte more": (url, script + bytes(1_000_000), own),
        "one byte less": (url, script[:-1], own),
        "nothing": (url, b"", own),
        "another script of the same size": (url, other, own),
        "another script with its own checksum": (url, other, {"x-amz-checksum-sha256": checksum(other)}),
        "no checksum": (url, script, {}),
        "another script without a checksum": (url, other, {}),
        "an empty checksum": (url, script, {"x-amz-checksum-sha256": ""}),
        "another kind of checksum": (url, other, {"x-amz-checksum-crc32": "AAAAAA=="}),
        "another checksum behind": (url, other, own | {"X-Amz-Checksum-SHA1": "AAAA"}),
        "another key": (url.replace(digest, "0" * 64), script, own),
        "another key behind it": (url.replace(digest, digest + "x"), script, own),
        "a key above it": (url.replace(f"alice/{digest}", f"alice/../bob/{digest}"), script, own),
        "bob's key": (url.replace("/alice/", "/bob/"), script, own),
        "bob's key, escaped": (url.replace("/alice/", "/%62ob/"), script, own),
        "the head node's key": (url.replace(f"scripts/alice/{digest}", "headnode/configure.sh"), script, own),
        "another bucket": (url.replace("/slurm-gateway-requirements", "/other-requirements"), script, own),
        "a longer life": (url.replace("X-Amz-Expires=", "X-Amz-Expires=9"), script, own),
        "another date": (url.replace("X-Amz-Date=2", "X-Amz-Date=3"), script, own),
        "fewer signed headers": (url.replace("content-length%3B", ""), script, own),
        "no signed checksum": (url.replace("%3Bx-amz-checksum-sha256", ""), script, own),
        "another signature": (url[:-8] + "00000000", script, own),
        "no signature": (url.partition("?")[0], script, own),
        "a version": (url + "&versionId=null", script, own),
        "an ACL": (url + "&acl", script, own),
        "tags": (url + "&tagging", script, own),
        "a part of an upload": (url + "&partNumber=1&uploadId=x", script, own),
        "to read": (url, script, own, "GET"),
        "to delete": (url, script, own, "DELETE"),
        "to post": (url, script, own, "POST"),
    }
    answered = {name: send(*arguments) for name, arguments in bent.items()}
    assert {name: status for name, status in answered.items() if not 400 <= status < 500} == {}
    assert stack.http.get(f"{stack.api}/scripts/{digest}", headers=stack.headers("alice")).status_code == 404

    # As it was given it works; sent again it can only write the same.
    assert [send(url, script, own), send(url, script, own), send(url, other, own)] == [200, 200, 400]
    assert stack.http.get(f"{stack.api}/scripts/{digest}", headers=stack.headers("alice")).content == script
    report(f"presigned uploads: {len(bent)} bent ones refused, 0 passed")


def test_an_upload_ends_with_its_token(stack: Stack) -> None:
    token = stack.signed("alice", "POST", "/token", '{"lifespan": 3}').json()["token"]
    headers = {"X-SLURM-USER-NAME": "alice", "X-SLURM-USER-TOKEN": token}
    script = f"#!/bin/sh\n# {uuid.uuid4()}\n".encode()
    upload = ask_for_upload(stack, headers, script)
    expires_at = jwt.decode(token, options={"verify_signature": False})["exp"]
    wait_for(lambda: time.time() > expires_at + 1, "the end of the token")
    late = httpx.put(upload["url"], content=script, headers=upload["headers"], trust_env=False)
    assert late.status_code == 403
    # The edge's cached verdict outlives the token by up to 30 s: no new upload comes of it.
    again = stack.http.post(f"{stack.api}/scripts", json={"sha256": "0" * 64, "size": 1}, headers=headers)
    assert again.status_code in (401, 403)


def test_a_scripts_name_is_no_path(stack: Stack, script: bytes, report: Callable[[str], None]) -> None:
    """Every odd character at every end of a name that bob has; whoever takes keys of S3 elsewhere adds to this."""
    staged = stack.http.post(f"{stack.api}/scripts", content=script, headers=stack.headers("bob"))
    digest = staged.json()["sha256"]
    odd = [code for code in range(256) if not chr(code).isalnum() or code > 127]
    names = [f"{digest[:place]}%{code:02x}{digest[place:]}" for code in odd for place in ((0, 32, 64)[code % 3],)]
    names += [
        digest, digest.upper(), f"..%2fbob%2f{digest}", f"%2e%2e%2fbob%2f{digest}", f"bob%2f{digest}",
        f"%2fscripts%2fbob%2f{digest}",
        f"{digest}%3fversionId=null", f"{digest}%23", f"{digest}%0d%0aX: y", f"{digest}%e2%80%a8", f"{digest}\u0660",
        "..%2f..%2fheadnode%2fconfigure.sh",
        "%2a", "%2e", "%2e%2e", "0" * 63, "0" * 65, "g" * 64, "\uff10" * 64,
    ]  # fmt: skip

    def status(name: str) -> tuple[str, int, bool]:
        answer = exchange(stack, request("GET", f"/scripts/{name}", pair("alice", stack.token("alice"))))
        return name, answer.status, script in answer.wire

    # The edge's verdict is cached from here on, and its function not started anew for each thread.
    assert status(digest)[1:] == (404, False)
    told = in_parallel(status, names, threads=4)
    assert [(name, status) for name, status, has_it in told if status not in (400, 404) or has_it] == []
    report(f"names of scripts: {len(names)} odd ones, 0 found")


def bombs() -> dict[str, bytes]:
    deep, wide = 200_000, 100_000
    return {
        "lists deep": b"[" * deep, "closed lists deep": b"[" * deep + b"]" * deep, "objects deep": b'{"script":' * deep,
        "an option deep": b'{"options":{"time":' + b"[" * deep + b"]" * deep + b"}}",
        "a number of 100,000 digits": b'{"lifespan":' + b"9" * 100_000 + b"}",
        "a number beyond floats": b'{"lifespan":1e999999,"hold":1e999999}', "NaN": b'{"lifespan":NaN}',
        "Infinity": b'{"hold":-Infinity}',
        "keys twice": b'{"script":"#!/bin/sh\\n","script":"#!/bin/sh\\n"}',
        "many keys": b"{" + b",".join(b'"%d":1' % n for n in range(wide)) + b"}",
        "many options": b'{"script":"#!/bin/sh\\n","options":{' + b",".join(b'"%d":1' % n for n in range(wide)) + b"}}",
        "many arguments": json.dumps({"script": "#!/bin/sh\n", "arguments": ["a"] * wide}).encode(),
        "an environment without names": b'{"script":"#!/bin/sh\\n","environment":{"":"x","a=b":"c"}}',
        "half a surrogate pair": b'{"script":"#!/bin/sh\\n\\ud800"}',
        "in the environment": b'{"script":"#!/bin/sh\\n","environment":{"A":"\\udfff"}}',
        "a NUL": b'{"script":"#!/bin/sh\\n\\u0000"}', "not UTF-8": b'{"script":"\xff"}',
        "UTF-16": '{"script":"x"}'.encode("utf-16"),
        "a byte order mark": b'\xef\xbb\xbf{"lifespan":1}', "text": b'"x"', "a list": b"[]", "null": b"null",
        "two values": b"{}{}", "half": b'{"lifespan":',
        "a string of 5 MB": b'{"user":"' + b"a" * 5_000_000 + b'"}', "blanks": b" " * 5_000_000 + b"x",
        "an empty key": b'{"":1}',
        "keys of Python's": b'{"__class__":{"__init__":1}}', "another user": b'{"user":["root"]}',
        "a user of 5 MB of dots": b'{"user":"' + b"." * 1_000_000 + b'"}',
    }  # fmt: skip


def test_a_body_that_is_a_bomb_is_refused_as_what_it_is(stack: Stack, report: Callable[[str], None]) -> None:
    sent = 0
    for name, body in bombs().items():
        for method, path in (("POST", "/jobs"), ("POST", "/scripts"), ("PATCH", "/jobs/1"), ("POST", "/token")):
            if path == "/token":
                answer = stack.signed("alice", method, path, body.decode("latin-1"))
            else:
                headers = stack.headers("alice") | {"Content-Type": "application/json"}
                answer = stack.http.request(method, stack.api + path, headers=headers, content=body)
            assert answer.status_code in (400, 403, 404, 413, 422), (name, path, answer.status_code, answer.text[:300])
            assert len(answer.content) < 10_000, (name, path)
            sent += 1
    report(f"bodies that are bombs: {sent} refused")
