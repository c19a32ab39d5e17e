"""Tokens kept between two runs, in the user's cache folder, readable by nobody else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SUFFIX = ".json"


def folder(environ: Mapping[str, str]) -> Path | None:
    """Return this package's folder among the user's caches (XDG base directories; macOS and Windows have their own).

    None for a user without a home, as a container's may be.
    """
    base = ""
    if sys.platform == "win32":
        base, below = environ.get("LOCALAPPDATA", ""), "AppData/Local"
    elif sys.platform == "darwin":
        below = "Library/Caches"
    else:
        base, below = environ.get("XDG_CACHE_HOME", ""), ".cache"
        base = base if base.startswith("/") else ""
    try:
        return (Path(base) if base else Path.home() / below) / "slurm-gateway"
    except RuntimeError:
        return None


class TokenCache:
    """The place of one token. `identity` is all that decides whose token it is: another one has another place."""

    def __init__(self, directory: Path, identity: tuple[str, ...], clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._clock = clock
        name = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:32]
        self._file = directory / (name + _SUFFIX)

    def read(self) -> Token | None:
        """Return the token, unless it has expired or the file is not this user's own."""
        try:
            with self._file.open() as file:
                if not _is_private(os.fstat(file.fileno())):
                    return None
                kept = json.load(file)
            token = Token(str(kept["token"]), str(kept["user"]), float(kept["expires_at"]), float(kept["made_at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return token if token.expires_at > self._clock() else None

    def write(self, token: Token) -> None:
        """Keep a token. A folder that cannot be written to costs a request next time, and no more."""
        kept = {"token": token.text, "user": token.user, "expires_at": token.expires_at, "made_at": token.made_at}
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._drop_expired()
            # mkstemp makes it readable by its owner only; renamed, a reader sees all of it or the one before.
            handle, name = tempfile.mkstemp(dir=self._directory, suffix=".new")
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump(kept, file)
                Path(name).replace(self._file)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise

    def _drop_expired(self) -> None:
        for file in self._directory.glob("*" + _SUFFIX):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                if float(json.loads(file.read_text())["expires_at"]) <= self._clock():
                    file.unlink()


def forget(directory: Path) -> int:
    """Remove every token that is kept, and return how many there were."""
    files = list(directory.glob("*" + _SUFFIX))
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def _is_private(status: os.stat_result) -> bool:
    if sys.platform == "win32":
        return True
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077
