"""What configure.sh wrote to /etc/slurm-gateway/settings, which systemd gives the services as their environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_DIRECTORY = Path("/var/lib/slurm-gateway")
ENDS_DIRECTORY = STATE_DIRECTORY / "ends"
"""One file a job's end, from the feed service to the files service; each holds the event's detail as JSON."""


class SettingsError(Exception):
    """The environment is wrong; the message names every variable that is, and what to do."""


@dataclass(frozen=True)
class Settings:
    """What every service of this package is told.

    `cluster` is Slurm's ClusterName, `event_bus` the name of the bus; the directories are Slurm's own. `accounting`
    says whether the cluster has slurmdbd.
    """

    region: str
    cluster: str
    event_bus: str
    slurm_prefix: Path
    slurm_etc: Path
    slurmrestd_address: str
    slurmrestd_port: int
    accounting: bool

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Take a mapping like `os.environ`; raise SettingsError naming every variable that is missing."""
        missing: list[str] = []

        def value(name: str) -> str:
            if not environ.get(name):
                missing.append(name)
            return environ.get(name, "")

        settings = cls(
            region=value("AWS_REGION"),
            cluster=value("CLUSTER_NAME"),
            event_bus=value("EVENT_BUS"),
            slurm_prefix=Path(value("SLURM_PREFIX")),
            slurm_etc=Path(value("SLURM_ETC")),
            slurmrestd_address=value("SLURMRESTD_ADDRESS"),
            slurmrestd_port=int(value("PORT") or 0),
            accounting=value("ACCOUNTING") == "yes",
        )
        if missing:
            raise SettingsError(
                f"{', '.join(missing)} not set: configure.sh writes /etc/slurm-gateway/settings; run it again"
            )
        return settings

    def command(self, name: str) -> str:
        """Return the path of one of Slurm's commands, such as squeue."""
        return str(self.slurm_prefix / "bin" / name)
