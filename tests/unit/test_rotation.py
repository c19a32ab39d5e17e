"""Rotations of the signing key: each step, each way to be interrupted, and each that comes too early."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from emulation import Clock

from slurm_gateway.rotation import SETTLE, TAG, Rotation, RotationError, TooEarlyError, longest_lifespan

if TYPE_CHECKING:
    from emulation import Aws

LIFESPAN = 3600


class World:
    """A stack's key and list, and a rotation whose clock a test moves."""

    def __init__(self, emulated: Aws) -> None:
        self.emulated = emulated
        self.kms: Any = emulated.kms
        self.stack = f"requirements-{uuid.uuid4()}"
        self.own = self.make()
        self.parameter = emulated.parameter(self.own)
        self.clock = Clock(time.time())
        self.rotation = Rotation(
            emulated.ssm,
            self.kms,
            stack=self.stack,
            keys_parameter=self.parameter,
            own_key=f"arn:aws:kms:us-east-1:123456789012:key/{self.own}",
            longest_lifespan=lambda: LIFESPAN,
            now=self.clock,
        )

    def make(self, stack: str = "") -> str:
        made = self.kms.create_key(
            KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", Tags=[{"TagKey": TAG, "TagValue": stack or self.stack}]
        )
        key: str = made["KeyMetadata"]["KeyId"]
        return key

    def listed(self) -> list[str]:
        ssm: Any = self.emulated.ssm
        value: str = ssm.get_parameter(Name=self.parameter)["Parameter"]["Value"]
        return value.split(",")

    def put(self, *keys: str) -> None:
        self.emulated.parameter(",".join(keys), name=self.parameter)

    def state_of(self, key: str) -> str:
        state: str = self.kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
        return state

    def wait(self, seconds: float) -> None:
        self.clock.seconds = time.time() + seconds


@pytest.fixture
def world(emulated: Aws) -> World:
    return World(emulated)


def test_a_rotation_is_three_steps_and_the_list_says_where_it_is(world: World) -> None:
    phase: Callable[[], str] = lambda: world.rotation.state().phase  # noqa: E731
    assert phase() == "steady"

    world.rotation.next()
    [old, new] = world.listed()
    assert (old, phase()) == (world.own, "published")

    world.wait(SETTLE + 1)
    world.rotation.next()
    assert (world.listed(), phase()) == ([new, old], "signing")

    world.wait(LIFESPAN + 30)
    world.rotation.next()
    assert (world.listed(), phase()) == ([new], "steady")
    # CloudFormation deletes its own.
    assert (world.state_of(old), world.state_of(new)) == ("Disabled", "Enabled")

    world.rotation.next()
    newer = world.listed()[1]
    world.wait(SETTLE + 1)
    world.rotation.next()
    world.wait(LIFESPAN + 30)
    world.rotation.next()
    assert (world.listed(), world.state_of(new)) == ([newer], "PendingDeletion")


def test_a_new_key_is_like_the_one_that_signs(world: World) -> None:
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Sid": "OnlyOurs", "Effect": "Allow", "Principal": {"AWS": "*"}, '
    )
    policy += '"Action": "kms:*", "Resource": "*"}]}'
    world.kms.put_key_policy(KeyId=world.own, PolicyName="default", Policy=policy)

    world.rotation.next()
    new = world.listed()[1]

    made = world.kms.describe_key(KeyId=new)["KeyMetadata"]
    assert (made["KeySpec"], made["KeyUsage"]) == ("RSA_2048", "SIGN_VERIFY")
    assert world.kms.get_key_policy(KeyId=new, PolicyName="default")["Policy"] == policy
    assert world.kms.list_resource_tags(KeyId=new)["Tags"] == [{"TagKey": TAG, "TagValue": world.stack}]


# KMS may take five minutes to let anybody use a key by its tag, and the head node 41 s more to have Slurm know it.
@pytest.mark.parametrize("seconds", [0, 1, 300 + 41, SETTLE - 5])
def test_a_key_does_not_sign_before_every_verifier_had_time_to_see_it(world: World, seconds: float) -> None:
    world.rotation.next()
    listed = world.listed()
    world.wait(seconds)

    with pytest.raises(TooEarlyError, match="a verifier may not have seen it; wait") as early:
        world.rotation.next()

    assert world.listed() == listed
    assert early.value.seconds == pytest.approx(SETTLE - seconds, abs=3)


@pytest.mark.parametrize("seconds", [0, 60, LIFESPAN])
def test_a_key_is_not_retired_before_its_last_token_died(world: World, seconds: float) -> None:
    world.rotation.next()
    world.wait(SETTLE + 1)
    world.rotation.next()
    listed = world.listed()
    world.wait(seconds)

    with pytest.raises(TooEarlyError, match="may still be alive"):
        world.rotation.next()

    assert world.listed() == listed
    assert world.state_of(world.own) == "Enabled"


def test_a_key_that_was_made_and_not_published_is_the_next_one(world: World) -> None:
    made = world.make()
    world.make(stack="another-stack")

    world.rotation.next()

    assert world.listed() == [world.own, made]


def test_a_forgotten_key_that_is_older_than_the_signer_is_not_published(world: World) -> None:
    forgotten = world.make()
    signer = world.make()
    world.put(signer)

    world.rotation.next()

    assert world.listed()[0] == signer
    assert forgotten not in world.listed()
    assert world.rotation.state().phase == "published"


def test_a_key_that_was_taken_off_and_not_deleted_is_deleted_by_the_next_step(world: World) -> None:
    retired = world.make()
    world.put(retired, world.own)
    world.put(world.own)

    world.rotation.next()

    assert world.state_of(retired) == "PendingDeletion"
    assert retired not in world.listed()


def test_the_stacks_key_is_never_taken_for_a_new_one(world: World) -> None:
    signer = world.make()
    # As when the history has forgotten it.
    world.parameter = world.rotation._keys_parameter = world.emulated.parameter(signer)

    world.rotation.next()

    assert world.own not in world.listed()


def test_a_list_that_is_no_rotations_is_left_alone(world: World) -> None:
    keys = [world.own, world.make(), world.make()]
    for listed in (keys, [world.own, "alias/x"], [world.own, world.own]):
        world.put(*listed)
        with pytest.raises(RotationError):
            world.rotation.next()
        assert world.listed() == listed


# ---- emergency -----------------------------------------------------------------------------------------------------


def test_the_only_key_is_dropped_for_a_new_one(world: World) -> None:
    done = world.rotation.drop(f"arn:aws:kms:us-east-1:123456789012:key/{world.own}")

    [new] = world.listed()
    assert new != world.own
    assert world.state_of(world.own) == "Disabled"
    assert new in done


@pytest.mark.parametrize("dropped", [0, 1])
def test_one_of_two_keys_is_dropped_at_once_whatever_is_under_way(world: World, dropped: int) -> None:
    world.rotation.next()
    keys = world.listed()

    world.rotation.drop(keys[dropped])

    assert world.listed() == [keys[1 - dropped]]
    assert world.state_of(keys[dropped]) in ("Disabled", "PendingDeletion")


def test_to_drop_again_does_no_harm(world: World) -> None:
    world.rotation.next()
    key = world.listed()[1]
    world.rotation.drop(key)

    assert world.rotation.drop(key) == f"{key} is being deleted already"
    assert world.listed() == [world.own]


def test_a_listed_key_that_kms_has_no_more_is_dropped(world: World) -> None:
    gone = str(uuid.uuid4())
    world.put(world.own, gone)

    assert world.rotation.drop(gone) == f"{gone} is off the list; {world.own} signs; {gone} is deleted already"
    assert world.listed() == [world.own]


@pytest.mark.parametrize("place", [0, 1])
def test_beside_a_key_that_kms_has_no_more_the_last_one_is_dropped_for_a_new_one(world: World, place: int) -> None:
    keys = [world.own]
    keys.insert(place, str(uuid.uuid4()))
    world.put(*keys)

    world.rotation.drop(world.own)

    [new] = world.listed()
    assert new not in keys
    assert world.state_of(new) == "Enabled"


def test_a_rotation_goes_on_past_an_old_key_that_kms_has_no_more(world: World) -> None:
    gone = str(uuid.uuid4())
    world.put(world.own, gone)
    world.wait(LIFESPAN + 30)

    assert world.rotation.next() == f"{gone} is accepted no more, and is deleted already; {world.own} is the only key"
    assert world.listed() == [world.own]


def test_no_other_stacks_key_is_dropped(world: World) -> None:
    foreign = world.make(stack="another-stack")

    with pytest.raises(RotationError, match="no key of the stack"):
        world.rotation.drop(foreign)

    assert world.state_of(foreign) == "Enabled"


# ---- how long a token lives ----------------------------------------------------------------------------------------

RULE = (
    "version: 1\nrules:\n"
    "  - {{name: r, principal: {{iam_user: 'arn:aws:iam::123456789012:user/a'}}, users: [a], {} }}\n"
)


def test_a_token_may_live_as_long_as_any_known_version_of_the_document_let_it(emulated: Aws) -> None:
    parameter = emulated.parameter(RULE.format("lifespan: {longest: 7200}"))
    emulated.parameter(RULE.format("lifespan: {longest: 60, default: 60}"), name=parameter)
    emulated.parameter("broken: [", name=parameter)

    assert longest_lifespan(emulated.ssm, parameter) == 7200
    assert longest_lifespan(emulated.ssm, emulated.parameter(RULE.format("lifespan: {longest: 900}"))) == 3600
