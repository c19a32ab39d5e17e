r"""Slurm over HTTPS: submit, follow, await and change jobs through slurm-gateway.

For instance:

    from slurm_gateway_client import Gateway

    with Gateway.from_environ() as gateway:
        submitted = gateway.submit(b"#!/bin/bash\nsrun ./solve\n", name="solve.sh", options=[("time", "10")])
        job = gateway.wait([submitted.id])[0]
        print(job["state"], job["exit_code"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import (
        AuthenticationError,
        ClientError,
        InterruptedWaitError,
        NotFoundError,
        RefusedError,
        SettingsError,
        UnreachableError,
    )
    from .gateway import Gateway, Job, Submitted
    from .settings import Settings

__all__ = [
    "AuthenticationError", "ClientError", "Gateway", "InterruptedWaitError", "Job", "NotFoundError", "RefusedError",
    "Settings", "SettingsError", "Submitted", "UnreachableError",
]  # fmt: skip

_MODULES = {"Gateway": "gateway", "Job": "gateway", "Submitted": "gateway", "Settings": "settings"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever is asked for)
    """Import what is asked for when it is: the command's help must not wait for an HTTP library."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
