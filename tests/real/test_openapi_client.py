"""A client that knows nothing but slurmrestd's own OpenAPI document, fetched through the gateway.

aiopenapi3 builds its operations and models from the document, so it proves that the document, the paths in it and
the answers all come through unharmed.
"""

from typing import Any

import httpx2
from aiopenapi3 import OpenAPI

from tests.real.conftest import NATIVE_VERSION, Stack, wait_for


def of_one_version(document: dict[str, Any], version: str) -> dict[str, Any]:
    """Keep one API version's paths: the whole document describes every version three times over."""
    return document | {"paths": {path: item for path, item in document["paths"].items() if f"/{version}/" in path}}


def session(**options: Any) -> httpx2.Client:
    """Make aiopenapi3's HTTP client; it reads this function's annotation to know that it is synchronous."""
    return httpx2.Client(**{"timeout": 35, "trust_env": False} | options)


def test_client_made_from_slurmrestds_document_lists_submits_reads_and_cancels(stack: Stack) -> None:
    answer = stack.http.get(f"{stack.api}/openapi/v3", headers=stack.headers("alice"))
    assert answer.status_code == 200
    client = OpenAPI(
        f"{stack.api}/openapi/v3",
        of_one_version(answer.json(), NATIVE_VERSION),
        session_factory=session,
        use_operation_tags=False,
    )
    headers = stack.headers("alice")
    client.authenticate(user=headers["X-SLURM-USER-NAME"], token=headers["X-SLURM-USER-TOKEN"])
    operation = "slurm_" + NATIVE_VERSION.replace(".", "") + "_"

    partitions = getattr(client._, operation + "get_partitions")()
    assert [partition.name for partition in partitions.partitions] == ["queue1"]

    submit = getattr(client._, operation + "post_job_submit")
    submitted = submit(
        data={
            "job": {
                "name": "from-openapi",
                "partition": "queue1",
                "current_working_directory": "/tmp",
                "environment": ["PATH=/usr/bin:/bin"],
                "script": "#!/bin/sh\nsleep 300\n",
            }
        }
    )
    assert submitted.errors == []

    read = getattr(client._, operation + "get_job")
    job = read(parameters={"job_id": str(submitted.job_id)}).jobs[0]
    assert (job.name, job.user_name) == ("from-openapi", "alice")

    cancel = getattr(client._, operation + "delete_job")
    cancel(parameters={"job_id": str(submitted.job_id)})
    wait_for(
        lambda: "CANCELLED" in read(parameters={"job_id": str(submitted.job_id)}).jobs[0].job_state,
        "the job to be cancelled",
    )
