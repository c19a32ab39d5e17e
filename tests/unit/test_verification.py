"""Good tokens pass; each way of being bad has its own reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any, Never

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from slurm_gateway.errors import TokenRefusedError, UnavailableError
from slurm_gateway.verification import Claims, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


NOW = 1_700_000_000
KID = "11111111-1111-4111-8111-111111111111"
GOOD = {"iat": NOW, "exp": NOW + 900, "sun": "alice", "iss": "slurm-gateway", "jti": "1"}
HEADER = {"alg": "RS256", "kid": KID, "typ": "JWT"}


def segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def verifier(private_key: RSAPrivateKey) -> Verifier:
    return Verifier(lambda: {KID: private_key.public_key()}, now=lambda: NOW)


@pytest.fixture
def signed(private_key: RSAPrivateKey) -> Callable[..., str]:
    """Return a function that signs whatever it is given: claims or raw bytes, under any header."""

    def sign(claims: Any = GOOD, *, header: Any = HEADER, key: Any = private_key) -> str:
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        head = header if isinstance(header, bytes) else json.dumps(header).encode()
        signing_input = f"{segment(head)}.{segment(payload)}"
        signature = jwt.get_algorithm_by_name("RS256").sign(signing_input.encode(), key)
        return f"{signing_input}.{segment(signature)}"

    return sign


def refusal(verify: Any, token: Any) -> TokenRefusedError:
    with pytest.raises(TokenRefusedError) as raised:
        verify(token)
    return raised.value


def test_a_token_of_a_listed_key_is_good(verifier: Verifier, signed: Callable[..., str]) -> None:
    assert Claims(user="alice", expires_at=NOW + 900, token_id="1") == verifier.verify(signed())


def test_a_token_is_good_to_its_last_second_and_no_longer(verifier: Verifier, signed: Callable[..., str]) -> None:
    assert verifier.verify(signed({**GOOD, "exp": NOW + 1})).user == "alice"
    assert refusal(verifier.verify, signed({**GOOD, "exp": NOW})).reason == "expired"


BAD_CLAIMS = {
    "an exp that is missing": ({k: v for k, v in GOOD.items() if k != "exp"}, "exp-missing"),
    "a sun that is missing": ({k: v for k, v in GOOD.items() if k != "sun"}, "sun-missing"),
    "an iat that is missing": ({k: v for k, v in GOOD.items() if k != "iat"}, "iat-missing"),
    "an exp that is a float": ({**GOOD, "exp": NOW + 900.5}, "exp-not-a-time"),
    "an exp that is text": ({**GOOD, "exp": str(NOW + 900)}, "exp-not-a-time"),
    "an exp that is true": ({**GOOD, "exp": True}, "exp-not-a-time"),
    "an exp that is null": ({**GOOD, "exp": None}, "exp-not-a-time"),
    "an exp that is a list": ({**GOOD, "exp": [NOW + 900]}, "exp-not-a-time"),
    "an exp that is negative": ({**GOOD, "exp": -1}, "exp-not-a-time"),
    "an exp beyond what C holds": ({**GOOD, "exp": 10**30}, "exp-not-a-time"),
    "an iat that is text": ({**GOOD, "iat": str(NOW)}, "iat-not-a-time"),
    "an nbf to come": ({**GOOD, "nbf": NOW + 1}, "not-yet-valid"),
    "an nbf that is text": ({**GOOD, "nbf": "0"}, "nbf-not-a-time"),
    "a sun that is a number": ({**GOOD, "sun": 0}, "sun-not-a-user-name"),
    "a sun that Slurm would read as a uid": ({**GOOD, "sun": "0"}, "sun-not-a-user-name"),
    "a sun that is empty": ({**GOOD, "sun": ""}, "sun-not-a-user-name"),
    "a sun in capitals": ({**GOOD, "sun": "Alice"}, "sun-not-a-user-name"),
    "a sun with a line feed": ({**GOOD, "sun": "alice\n"}, "sun-not-a-user-name"),
    "a sun with a NUL": ({**GOOD, "sun": "alice\0root"}, "sun-not-a-user-name"),
    "a sun with a letter that only looks like one": ({**GOOD, "sun": "аlice"}, "sun-not-a-user-name"),  # noqa: RUF001
    "a sun too long": ({**GOOD, "sun": "a" * 33}, "sun-not-a-user-name"),
    "a sun that is a list": ({**GOOD, "sun": ["alice"]}, "sun-not-a-user-name"),
    "no issuer": ({k: v for k, v in GOOD.items() if k != "iss"}, "issuer-or-audience-foreign"),
    "another issuer": ({**GOOD, "iss": "https://issuer.example"}, "issuer-or-audience-foreign"),
    "an issuer that is a list": ({**GOOD, "iss": ["slurm-gateway"]}, "issuer-or-audience-foreign"),
    "an audience": ({**GOOD, "aud": "slurm-gateway"}, "issuer-or-audience-foreign"),
    "two suns": (json.dumps(GOOD)[:-1].encode() + b', "sun": "bob"}', "malformed"),
    "claims that are a list": (b"[]", "malformed"),
    "claims that are no JSON": (b"{", "malformed"),
    "claims in UTF-16": (json.dumps(GOOD).encode("utf-16"), "malformed"),
    "claims that are not UTF-8": (b'{"sun":"\xff"}', "malformed"),
    "claims with NaN": (json.dumps({**GOOD, "exp": float("nan")}).encode(), "malformed"),
    "an exp of 5000 digits": (b'{"exp":' + b"1" * 5000 + b"}", "malformed"),
}


@pytest.mark.parametrize(("claims", "reason"), BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_a_rightly_signed_token_is_refused_for_its_claims(
    verifier: Verifier, signed: Callable[..., str], claims: Any, reason: str
) -> None:
    assert refusal(verifier.verify, signed(claims)).reason == reason


BAD_HEADERS = {
    "no alg": ({"kid": KID}, "algorithm-not-allowed"),
    "alg none": ({**HEADER, "alg": "none"}, "algorithm-not-allowed"),
    "alg None in capitals": ({**HEADER, "alg": "NONE"}, "algorithm-not-allowed"),
    "alg HS256": ({**HEADER, "alg": "HS256"}, "algorithm-not-allowed"),
    "alg PS256": ({**HEADER, "alg": "PS256"}, "algorithm-not-allowed"),
    "alg RS512": ({**HEADER, "alg": "RS512"}, "algorithm-not-allowed"),
    "alg in a list": ({**HEADER, "alg": ["RS256"]}, "algorithm-not-allowed"),
    "alg twice": (json.dumps(HEADER)[:-1].encode() + b', "alg": "none"}', "malformed"),
    "no kid": ({"alg": "RS256"}, "key-not-named"),
    "a kid that is a number": ({**HEADER, "kid": 1}, "key-not-named"),
    "an unknown kid": ({**HEADER, "kid": "22222222-2222-4222-8222-222222222222"}, "key-unknown"),
    "a kid that is a path": ({**HEADER, "kid": "../../dev/null"}, "key-unknown"),
    "an unknown kid beside a key of its own": (
        {**HEADER, "kid": "x", "jku": "https://example.com/jwks.json", "jwk": {"kty": "RSA"}},
        "key-unknown",
    ),
    "a critical extension": ({**HEADER, "crit": ["exp"]}, "header-extension"),
    "an empty list of critical extensions": ({**HEADER, "crit": []}, "header-extension"),
    "a detached payload": ({**HEADER, "b64": False, "crit": ["b64"]}, "header-extension"),
    "a header that is a list": (b"[]", "malformed"),
}


@pytest.mark.parametrize(("header", "reason"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_rightly_signed_token_is_refused_for_its_header(
    verifier: Verifier, signed: Callable[..., str], header: Any, reason: str
) -> None:
    assert refusal(verifier.verify, signed(header=header)).reason == reason


@pytest.mark.parametrize(
    "bend",
    [
        lambda token: token.rpartition(".")[0],
        lambda token: token + ".",
        lambda token: token + "=",
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: "Bearer " + token,
        lambda token: f"{token},{token}",
        lambda token: token.replace(".", ".."),
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: token[:-4] + "+/==",
        lambda _: "",
        lambda _: "..",
        lambda _: "a.b.c",
        lambda _: "токен",
    ],
)
def test_what_is_no_compact_token_is_malformed(verifier: Verifier, signed: Callable[..., str], bend: Any) -> None:
    assert refusal(verifier.verify, bend(signed())).reason == "malformed"


def test_a_long_token_is_refused_before_it_is_read(verifier: Verifier) -> None:
    assert refusal(verifier.verify, "a" * 8193).reason == "too-long"


def test_a_token_signed_by_another_key_is_forged(
    verifier: Verifier, signed: Callable[..., str], foreign_key: RSAPrivateKey
) -> None:
    assert refusal(verifier.verify, signed(key=foreign_key)).reason == "signature-wrong"


def test_a_signature_belongs_to_one_set_of_claims(verifier: Verifier, signed: Callable[..., str]) -> None:
    head, _, signature = signed().split(".")
    _, claims, _ = signed({**GOOD, "sun": "bob"}).split(".")

    assert refusal(verifier.verify, f"{head}.{claims}.{signature}").reason == "signature-wrong"


def test_an_hmac_under_the_public_key_is_no_signature(verifier: Verifier, private_key: RSAPrivateKey) -> None:
    pem = private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for algorithm, reason in (("HS256", "algorithm-not-allowed"), ("RS256", "signature-wrong")):
        head = segment(json.dumps({**HEADER, "alg": algorithm}).encode())
        signing_input = f"{head}.{segment(json.dumps(GOOD).encode())}"
        signature = hmac.new(pem, signing_input.encode(), hashlib.sha256).digest()

        assert refusal(verifier.verify, f"{signing_input}.{segment(signature)}").reason == reason


def test_a_refusal_tells_what_the_token_claims_only_where_that_is_safe_to_log(
    verifier: Verifier, signed: Callable[..., str], foreign_key: RSAPrivateKey
) -> None:
    forged = refusal(verifier.verify, signed(key=foreign_key))
    odd = refusal(verifier.verify, signed({**GOOD, "sun": "x\ny"}, header={**HEADER, "kid": "a\nb"}))

    assert (forged.kid, forged.user) == (KID, "alice")
    assert (odd.kid, odd.user) == (None, None)


def test_keys_are_not_asked_for_about_what_cannot_be_a_token_of_ours(signed: Callable[..., str]) -> None:
    def unavailable() -> Never:
        raise UnavailableError("SSM is down")

    verifier = Verifier(unavailable, now=lambda: NOW)

    assert refusal(verifier.verify, "a.b.c").reason == "malformed"
    assert refusal(verifier.verify, signed(header={"alg": "none"})).reason == "algorithm-not-allowed"
    with pytest.raises(UnavailableError):
        verifier.verify(signed())


def head_node_token(claims: Any, **header: Any) -> str:
    return jwt.encode(claims, "k" * 32, algorithm="HS256", headers=header)


def test_a_head_node_token_is_read_without_its_signature_and_needs_no_iat(verifier: Verifier) -> None:
    token = head_node_token({"exp": NOW + 900, "sun": "alice"})

    assert Claims(user="alice", expires_at=NOW + 900) == verifier.read_head_node_token(token)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW, "sun": "alice"}, "expired"),
        ({"sun": "alice"}, "exp-missing"),
        ({"exp": NOW + 900}, "sun-missing"),
        ({"exp": NOW + 900, "sun": "0"}, "sun-not-a-user-name"),
    ],
)
def test_a_head_node_token_is_checked_in_all_but_its_signature(verifier: Verifier, claims: Any, reason: str) -> None:
    assert refusal(verifier.read_head_node_token, head_node_token(claims)).reason == reason


@pytest.fixture(scope="session")
def fixed_verifier(private_key: RSAPrivateKey) -> Verifier:
    return Verifier(lambda: {KID: private_key.public_key()}, now=lambda: NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
tokens = st.builds(
    lambda header, claims, signature: ".".join(
        (segment(json.dumps(header).encode()), segment(json.dumps(claims).encode()), segment(signature))
    ),
    st.fixed_dictionaries({}, optional={"alg": st.just("RS256") | json_values, "kid": st.just(KID) | json_values})
    | json_values,
    st.just(GOOD) | json_values,
    st.binary(max_size=300),
)


@given(token=tokens | st.text())
def test_nothing_passes_that_no_listed_key_has_signed(fixed_verifier: Verifier, token: Any) -> None:
    with pytest.raises(TokenRefusedError):
        fixed_verifier.verify(token)
