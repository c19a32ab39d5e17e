"""The function behind /jobs and /scripts: its routes, with this environment's settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import aws, logs, openapi
from .api_version import ApiVersions
from .job_changes import JobChanges
from .job_reads import JobReads
from .job_table import JobTable
from .router import Router
from .settings import JobsSettings
from .slurm_jobs import SlurmJobs
from .slurmrestd import Slurmrestd

if TYPE_CHECKING:
    from collections.abc import Mapping


def build(environ: Mapping[str, str]) -> Router:
    """Return the function for an environment; SettingsError if that is wrong."""
    settings = JobsSettings.from_environ(environ)
    logs.configure(settings.log_level)
    session = aws.session()
    slurmrestd = Slurmrestd(settings.slurmrestd_url, tls_name=settings.slurmrestd_tls_name)
    slurm = SlurmJobs(slurmrestd, ApiVersions(slurmrestd))
    table = JobTable(
        aws.client(session, "dynamodb"),
        settings.jobs_table,
        cluster=settings.cluster_name,
        keep_days=settings.job_record_days,
    )
    reads = JobReads(slurm, table, settings.cluster_name)
    changes = JobChanges(slurm, reads)
    return Router(
        {
            "GET /jobs": reads.page,
            "GET /jobs/openapi.json": openapi.serve,
            "GET /jobs/{id}": reads.one,
            "DELETE /jobs/{id}": changes.cancel,
            "PATCH /jobs/{id}": changes.change,
        }
    )


handler = build(os.environ)
