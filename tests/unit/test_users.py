from __future__ import annotations

import pytest

from slurm_gateway.users import forbidden_names, is_name


@pytest.mark.parametrize("name", ["alice", "_svc", "a", "a.b-c_d", "u1000", "a" * 32])
def test_a_linux_users_name_is_one(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0",
        "1000",
        "-a",
        ".a",
        "Alice",
        "a b",
        "a\n",
        "a" * 33,
        "al\u0456ce",
        "a/b",
        "a$",
        "a@b",
        None,
        1000,
        True,
        ["a"],
    ],
)
def test_anything_else_is_none(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize("name", ["root", "slurm", "slurmrestd", "munge", "pcluster-admin", "ssm-user"])
def test_the_systems_users_are_always_forbidden(name: str) -> None:
    assert name in forbidden_names(default_user_sudo=True)
    assert name in forbidden_names(default_user_sudo=False)


@pytest.mark.parametrize("name", ["ec2-user", "ubuntu", "rocky", "centos", "admin", "debian"])
def test_the_images_default_users_are_forbidden_while_they_have_sudo(name: str) -> None:
    assert name in forbidden_names(default_user_sudo=True)
    assert name not in forbidden_names(default_user_sudo=False)
