"""Which names a token may bear.

A token is as strong as its user. Slurm lets root and SlurmUser act as anyone, and a user with sudo is root
on the cluster, so these never get a token, and one that bears their name does not pass the edge, however
rightly it is signed.
"""

from __future__ import annotations

import re

# Letters first: Slurm takes a user made of digits for a uid, so "0" would be root.
_NAME = re.compile(r"[a-z_][a-z0-9_.-]{0,31}", re.ASCII)

# Slurm and ParallelCluster run as these, or they are another service's.
_SERVICES = frozenset(
    {
        "root",
        "slurm",
        "slurmctld",
        "slurmdbd",
        "slurmrestd",
        "munge",
        "pcluster-admin",
        "dcv",
        "dcvextauth",
        "ssm-user",  # made by the Systems Manager agent, with sudo
        "ec2-instance-connect",
        "mysql",
        "mariadb",
        "bin",
        "daemon",
        "nobody",
        "nfsnobody",
        "sync",
        "shutdown",
        "halt",
        "sys",
        "sshd",
        "dbus",
        "sssd",
    }
)
# The user each image logs in with. It has sudo unless the cluster's configuration takes it away.
_IMAGE_DEFAULTS = frozenset({"ec2-user", "ubuntu", "rocky", "centos", "admin", "debian", "almalinux", "fedora"})


def is_name(text: object) -> bool:
    """Tell whether `text` is a string that has the shape of a Linux user's name."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def forbidden_names(*, default_user_sudo: bool) -> frozenset[str]:
    """Return the names that are never minted or admitted.

    `default_user_sudo` says whether the images' default users have sudo: then they are among them.
    """
    return _SERVICES | _IMAGE_DEFAULTS if default_user_sudo else _SERVICES
