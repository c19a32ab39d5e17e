"""A template deployed by CloudFormation in the AWS emulator, and what became of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local import aws_emulator, principals
from local.aws_emulator import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping

ARTIFACTS_BUCKET = "slurm-gateway-artifacts"
"""What CloudFormation fetches, as ``sam deploy`` keeps it: apart from the project's own bucket."""

TIMEOUT = 120.0
POLL_INTERVAL = 0.1
TEMPLATE_BODY_LIMIT = 51_200


class StackError(Exception):
    """A stack that could not be deployed; the message holds CloudFormation's own reasons."""


def deploy(stack: str, body: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Create or update a stack, wait for it, and give its outputs.

    Takes its name, the template's text and its parameters, where not the defaults. A stack whose creation
    failed is deleted first; nothing happens where nothing changed. Raises StackError.
    """
    cloudformation = aws_emulator.client("cloudformation", principals.administrator())
    present = _describe(cloudformation, stack)
    if present is not None and present["StackStatus"] in (
        "ROLLBACK_COMPLETE",
        "ROLLBACK_FAILED",
        "CREATE_FAILED",
    ):
        cloudformation.delete_stack(StackName=stack)
        _wait(cloudformation, stack, ("DELETE_COMPLETE",))
        present = None
    request = {
        "StackName": stack,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        **_template_source(stack, body),
    }
    try:
        if present is None or present["StackStatus"] == "DELETE_COMPLETE":
            cloudformation.create_stack(**request)
        else:
            cloudformation.update_stack(**request)
    except ClientError as exc:
        message = exc.response["Error"]["Message"]
        if "No updates are to be performed" not in message:
            raise StackError(f"{stack}: {message}") from exc
    _wait(cloudformation, stack, ("CREATE_COMPLETE", "UPDATE_COMPLETE"))
    return outputs_of(stack)


def _template_source(stack: str, body: str) -> dict[str, str]:
    if len(body.encode()) <= TEMPLATE_BODY_LIMIT:
        return {"TemplateBody": body}
    s3 = aws_emulator.client("s3", principals.administrator())
    s3.create_bucket(Bucket=ARTIFACTS_BUCKET)
    key = f"{stack}.template"
    s3.put_object(Bucket=ARTIFACTS_BUCKET, Key=key, Body=body.encode())
    # With the bucket in the path: ministack 1.5.33 does not find it in the name.
    return {"TemplateURL": f"https://s3.{REGION}.amazonaws.com/{ARTIFACTS_BUCKET}/{key}"}


def _describe(cloudformation: Any, stack: str) -> dict[str, Any] | None:  # noqa: ANN401 (boto3 has no types)
    try:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as exc:
        if "does not exist" not in exc.response["Error"]["Message"]:
            raise
        return None
    return found


def _wait(cloudformation: Any, stack: str, wanted: tuple[str, ...]) -> None:  # noqa: ANN401
    deadline = time.monotonic() + TIMEOUT
    while True:
        found = _describe(cloudformation, stack)
        status = "DELETE_COMPLETE" if found is None else str(found["StackStatus"])
        if status in wanted:
            return
        if not status.endswith("_IN_PROGRESS"):
            raise StackError(f"{stack} is {status}:\n{_reasons(cloudformation, stack)}")
        if time.monotonic() > deadline:
            raise StackError(f"{stack} is still {status} after {TIMEOUT:g} s")
        time.sleep(POLL_INTERVAL)


def _reasons(cloudformation: Any, stack: str) -> str:  # noqa: ANN401
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    return "\n".join(
        f"  {event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', '?')}"
        for event in failed
    )


def outputs_of(stack: str) -> dict[str, str]:
    """Give the outputs of a deployed stack; raises StackError where it is not deployed."""
    found = _describe(aws_emulator.client("cloudformation", principals.administrator()), stack)
    if found is None:
        raise StackError(f"the stack {stack} is not deployed; run `make up`")
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
