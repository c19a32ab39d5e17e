"""The function behind the inbox's queue: inbox_batch.py with this environment's settings."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from . import aws, logs
from .access_document import AccessDocument
from .api_version import ApiVersions
from .cached import Cached
from .eligible_users import KEY, EligibleUsersReader
from .head_node_orders import HeadNodeOrders
from .inbox import Inbox
from .inbox_batch import InboxBatch
from .inbox_job import InboxJobs
from .inbox_objects import InboxObjects
from .inbox_rules import RuleBook
from .inbox_table import InboxTable
from .job_table import JobTable
from .keys import read_key_list
from .s3_object import S3Object
from .scripts import Scripts
from .settings import InboxSettings
from .short_tokens import ShortTokens
from .slurmrestd import Slurmrestd
from .submit_route import record_beside_answer
from .tokens import Mint
from .users import forbidden_names

if TYPE_CHECKING:
    from collections.abc import Mapping


def build(environ: Mapping[str, str]) -> InboxBatch:
    """Return the function for an environment; SettingsError if that is wrong."""
    settings = InboxSettings.from_environ(environ)
    logs.configure(settings.log_level)
    session = aws.session()
    ssm, s3, sqs, dynamodb = (aws.client(session, service) for service in ("ssm", "s3", "sqs", "dynamodb"))
    forbidden = forbidden_names(default_user_sudo=settings.default_user_sudo)
    slurmrestd = Slurmrestd(settings.slurmrestd_url, tls_name=settings.slurmrestd_tls_name)
    records = JobTable(
        dynamodb, settings.jobs_table, cluster=settings.cluster_name, keep_days=settings.job_record_days
    )  # fmt: skip
    inbox = Inbox(
        bucket=settings.bucket,
        rules=Cached(RuleBook(s3, settings.bucket, forbidden=forbidden).read).get,
        access=Cached(AccessDocument(ssm, settings.access_parameter, forbidden=forbidden).read).get,
        objects=InboxObjects(s3),
        jobs=InboxJobs(
            Scripts(s3, settings.bucket),
            cluster=settings.cluster_name,
            working_directory=settings.working_directory,
        ),
        tokens=ShortTokens(
            Mint(aws.client(session, "kms")),
            Cached(lambda: read_key_list(ssm, settings.keys_parameter)).get,
            Cached(EligibleUsersReader(S3Object(session, settings.bucket, KEY)).read).get,
            clock=time.time,
        ),
        slurmrestd=slurmrestd,
        versions=ApiVersions(slurmrestd),
        table=InboxTable(
            dynamodb, settings.inbox_table, clock=time.time, beside_answer=record_beside_answer(records)
        ),
        orders=HeadNodeOrders(sqs, settings.head_node_queue_url),
        cluster=settings.cluster_name,
        input_directory=settings.input_directory,
        clock=time.time,
        wait=time.sleep,
    )  # fmt: skip
    return InboxBatch(
        inbox,
        sqs,
        queue_url=settings.inbox_queue_url,
        dead_letters_url=settings.dead_letters_url,
        clock=time.time,
    )


handler = build(os.environ)
