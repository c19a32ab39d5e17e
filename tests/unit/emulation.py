"""KMS and SSM as moto has them, and a clock that stands until told."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.client import BaseClient

LogLines = Callable[[], list[dict[str, Any]]]


@dataclass
class Clock:
    """A clock that moves only when a test moves it."""

    seconds: float = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Aws:
    """The emulated services' clients, and what tests ask of them."""

    kms: BaseClient
    ssm: BaseClient
    keys: list[str] = field(default_factory=list)

    def key(self, index: int = 0) -> str:
        """Return the id of a signing key; the same for the same index, since making one takes long."""
        while len(self.keys) <= index:
            made = self.kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
            self.keys.append(made["KeyMetadata"]["KeyId"])
        return self.keys[index]

    def parameter(self, value: str, name: str | None = None) -> str:
        """Put a parameter, a new one unless named; return its name."""
        name = name or f"/test/{uuid.uuid4()}"
        self.ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
        return name
