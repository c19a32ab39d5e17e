"""The releases of Slurm whose sbatch is known here, and what tells them."""

from __future__ import annotations

from enum import IntEnum


class Release(IntEnum):
    """A release of Slurm; later ones are greater."""

    R24_05 = 2405
    R24_11 = 2411
    R25_05 = 2505
    R25_11 = 2511
    R26_05 = 2605

    def __str__(self) -> str:
        """Return the release as Slurm writes it: `24.11`."""
        return f"{self.value // 100}.{self.value % 100:02}"


# A release brings one new API version, and that is its newest.
_NEWEST = {
    "v0.0.41": Release.R24_05,
    "v0.0.42": Release.R24_11,
    "v0.0.43": Release.R25_05,
    "v0.0.44": Release.R25_11,
    "v0.0.45": Release.R26_05,
}


def of_newest_api(version: str) -> Release:
    """Return the release whose newest API version this is.

    A version of a later release than is known here counts as the latest known. Raises ValueError for one
    that is older, or is none.
    """
    if version in _NEWEST:
        return _NEWEST[version]
    major, _, minor = version.rpartition(".")
    if major == "v0.0" and minor.isdigit() and int(minor) > max(int(known[5:]) for known in _NEWEST):
        return max(Release)
    known = ", ".join(_NEWEST)
    raise ValueError(f"{version} is the newest API version of no release that is known here; those are {known}")
