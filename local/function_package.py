"""The functions' code as one zip: what is in ``src/``, as ``sam build`` packs it, but for the dependencies.

Those come from the Python that runs the local stack: unpacking boto3 anew for every process of a function
would take a second that AWS does not take. So that it is the same code all the same, packing fails unless
what is installed is just what ``src/requirements.txt`` pins.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import zipfile
from typing import TYPE_CHECKING

from local.address import CHECKOUT, STATE_DIRECTORY

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = CHECKOUT / "src"
REQUIREMENTS = SOURCE / "requirements.txt"
PACKAGES = STATE_DIRECTORY / "functions"
_EPOCH = (1980, 1, 1, 0, 0, 0)


class PackageError(Exception):
    """The functions' code cannot be packed; the message says what to install."""


def build() -> Path:
    """Give the zip of the code as it is now, made anew only when the code changed.

    Its name holds the digest of its content, so that equal names mean equal code. Raises PackageError when a
    dependency is missing or of another version than ``src/requirements.txt`` pins.
    """
    _check_dependencies()
    files = {
        str(path.relative_to(SOURCE)): path.read_bytes()
        for path in sorted((SOURCE / "slurm_gateway").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    target = PACKAGES / f"functions-{digest.hexdigest()[:16]}.zip"
    if not target.exists():
        PACKAGES.mkdir(parents=True, exist_ok=True)
        new = target.with_suffix(".new")
        with zipfile.ZipFile(new, "w") as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
        new.replace(target)
    return target


def _check_dependencies() -> None:
    for line in REQUIREMENTS.read_text().splitlines():
        requirement = line.partition("#")[0].strip()
        if not requirement:
            continue
        pinned = re.fullmatch(r"(?P<name>[\w.-]+)(\[[\w,.-]+\])?==(?P<version>[\w.+!]+)", requirement)
        if pinned is None:
            raise PackageError(f"src/requirements.txt: {requirement!r} pins no version; write it as name==version")
        try:
            installed = importlib.metadata.version(pinned["name"])
        except importlib.metadata.PackageNotFoundError:
            installed = "not"
        if installed != pinned["version"]:
            raise PackageError(f"src/requirements.txt pins {requirement}, {installed} installed here; run `make setup`")
