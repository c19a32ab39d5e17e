"""ParallelCluster's own schema over a cluster configuration on standard input; prints what it refuses, as a JSON list.

It runs in the Python that has ``aws-parallelcluster``, and needs no account: ``python -m local.cluster_schema NAME``.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def faults(config: dict[str, Any], cluster: str) -> list[str]:
    """Give what ParallelCluster says against a configuration for a cluster of that name; nothing where it takes it."""
    from marshmallow import ValidationError
    from pcluster.schemas.cluster_schema import ClusterSchema
    from pcluster.validators import slurm_settings_validator as slurm

    found = []
    try:
        ClusterSchema(cluster_name=cluster).load(config)
    except ValidationError as exc:
        found = [str(exc)]
    denied = slurm.CustomSlurmSettingsValidator().execute(
        custom_settings=config["Scheduling"]["SlurmSettings"]["CustomSlurmSettings"],
        deny_list=slurm.SLURM_SETTINGS_DENY_LIST["SlurmConf"]["Global"],
        settings_level=slurm.CustomSlurmSettingLevel.SLURM_CONF,
    )
    return found + [failure.message for failure in denied]


def main() -> int:
    """Check standard input; give the exit status."""
    import yaml

    print(json.dumps(faults(yaml.safe_load(sys.stdin), sys.argv[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
