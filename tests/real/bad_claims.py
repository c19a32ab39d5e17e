"""Tokens that our own key signed rightly, over what the gateway would never mint: who has the edge believe a signature
alone has it believe these."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from slurm_gateway.users import forbidden_names
from tests.real.bad_tokens import Case, Material

STRANGE_TIMES: dict[str, str] = {
    "text": '"%d"', "a float": "%d.5", "an integral float": "%d.0", "an exponent": "%de0", "negative": "-%d",
    "true": "true", "null": "null", "a list": "[%d]", "an object": '{"at": %d}', "NaN": "NaN", "Infinity": "Infinity",
    "-Infinity": "-Infinity", "1e999": "1e999", "beyond 2^53": "9007199254740993", "beyond 2^63": "9223372036854775808",
    "beyond 2^64": "18446744073709551617", "of 1500 digits": "1" * 1500, "text of nothing": '""', "never": '"never"',
    "hexadecimal": "0x%x", "with a leading zero": "0%d", "with a plus": "+%d", "a date": '"2027-01-01T00:00:00Z"',
}  # fmt: skip


def times(m: Material) -> Iterator[Case]:
    """exp, iat and nbf that are no times, or times that make the token bad."""
    now = int(time.time())
    for claim in ("exp", "iat", "nbf"):
        for name, written in STRANGE_TIMES.items():
            value = written % (now + 600) if "%" in written else written
            rest = {key: value for key, value in m.claims.items() if key != claim}
            payload = f"{json.dumps(rest)[:-1]}, {json.dumps(claim)}: {value}}}".encode()
            yield Case(f"{claim} {name}", _signed(m, payload))
    for name, change in {
        "expired now": {"exp": now}, "expired a second ago": {"exp": now - 1}, "expired long ago": {"exp": 1},
        "expired at the beginning": {"exp": 0}, "not before a minute": {"nbf": now + 60},
        "not before a year": {"nbf": now + 31_536_000}, "never before": {"nbf": 2**53},
    }.items():  # fmt: skip
        yield Case(name, _claims(m, change))
    for claim in ("exp", "iat", "sun", "iss"):
        rest = {key: value for key, value in m.claims.items() if key != claim}
        yield Case(f"without {claim}", _signed(m, json.dumps(rest).encode()))


def issuers(m: Material) -> Iterator[Case]:
    """Tokens that say they are somebody else's, or for somebody else."""
    for issuer in (
        "", "Slurm-Gateway", "slurm-gateway ", "slurm-gateway/", "other-cluster", "https://slurm-gateway", None, 0,
        True,
        ["slurm-gateway"], {"iss": "slurm-gateway"}, "slurm\u2010gateway", "slurm-gateway\0",
        "https://token.actions.githubusercontent.com",
    ):  # fmt: skip
        yield Case(f"iss {issuer!r}", _claims(m, {"iss": issuer}))
    for audience in ("slurm-gateway", "", None, [], ["slurm-gateway"], "https://other"):
        yield Case(f"aud {audience!r}", _claims(m, {"aud": audience}))


def written_otherwise(m: Material) -> Iterator[Case]:
    """Claims and headers that two readers of JSON may read in two ways, or not at all."""
    good = m.payload
    body, header = good[1:-1], json.dumps(m.header).encode()
    twice = {
        "sun, bob last": good[:-1] + b', "sun": "bob"}', "sun, bob first": b'{"sun": "bob", ' + good[1:],
        "sun, the same": good[:-1] + b', "sun": "alice"}', "sun, escaped": good[:-1] + b', "s\\u0075n": "bob"}',
        "exp": good[:-1] + b', "exp": 9007199254740991}', "iat": good[:-1] + b', "iat": 1}',
        "iss": good[:-1] + b', "iss": "other"}', "jti": good[:-1] + b', "jti": "x"}',
        "a claim within a claim": good[:-1] + b', "x": {"sun": "a", "sun": "b"}}',
    }  # fmt: skip
    for name, payload in twice.items():
        yield Case(f"claim twice: {name}", _signed(m, payload), "bob" if "bob" in name else "alice")
    for name, double in {"alg": b'"alg": "none"', "kid": b'"kid": "x"', "typ": b'"typ": "JWT"'}.items():
        yield Case(f"header twice: {name}, ours last", m.sign(b"{" + double + b", " + header[1:], good))
        yield Case(f"header twice: {name}, ours first", m.sign(header[:-1] + b", " + double + b"}", good))
    for name, payload in {
        "nothing": b" ", "null": b"null", "true": b"true", "a number": b"1", "text": b'"alice"',
        "a list": b"[" + good + b"]",
        "an empty object": b"{}", "an empty list": b"[]", "cut short": good[:-1], "two objects": good + good,
        "rubbish behind": good + b"x", "a NUL behind": good + b"\0", "a comma too many": good[:-1] + b",}",
        "a comment": good[:-1] + b"/**/}", "single quotes": good.replace(b'"', b"'"),
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"), "UTF-16, big end first": good.decode().encode("utf-16-be"),
        "UTF-32": good.decode().encode("utf-32"), "UTF-7": b"+AHs-" + body + b"}",
        "not UTF-8": good[:-1] + b', "x": "\xff"}',
        "overlong UTF-8": good.replace(b'"alice"', b'"\xc1\xa1lice"'), "a bare line end": good[:-1] + b', "x": "\n"}',
        "a claim NaN": good[:-1] + b', "x": NaN}', "nested 900 deep": good[:-1] + b', "x": ' + b"[" * 900 + b"}",
        "unquoted names": b"{sun: alice}", "form encoded": b"sun=alice&exp=9999999999",
        "YAML": b"sun: alice\nexp: 9999999999\n",
        "gzip": b"\x1f\x8b\x08\x00" + body[:40],
    }.items():  # fmt: skip
        yield Case(f"claims: {name}", _signed(m, payload))
    for name, head in {
        "a list": b"[" + header + b"]", "text": b'"RS256"', "null": b"null", "two objects": header + header,
        "UTF-16": header.decode().encode("utf-16"), "a byte order mark": b"\xef\xbb\xbf" + header,
        "not UTF-8": b'{"\xff":1}',
        "a comment": header[:-1] + b"/**/}",
    }.items():  # fmt: skip
        yield Case(f"header: {name}", m.sign(head, good))


STRANGE_USERS: tuple[Any, ...] = (
    "", " ", "alice ", " alice", "alice\n", "alice\t", "alice\0", "alice\0root", "\0alice", "Alice", "ALICE", "aLICE",
    "ALIC\u0395", "\u0430lice", "al\u0456ce", "ali\u0441e", "alic\u0435", "\uff41lice", "\u0251lice", "a\u0301lice",
    "\u00e1lice", "al\u0131ce", "alice\u200b", "alice\u200d", "\u202ealice", "\ufeffalice", "alice\u00ad",
    "alice\u00a0",
    "alice\u2028", "\U0001d41alice", "\u24d0lice", "r\u043eot", "ro\u03bft", "root\u200b", "ROOT", "Root", "root ",
    "root\0",
    "sl\u0443rm", "0", "1000", "1001", "-1", "+1000", "00", "0x0", "4294967295", "65534", "1e3", "\u0660",
    "\u0661\u0660",
    "alice,bob", "alice;bob", "alice bob", "alice@realm", "alice@", "DOMAIN\\alice", "../alice", "alice/../bob",
    "/alice",
    "alice/", "*", "%", "?", "-", "--", "-alice", ".alice", "1alice", "alice$", "alice:x:0:0", "$(id)", "`id`", "a'b",
    'a"b',
    "a" * 33, "a" * 256, "a" * 1000, 0, 1000, -1, 1.5, True, False, None, [], ["alice"], {"name": "alice"}, ["alice",
    "bob"],
)  # fmt: skip


def users(m: Material) -> Iterator[Case]:
    """Users that a name could be mistaken for, each with the very same name in the header where that can hold it."""
    for user in STRANGE_USERS:
        shown = user if isinstance(user, str) and user.strip() and user.isprintable() else "alice"
        named = f"{user!r}" if len(repr(user)) < 40 else f"{str(user)[:8]}... of {len(user)} letters"
        yield Case(f"sun {named}", _claims(m, {"sun": user}), shown.strip().encode())


def system_users(m: Material) -> Iterator[Case]:
    """Users who are never admitted, rightly signed and rightly named."""
    for user in sorted(forbidden_names(default_user_sudo=True)):
        yield Case(user, _claims(m, {"sun": user}), user)


def names(m: Material) -> Iterator[Case]:
    """alice's own good token beside another name."""
    for name in (
        "bob", "root", "slurm", "nobody", "0", "1000", "*", "-", "alicf", "alic", "alicee", "Alice", "ALICE",
        "\u0430lice",
        "\uff41lice", "alice\u200b", "alice,", ",alice", "alice,alice", "alice,bob", "alice;bob", "alice bob",
        "'alice'",
        '"alice"', "%61lice", "a%6Cice", "alice%00", "alice\\", "alice@x", "x\\alice", "/alice", "alice/", "alice=",
        "[alice]",
        "${alice}", "\u00e1lice", "alice\u00a0", "\u202ealice",
    ):  # fmt: skip
        yield Case(f"named {name!r}", m.alice, name)


def _claims(m: Material, change: dict[str, Any]) -> str:
    return _signed(m, json.dumps(m.claims | change).encode())


def _signed(m: Material, payload: bytes) -> str:
    return m.sign(json.dumps(m.header).encode(), payload)
