"""Bad tokens by class: forged, confused, mangled. Those that our own key signed are in bad_claims.py.

A class is a generator of cases. What it makes differs from a good token of alice's in one thing, which the case's
name tells.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.real.signing import Sign, base64url


@dataclass(frozen=True)
class Case:
    """A token, and the user in the header beside it."""

    name: str
    token: str | bytes
    user: str | bytes = "alice"


@dataclass(frozen=True)
class Material:
    """What a forger has: a good token of each user's, our public key, keys of its own; and what our key would sign."""

    alice: str
    bob: str
    kid: str
    claims: dict[str, Any]
    public: rsa.RSAPublicKey
    sign: Sign
    sign_elsewhere: Sign
    elsewhere_kid: str
    of_the_head_node: dict[str, str]

    @cached_property
    def stranger(self) -> rsa.RSAPrivateKey:
        """A key that the gateway does not know."""
        return rsa.generate_private_key(65537, 2048)

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": "RS256", "typ": "JWT", "kid": self.kid}

    @property
    def payload(self) -> bytes:
        return json.dumps(self.claims).encode()

    @property
    def signature(self) -> str:
        return self.alice.rpartition(".")[2]

    def with_stranger(self, header: dict[str, Any], payload: bytes | None = None) -> str:
        """A token that the stranger's key signed by RS256, whatever its header says."""
        signed = f"{base64url(json.dumps(header).encode())}.{base64url(payload or self.payload)}"
        return f"{signed}.{base64url(self.stranger.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def with_secret(self, algorithm: str, secret: bytes) -> str:
        """A token with a MAC, as for a verifier that takes the algorithm's word from the token."""
        header = json.dumps(self.header | {"alg": algorithm}).encode()
        signed = f"{base64url(header)}.{base64url(self.payload)}"
        return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), 'sha' + algorithm[2:]))}"


ALGORITHMS: tuple[Any, ...] = (
    "none", "None", "NONE", "nOnE", "non\u0435", "", " ", "null", None, 0, True, [], ["RS256"], {"RS256": 1}, "rs256",
    "Rs256", " RS256", "RS256 ", "RS256\0", "RS256,none", "RS384", "RS512", "RS1", "PS256", "PS384", "PS512", "ES256",
    "ES256K", "EdDSA", "HS256", "HS384", "HS512", "dir", "A256GCM", "RSA-OAEP",
)  # fmt: skip


def algorithms(m: Material) -> Iterator[Case]:
    """Another algorithm in the header, without a signature, with rubbish for one, and with alice's own."""
    headers = {repr(algorithm): m.header | {"alg": algorithm} for algorithm in ALGORITHMS}
    headers["missing"] = {"typ": "JWT", "kid": m.kid}
    for name, header in headers.items():
        for what, signature in (("no signature", ""), ("rubbish", base64url(b"x" * 256)), ("alice's", m.signature)):
            signed = f"{base64url(json.dumps(header).encode())}.{base64url(m.payload)}"
            yield Case(f"alg {name}, signature: {what}", f"{signed}.{signature}")


def confusions(m: Material) -> Iterator[Case]:
    """A MAC whose secret is what everybody knows of us: the public key in every form."""
    pem = m.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(m.public, as_dict=True)
    numbers = m.public.public_numbers()
    secrets = {
        "PEM": pem,
        "PEM without its last line end": pem.rstrip(),
        "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
        "PEM in one line": b"".join(pem.splitlines()[1:-1]),
        "PKCS#1 PEM": m.public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "DER": m.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "PKCS#1 DER": m.public.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        "JWK": json.dumps(jwk).encode(),
        "JWK's n": str(jwk["n"]).encode(),
        "n": numbers.n.to_bytes(256, "big"),
        "kid": m.kid.encode(),
        "nothing": b"\0",
        "digest of the PEM": hashlib.sha256(pem).digest(),
    }
    for what, secret in secrets.items():
        for algorithm in ("HS256", "HS384", "HS512"):
            yield Case(f"{algorithm} with the {what}", m.with_secret(algorithm, secret))


def kids(m: Material) -> Iterator[Case]:
    """A key id that names no key of ours, whoever signed; some of these our own key."""
    strange: tuple[Any, ...] = (
        None, 0, -1, True, [], [m.kid], {"kid": m.kid}, "", " ", "unknown", "default", "null", "*", "%", "?", "..",
        "../../../../dev/null", "/dev/null", "file:///dev/null", "/proc/self/environ", "http://169.254.169.254/",
        "' OR '1'='1", "x' UNION SELECT 'k", "| id", "$(id)", "`id`", "{{7*7}}", "\0", f"{m.kid}\0", f" {m.kid}",
        f"{m.kid} ", f"{m.kid}\n", m.kid.upper(), m.kid[:-1], m.kid + "0", m.kid.replace("-", ""),
        m.kid.replace("-", "\u2010"), f"{m.kid},{m.kid}", f"alias/{m.kid}", f"key/{m.kid}",
        f"arn:aws:kms:us-east-1:000000000000:key/{m.kid}", m.elsewhere_kid, "k" * 2000, "../" * 500,
    )  # fmt: skip
    for kid in strange:
        yield Case(f"kid {str(kid)[:60]!r}, a stranger's signature", m.with_stranger(m.header | {"kid": kid}))
    header = {"alg": "RS256", "typ": "JWT"}
    yield Case("no kid, a stranger's signature", m.with_stranger(header))
    yield Case("no kid, our signature", m.sign(json.dumps(header).encode(), m.payload))
    for kid in strange[:2] + strange[6:9] + strange[28:42]:
        signed = m.sign(json.dumps(m.header | {"kid": kid}).encode(), m.payload)
        yield Case(f"kid {str(kid)[:60]!r}, our signature", signed)


def headers(m: Material) -> Iterator[Case]:
    """A key, or where to fetch one, in the header; and extensions that change what a signature covers."""
    own = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(m.stranger.public_key())) | {"kid": m.kid}
    url = "http://127.0.0.1:1/keys"
    extras: dict[str, Any] = {
        "jwk": own, "jwks": {"keys": [own]}, "jku": url, "x5u": url, "x5c": ["MIIB"], "x5t": "AAAA", "x5t#S256": "AAAA",
        "jwks_uri": url, "iss": url, "url": url, "epk": own, "cty": "JWT", "zip": "DEF", "enc": "A256GCM",
        "typ": "at+jwt",
    }  # fmt: skip
    for name, value in extras.items():
        yield Case(f"{name}, our kid", m.with_stranger(m.header | {name: value}))
        yield Case(f"{name}, no kid", m.with_stranger({"alg": "RS256", "typ": "JWT", name: value}))
    for critical in (["exp"], ["b64"], [], "exp", None, ["jku"], ["slurm"]):
        header = json.dumps(m.header | {"crit": critical}).encode()
        yield Case(f"crit {critical!r}, our signature", m.sign(header, m.payload))
    for value in (False, True, "false", None):
        header = json.dumps(m.header | {"b64": value}).encode()
        yield Case(f"b64 {value!r}, our signature", m.sign(header, m.payload))


def keys(m: Material) -> Iterator[Case]:
    """Signatures by keys that are not ours, under our kid."""
    yield Case("another RSA key", m.with_stranger(m.header))
    for algorithm in ("RS384", "RS512", "PS256", "PS384", "PS512"):
        yield Case(algorithm, jwt.encode(m.claims, m.stranger, algorithm, headers={"kid": m.kid}))
    for algorithm, curve in (("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1()), ("ES512", ec.SECP521R1())):
        key = ec.generate_private_key(curve)
        yield Case(algorithm, jwt.encode(m.claims, key, algorithm, headers={"kid": m.kid}))
    edwards = ed25519.Ed25519PrivateKey.generate()
    yield Case("EdDSA", jwt.encode(m.claims, edwards, "EdDSA", headers={"kid": m.kid}))
    for user, token in m.of_the_head_node.items():
        yield Case(f"{user}'s of the head node", token, user)
        signed = token.rpartition(".")[0].partition(".")[2]
        yield Case(f"{user}'s of the head node, called RS256",
                   f"{base64url(json.dumps(m.header).encode())}.{signed}.{token.rpartition('.')[2]}", user)  # fmt: skip
    for claims in (m.claims, m.claims | {"iss": "other-cluster"}, m.claims | {"sun": "root"}):
        header = m.header | {"kid": m.elsewhere_kid}
        token = m.sign_elsewhere(json.dumps(header).encode(), json.dumps(claims).encode())
        yield Case(f"another cluster's, {claims['iss']}, {claims['sun']}", token, claims["sun"])
        token = m.sign_elsewhere(json.dumps(m.header).encode(), json.dumps(claims).encode())
        yield Case(f"another cluster's under our kid, {claims['iss']}, {claims['sun']}", token, claims["sun"])


def rewritten(m: Material) -> Iterator[Case]:
    """Other claims under alice's signature; and alice's claims under bob's."""
    for name, value in (
        ("sun", "bob"), ("sun", "root"), ("sun", "slurm"), ("exp", m.claims["exp"] + 1), ("exp", 2**53), ("iat", 0),
        ("jti", "0"), ("iss", "other"), ("aud", "slurm"), ("nbf", 0), ("admin", True),
    ):  # fmt: skip
        payload = base64url(json.dumps(m.claims | {name: value}).encode())
        token = f"{m.alice.partition('.')[0]}.{payload}.{m.signature}"
        yield Case(f"{name}: {value}", token, value if name == "sun" else "alice")
    parts, others = m.alice.split("."), m.bob.split(".")
    for chosen in ((0, 0, 1), (0, 1, 0), (1, 0, 1), (1, 1, 0)):
        if [others[n] if pick else parts[n] for n, pick in enumerate(chosen)] not in (parts, others):
            token = ".".join(others[n] if pick else parts[n] for n, pick in enumerate(chosen))
            yield Case(f"parts of alice's (0) and bob's (1): {chosen}", token, "bob" if chosen[1] else "alice")
    yield Case("written anew, another order of claims",
               f"{parts[0]}.{base64url(json.dumps(dict(reversed(m.claims.items()))).encode())}.{parts[2]}")  # fmt: skip


def mangled(m: Material) -> Iterator[Case]:
    """A good token cut short, stretched, split otherwise, or written in other characters."""
    head, payload, signature = m.alice.split(".")
    for cut in range(0, len(m.alice) - 1, len(m.alice) // 40):
        yield Case(f"cut after {cut} characters", m.alice[:cut] or "x")
    other = {
        "an empty part before": f".{m.alice}", "an empty part behind": f"{m.alice}.",
        "a fourth part": f"{m.alice}.AAAA",
        "five parts": f"{m.alice}.AAAA.AAAA", "no payload": f"{head}..{signature}",
        "no header": f".{payload}.{signature}",
        "dots alone": "..", "one dot": ".", "payload twice": f"{head}.{payload}.{payload}.{signature}",
        "header and payload changed over": f"{payload}.{head}.{signature}", "backwards": m.alice[::-1],
        "padded": f"{head}==.{payload}==.{signature}==", "a blank within": m.alice.replace(".", " .", 1),
        "a tab within": m.alice.replace(".", "\t.", 1), "commas for dots": m.alice.replace(".", ","),
        "twice with a comma": f"{m.alice},{m.alice}", "with bob's behind": f"{m.alice},{m.bob}",
        "with bob's before": f"{m.bob},{m.alice}", "Bearer before": f"Bearer {m.alice}",
        "SLURM_JWT= before": f"SLURM_JWT={m.alice}", "in quotes": f'"{m.alice}"', "in single quotes": f"'{m.alice}'",
        "upper case": m.alice.upper(), "lower case": m.alice.lower(), "quoted dots": m.alice.replace(".", "%2e"),
        "standard base64": f"{head}.{payload}.+/+/{signature[4:]}", "a semicolon behind": f"{m.alice};",
        "a look-alike of a dot": m.alice.replace(".", "\u2024"), "a look-alike of e": m.alice.replace("e", "\u0435", 1),
        "a zero-width blank": f"{m.alice}\u200b", "a wide letter": "\uff45" + m.alice[1:],
        "its signature alone": signature,
        "its payload alone": payload, "claims as they are": m.payload.decode(), "true": "true", "null": "null",
        "undefined": "undefined", "a number": "0",
        "signature of ones": f"{head}.{payload}.{base64url(bytes([255]) * 256)}",
        "signature of zeros": f"{head}.{payload}.{base64url(bytes(256))}", "signature of one": f"{head}.{payload}.AQ",
        "signature too long": f"{head}.{payload}.{signature}{signature}", "first bit of the signature":
        f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        "first letter of the payload": f"{head}.{'f' if payload[0] == 'e' else 'e'}{payload[1:]}.{signature}",
        "JSON serialization": json.dumps({"payload": payload, "protected": head, "signature": signature}),
        "a bell within": m.alice.replace(".", "\x07.", 1), "a NUL behind": f"{m.alice}\0",
        "a DEL behind": f"{m.alice}\x7f",
    }  # fmt: skip
    for name, token in other.items():
        yield Case(name, token)


def huge(m: Material) -> Iterator[Case]:
    """Tokens longer than any of ours, up to what a header holds and beyond."""
    for size in (1024, 4096, 8191, 8192, 8193, 9000, 9700, 10_240, 20_000, 65_536, 1_000_000):
        yield Case(f"{size} letters", "A" * size)
        yield Case(f"{size} dots", "." * size)
        yield Case(f"alice's, stretched to {size}", m.alice + "A" * size)
