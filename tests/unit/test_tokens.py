from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest
from botocore.stub import Stubber

from slurm_gateway.errors import UnavailableError
from slurm_gateway.keys import PublicKeys, parse_key_list
from slurm_gateway.tokens import KmsRs256, Mint

if TYPE_CHECKING:
    from emulation import Aws

    from slurm_gateway.tokens import MintedToken


def mint_one(emulated: Aws, *, lifespan: int = 900, index: int = 0) -> MintedToken:
    key = parse_key_list(emulated.key(index)).signer
    return Mint(emulated.kms, now=lambda: 1_700_000_000.9).mint("alice", lifespan=lifespan, key=key)


def test_a_token_has_the_claims_slurm_reads_and_the_kid_of_its_key(emulated: Aws) -> None:
    token = mint_one(emulated)

    complete = jwt.decode_complete(token.text, options={"verify_signature": False})
    assert {"alg": "RS256", "kid": emulated.key(), "typ": "JWT"} == complete["header"]
    assert {
        "iss": "slurm-gateway",
        "iat": 1_700_000_000,
        "exp": 1_700_000_900,
        "sun": "alice",
        "jti": token.token_id,
    } == complete["payload"]


def test_a_token_tells_what_it_is_without_being_read(emulated: Aws) -> None:
    token = mint_one(emulated, lifespan=60)

    assert ("alice", emulated.key(), 1_700_000_000, 1_700_000_060) == (
        token.user,
        token.kid,
        token.issued_at,
        token.expires_at,
    )


def test_the_signature_is_that_of_the_key_it_names(emulated: Aws) -> None:
    token = mint_one(emulated, index=1)
    keys = PublicKeys(emulated.kms).of(parse_key_list(f"{emulated.key(0)},{emulated.key(1)}"))

    jwt.decode(token.text, keys[emulated.key(1)], algorithms=["RS256"], options={"verify_exp": False})
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token.text, keys[emulated.key(0)], algorithms=["RS256"], options={"verify_exp": False})


def test_no_two_tokens_have_the_same_id(emulated: Aws) -> None:
    assert mint_one(emulated).token_id != mint_one(emulated).token_id


@pytest.mark.parametrize("code", ["ThrottlingException", "DisabledException", "AccessDeniedException"])
def test_a_key_that_does_not_sign_makes_minting_unavailable(emulated: Aws, code: str) -> None:
    with Stubber(emulated.kms) as stub:
        stub.add_client_error("sign", code)
        with pytest.raises(UnavailableError, match=f"cannot sign a token: AWS answered {code}"):
            mint_one(emulated)


def test_the_algorithm_of_the_rest_of_the_process_stays_as_it_is(emulated: Aws) -> None:
    Mint(emulated.kms)

    assert not isinstance(jwt.get_algorithm_by_name("RS256"), KmsRs256)


def test_the_kms_algorithm_only_signs(emulated: Aws) -> None:
    algorithm = KmsRs256(emulated.kms)

    for call in (
        lambda: algorithm.verify(b"", "", b""),
        lambda: algorithm.to_jwk(""),
        lambda: algorithm.from_jwk({}),
    ):
        with pytest.raises(NotImplementedError):
            call()
