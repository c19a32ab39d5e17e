"""What the files service is told, beside what every service is (settings.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class FilesSettings:
    """Settings of the files service.

    `shared` are the directories that the compute nodes share with this machine. Of one job's output at most
    `output_bytes` and `output_files` are kept; `bandwidth` is in bytes a second, for all jobs together.
    """

    common: Settings
    bucket: str
    queue_url: str
    shared: tuple[str, ...]
    output_bytes: int
    output_files: int
    bandwidth: int

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> FilesSettings:
        """Take a mapping like `os.environ`; raise SettingsError naming every variable that is missing or wrong."""
        wrong: list[str] = []

        def text(name: str) -> str:
            if not environ.get(name):
                wrong.append(name)
            return environ.get(name, "")

        def number(name: str) -> int:
            value = text(name)
            if value and not (value.isdigit() and int(value) > 0):
                wrong.append(name)
            return int(value) if value.isdigit() else 0

        settings = cls(
            common=Settings.from_environ(environ),
            bucket=text("BUCKET"),
            queue_url=text("HEAD_NODE_QUEUE_URL"),
            # None may be: a head node that shares nothing collects nothing, and says so of each job.
            shared=tuple(each for each in environ.get("SHARED_DIRECTORIES", "").split(":") if each.startswith("/")),
            output_bytes=number("OUTPUT_MAX_BYTES"),
            output_files=number("OUTPUT_MAX_FILES"),
            bandwidth=number("OUTPUT_BANDWIDTH"),
        )
        if wrong:
            raise SettingsError(
                f"{', '.join(wrong)} missing or wrong: configure.sh writes /etc/slurm-gateway/settings; run it again"
            )
        return settings
