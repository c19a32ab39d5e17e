"""Which versions of its REST API a cluster speaks.

A Slurm release speaks three to five, and brings one and drops one at an upgrade. They are asked for once, and
again when an answer comes from another release, or a version is gone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from .errors import ApiVersionGoneError
from .slurm_errors import SlurmRefused, SlurmUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from .caller import Caller
    from .slurmrestd import Slurmrestd

_logger = logging.getLogger(__name__)
T = TypeVar("T")

KNOWN = ("v0.0.45", "v0.0.44", "v0.0.43", "v0.0.42", "v0.0.41", "v0.0.40")
"""The versions that this package can read and write, newest first."""
NO_COMMON_VERSION = "slurm-api-version"
"""The kind of problem that a path is which slurmrestd has in no version."""


class ApiVersions:
    """Finds a cluster's versions with the token of whoever asks first, and keeps them."""

    def __init__(self, slurmrestd: Slurmrestd) -> None:
        self._slurmrestd = slurmrestd
        self._found: tuple[str, ...] = ()
        self._release = ""

    def of_cluster(self, caller: Caller) -> tuple[str, ...]:
        """Return the known versions that the cluster speaks, newest first; SlurmProblem if none is found."""
        if not self._found or self._slurmrestd.release != self._release:
            self._found = self._probe(caller)
            self._release = self._slurmrestd.release
            _logger.info("API versions found", extra={"versions": self._found, "release": self._release})
        return self._found

    def newest(self, caller: Caller) -> str:
        """Return the newest known version that the cluster speaks."""
        return self.of_cluster(caller)[0]

    def using(self, caller: Caller, request: Callable[[tuple[str, ...]], T]) -> T:
        """Return what `request` gives for the cluster's versions.

        If it raises ApiVersionGoneError they are found again and it is called once more: slurmrestd has not read
        the first request. Raises SlurmUnreachable if even then there is no such version.
        """
        try:
            return request(self.of_cluster(caller))
        except ApiVersionGoneError:
            self._found = ()
        try:
            return request(self.of_cluster(caller))
        except ApiVersionGoneError as exc:
            raise _none_spoken() from exc

    def _probe(self, caller: Caller) -> tuple[str, ...]:
        found: list[str] = []
        for version in KNOWN:
            try:
                self._slurmrestd.call(caller, "GET", f"/slurm/{version}/ping/")
            except ApiVersionGoneError:
                # What a cluster speaks has no gaps.
                if found:
                    break
                continue
            except SlurmRefused:
                # The path is there; what Slurm has against this ping is not asked here.
                _logger.debug("ping refused", extra={"version": version})
            found.append(version)
        if not found:
            raise _none_spoken()
        return tuple(found)


def _none_spoken() -> SlurmUnreachable:
    return SlurmUnreachable(
        502,
        NO_COMMON_VERSION,
        title="No common API version",
        detail=f"slurmrestd speaks none of {KNOWN[0]} to {KNOWN[-1]}. An operator upgrades this gateway, or Slurm.",
    )
