"""The function behind /jobs and /scripts: its routes, with this environment's settings."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from . import aws, logs, openapi
from .api_version import ApiVersions
from .head_node_orders import HeadNodeOrders
from .idempotency import IdempotencyTable
from .job_changes import JobChanges
from .job_output import JobOutputs
from .job_reads import JobReads
from .job_table import JobTable
from .output_route import OutputRoute
from .router import Router
from .script_routes import ScriptRoutes
from .scripts import Scripts
from .settings import JobsSettings
from .slurm_jobs import SlurmJobs
from .slurmrestd import Slurmrestd
from .submit_route import SubmitRoute, record_beside_answer

if TYPE_CHECKING:
    from collections.abc import Mapping


def build(environ: Mapping[str, str]) -> Router:
    """Return the function for an environment; SettingsError if that is wrong."""
    settings = JobsSettings.from_environ(environ)
    logs.configure(settings.log_level)
    session = aws.session()
    slurmrestd = Slurmrestd(settings.slurmrestd_url, tls_name=settings.slurmrestd_tls_name)
    versions = ApiVersions(slurmrestd)
    slurm = SlurmJobs(slurmrestd, versions)
    dynamodb = aws.client(session, "dynamodb")
    table = JobTable(
        dynamodb,
        settings.jobs_table,
        cluster=settings.cluster_name,
        keep_days=settings.job_record_days,
    )
    reads = JobReads(slurm, table, settings.cluster_name)
    changes = JobChanges(slurm, reads)
    s3 = aws.client(session, "s3")
    scripts = Scripts(s3, settings.bucket)
    orders = HeadNodeOrders(aws.client(session, "sqs"), settings.head_node_queue_url)
    output = OutputRoute(reads, JobOutputs(s3, settings.bucket), orders, settings.cluster_name)
    submissions = IdempotencyTable(
        dynamodb, settings.submissions_table, clock=time.time, beside_answer=record_beside_answer(table)
    )
    submits = SubmitRoute(
        slurmrestd, versions, scripts, submissions, table,
        cluster=settings.cluster_name, working_directory=settings.working_directory,
    )  # fmt: skip
    staging = ScriptRoutes(scripts)
    return Router(
        {
            "POST /jobs": submits.submit,
            "GET /jobs": reads.page,
            "GET /jobs/openapi.json": openapi.serve,
            "GET /jobs/{id}": reads.one,
            "DELETE /jobs/{id}": changes.cancel,
            "PATCH /jobs/{id}": changes.change,
            "GET /jobs/{id}/output": output.read,
            "POST /scripts": staging.stage,
            "GET /scripts/{sha256}": staging.read,
        },
        read_log_percent=settings.read_log_percent,
    )


handler = build(os.environ)
