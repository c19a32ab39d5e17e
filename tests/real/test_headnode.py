"""headnode/configure.sh and its units on the running head node."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from local import aws_emulator, cluster, principals, stacks
from local.address import SLURMRESTD_PORT, address
from local.stack import configure_head_node
from tests.real.conftest import FINAL_STATES, Stack, slurm, wait_for

JWKS = "/var/lib/slurm-gateway/jwks.json"
JWT_KEY = "/var/lib/slurm-gateway/jwt_hs256.key"
SLURMRESTD = f"http://{address()}:{SLURMRESTD_PORT}"


def on_head_node(*argv: str, user: str | None = None) -> str:
    done = cluster.run(argv, user=user)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def key_ids() -> list[str]:
    return [key["kid"] for key in json.loads(on_head_node("cat", JWKS))["keys"]]


def follow_keys() -> subprocess.CompletedProcess[str]:
    """Have the head node follow the list of keys as it is now, without waiting for its timer."""
    # To start what the timer has just started would be to join it, and it may have read the list as it was.
    return cluster.run(["systemctl", "restart", "slurm-gateway-keys.service"])


def started(*units: str) -> list[str]:
    """Give the moments at which the units' main processes started."""
    return [on_head_node("systemctl", "show", "-P", "ExecMainStartTimestampMonotonic", unit) for unit in units]


@pytest.fixture
def requirements() -> dict[str, str]:
    return stacks.deploy_requirements()


@pytest.fixture
def key_list(stack: Stack, requirements: dict[str, str]) -> Iterator[KeyList]:
    """The list of signing keys, put back afterwards with the head node following."""
    keys = KeyList(requirements["KeysParameterName"])
    yield keys
    keys.put(keys.original)
    follow_keys()
    wait_for(
        lambda: key_ids() == [key.rsplit("/", 1)[-1] for key in keys.original.split(",")], "the keys to be back", 30
    )


class KeyList:
    """The SSM parameter that lists the signing keys."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ssm = aws_emulator.client("ssm", principals.administrator())
        self.original: str = self.ssm.get_parameter(Name=name)["Parameter"]["Value"]

    def put(self, value: str) -> None:
        self.ssm.put_parameter(Name=self.name, Type="StringList", Value=value, Overwrite=True)


def configure_again(requirements: dict[str, str]) -> None:
    configure_head_node(requirements, stacks.head_node_instance_id(requirements))


def test_configuring_again_changes_and_restarts_nothing(stack: Stack, requirements: dict[str, str]) -> None:
    files = ["/opt/slurm/etc/slurm.conf", "/opt/slurm/etc/slurmdbd.conf", JWKS, JWT_KEY]
    units = ["slurmctld", "slurmdbd", "slurmrestd"]
    before = on_head_node("sha256sum", *files), started(*units)
    configure_again(requirements)
    assert (on_head_node("sha256sum", *files), started(*units)) == before


@pytest.mark.parametrize("file", ["slurm.conf", "slurmdbd.conf"])
def test_token_keys_are_set_once(stack: Stack, file: str) -> None:
    text = on_head_node("cat", f"/opt/slurm/etc/{file}")
    assert re.findall("^AuthAlt.*", text, re.MULTILINE) == [
        "AuthAltTypes=auth/jwt",
        f"AuthAltParameters=jwt_key={JWT_KEY},jwks={JWKS}",
    ]


def test_accounting_keeps_the_extra_field_of_jobs_that_ended(stack: Stack) -> None:
    job_id = stack.submit("alice", "#!/bin/bash\n", extra="a-word-of-its-own")
    stack.wait_for_state("alice", job_id, FINAL_STATES)
    asked = ("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job_id}", "--format=Extra")
    wait_for(lambda: slurm(*asked).split() == ["a-word-of-its-own"], "accounting to have the field")


def test_local_key_is_slurms_alone(stack: Stack) -> None:
    assert on_head_node("stat", "--format=%U %a %s", JWT_KEY) == "slurm 600 32"


def test_slurmrestd_has_its_own_user_and_no_privileges(stack: Stack) -> None:
    pid = on_head_node("systemctl", "show", "-P", "MainPID", "slurmrestd")
    status = on_head_node("cat", f"/proc/{pid}/status")
    uid = on_head_node("id", "-u", "slurmrestd")
    assert re.search(f"^Uid:\t{uid}\t{uid}\t{uid}\t{uid}$", status, re.MULTILINE)
    assert re.search("^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search("^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert on_head_node("getent", "passwd", "slurmrestd").endswith("nologin")


def test_packets_from_elsewhere_are_dropped(stack: Stack) -> None:
    properties = on_head_node("cat", "/etc/systemd/system/slurmrestd.service")
    # The same filter on a process of our own, without the loopback addresses, cuts it off from slurmrestd.
    probe = ["curl", "--silent", "--max-time", "2", "--output", "/dev/null", f"{SLURMRESTD}/openapi/v3"]
    run = ["systemd-run", "--pipe", "--wait", "--quiet", "--property=IPAddressDeny=any"]
    assert cluster.run([*run, *probe]).returncode == 28
    assert cluster.run([*run, "--property=IPAddressAllow=localhost", *probe]).returncode == 0
    assert "\nIPAddressDeny=any\n" in properties


def test_token_of_scontrol_works_on_the_head_node(stack: Stack) -> None:
    token = on_head_node("scontrol", "token", "lifespan=60", user="alice").removeprefix("SLURM_JWT=")
    answer = httpx.get(
        f"{SLURMRESTD}/slurm/v0.0.42/nodes/", headers={"X-SLURM-USER-TOKEN": token}, timeout=10, trust_env=False
    )
    assert (answer.status_code, len(answer.json()["nodes"])) == (200, 4)


def test_user_gets_no_token_of_another(stack: Stack) -> None:
    assert cluster.run(["scontrol", "token", "username=bob", "lifespan=60"], user="alice").returncode != 0


def test_new_key_is_followed_within_half_a_minute(key_list: KeyList) -> None:
    kms = aws_emulator.client("kms", principals.administrator())
    # The head node's policy goes by the tag: a key without it is none of this stack's.
    tags = [{"TagKey": "slurm-gateway:requirements-stack", "TagValue": stacks.REQUIREMENTS_STACK}]
    new = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", Tags=tags)["KeyMetadata"]["KeyId"]
    slurmdbd_started = started("slurmdbd")
    begin = time.monotonic()
    key_list.put(f"{key_list.original},{new}")
    # By itself: the timer's 15 s, and the AWS CLI's own start for the list and each key, on whatever else is running.
    wait_for(lambda: new in key_ids(), "the new key", 30)
    print(f"a new key was followed after {time.monotonic() - begin:.1f} s")
    wait_for(lambda: started("slurmdbd") != slurmdbd_started, "slurmdbd to be restarted", 20)


@pytest.mark.parametrize("value", [" ", "no-such-key", "a,,b", "x;y"])
def test_broken_list_leaves_the_last_good_keys(key_list: KeyList, value: str) -> None:
    before = key_ids()
    key_list.put(value)
    followed = follow_keys()
    said = on_head_node("journalctl", "--unit=slurm-gateway-keys", "--lines=20", "--output=cat")
    assert (followed.returncode, key_ids()) == (1, before)
    assert "the keys stay as they were" in said


def test_unchanged_list_reloads_nothing(stack: Stack) -> None:
    before = started("slurmctld", "slurmdbd"), on_head_node("stat", "--format=%Y %i", JWKS)
    assert follow_keys().returncode == 0
    assert (started("slurmctld", "slurmdbd"), on_head_node("stat", "--format=%Y %i", JWKS)) == before


def test_wrong_parameter_name_stops_the_script_with_a_message(stack: Stack, requirements: dict[str, str]) -> None:
    done = cluster.run(["env", "KEYS_PARAMETER=", "/opt/slurm-gateway/follow-keys.sh"])
    assert (done.returncode, "KEYS_PARAMETER is not set" in done.stderr) == (99, True)
