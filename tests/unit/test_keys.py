from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.stub import Stubber
from cryptography.hazmat.primitives.serialization import load_der_public_key

from slurm_gateway.errors import UnavailableError
from slurm_gateway.keys import KeyList, ListedKey, PublicKeys, parse_key_list, read_key_list

if TYPE_CHECKING:
    from emulation import Aws, LogLines


FIRST = "11111111-1111-4111-8111-111111111111"
SECOND = "22222222-2222-4222-8222-222222222222"
ARN = f"arn:aws:kms:us-east-1:000000000000:key/{SECOND}"
MULTI_REGION = "mrk-" + "3" * 32


def listed(key_id: str) -> ListedKey:
    return ListedKey(kid=key_id, key_id=key_id)


def test_the_first_key_signs_and_all_are_accepted() -> None:
    assert KeyList(
        signer=listed(FIRST),
        accepted=(listed(FIRST), ListedKey(kid=SECOND, key_id=ARN), listed(MULTI_REGION)),
    ) == parse_key_list(f"{FIRST}, {ARN},{MULTI_REGION}")


@pytest.mark.parametrize("entry", ["alias/slurm", "", "none", FIRST.upper().replace("1", "A"), f"{FIRST}\n.", "*"])
def test_what_is_no_key_is_left_out_and_logged_with_what_to_do(entry: str, log_lines: LogLines) -> None:
    assert KeyList(signer=listed(FIRST), accepted=(listed(FIRST),)) == parse_key_list(f"{FIRST},{entry}")
    assert ("ERROR", entry) == (log_lines()[0]["levelname"], log_lines()[0]["entry"])


def test_no_key_slips_into_the_place_of_a_first_one_that_is_none() -> None:
    assert KeyList(signer=None, accepted=(listed(SECOND),)) == parse_key_list(f"alias/slurm,{SECOND}")


def test_the_list_is_read_from_its_parameter(emulated: Aws) -> None:
    parameter = emulated.parameter(f"{FIRST},{SECOND}")

    assert read_key_list(emulated.ssm, parameter) == parse_key_list(f"{FIRST},{SECOND}")


def test_a_missing_parameter_is_named(emulated: Aws) -> None:
    with pytest.raises(UnavailableError, match="SSM parameter /test/absent: AWS answered ParameterNotFound"):
        read_key_list(emulated.ssm, "/test/absent")


def test_public_keys_are_kms_own(emulated: Aws) -> None:
    key_id = emulated.key()

    [(kid, public_key)] = PublicKeys(emulated.kms).of(parse_key_list(key_id)).items()

    expected = load_der_public_key(emulated.kms.get_public_key(KeyId=key_id)["PublicKey"])
    assert (key_id, expected) == (kid, public_key)


def test_a_public_key_is_fetched_once(emulated: Aws) -> None:
    keys = PublicKeys(emulated.kms)
    key_list = parse_key_list(emulated.key())
    keys.of(key_list)

    with Stubber(emulated.kms):  # any call would fail
        assert list(keys.of(key_list)) == [emulated.key()]


def test_a_key_that_leaves_the_list_is_no_longer_given(emulated: Aws) -> None:
    keys = PublicKeys(emulated.kms)
    both = keys.of(parse_key_list(f"{emulated.key(0)},{emulated.key(1)}"))

    assert [emulated.key(0), emulated.key(1)] == list(both)
    assert [emulated.key(1)] == list(keys.of(parse_key_list(emulated.key(1))))


@pytest.mark.parametrize("code", ["NotFoundException", "DisabledException", "AccessDeniedException"])
def test_a_key_that_kms_does_not_give_is_left_out_and_the_others_go_on(
    emulated: Aws, code: str, log_lines: LogLines
) -> None:
    keys = PublicKeys(emulated.kms)
    keys.of(parse_key_list(emulated.key()))
    with Stubber(emulated.kms) as stub:
        stub.add_client_error("get_public_key", code)
        found = keys.of(parse_key_list(f"{SECOND},{emulated.key()}"))

    assert [emulated.key()] == list(found)
    assert (SECOND, code) == (log_lines()[0]["kid"], log_lines()[0]["error"])


def test_a_list_without_a_usable_key_is_no_list(emulated: Aws) -> None:
    with pytest.raises(UnavailableError, match="no usable key"):
        PublicKeys(emulated.kms).of(parse_key_list("none"))


def test_a_throttled_fetch_is_no_answer_rather_than_a_shorter_list(emulated: Aws) -> None:
    keys = PublicKeys(emulated.kms)
    keys.of(parse_key_list(emulated.key()))
    with Stubber(emulated.kms) as stub:
        stub.add_client_error("get_public_key", "ThrottlingException")
        with pytest.raises(UnavailableError, match=f"public key {SECOND}: AWS answered ThrottlingException"):
            keys.of(parse_key_list(f"{emulated.key()},{SECOND}"))


def test_a_key_for_encryption_is_left_out(emulated: Aws) -> None:
    made = emulated.kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]

    with pytest.raises(UnavailableError, match="no usable key"):
        PublicKeys(emulated.kms).of(parse_key_list(made))
