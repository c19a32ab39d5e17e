"""The way from an object to a function that works on it, where ministack 1.5.33 goes it otherwise than AWS.

the event of S3             lacks the object's version, which AWS names where the bucket has versions
EventBridge to SQS          asks nobody; AWS asks the queue's policy, and drops what that does not allow
queues in memory            are rebuilt by one thread while another adds to them, and what was added is lost; and
                            every message is looked at for each one that is received
MaximumConcurrency          of a template's parameter is text here, and no number: nothing is delivered
"""

from __future__ import annotations

import functools
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from ministack.services import eventbridge, s3, sqs
from ministack.services.cloudformation import provisioners

if TYPE_CHECKING:
    from collections.abc import Callable

_EVENTS = "events.amazonaws.com"
_MAPPING = "AWS::Lambda::EventSourceMapping"


def correct() -> None:
    """Put the corrections into ministack, in this process."""
    _name_versions()
    _ask_queue_policies()
    _keep_messages()
    _read_numbers()


def _name_versions() -> None:
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event
    version = threading.local()

    def firing(*arguments: Any, **named: Any) -> None:  # noqa: ANN401 (ministack's own, passed on)
        version.of_object = named.get("version_id")
        try:
            fire(*arguments, **named)
        finally:
            version.of_object = None

    def dispatching(event: dict[str, Any], view: object = None) -> None:
        if event.get("Source") == "aws.s3" and getattr(version, "of_object", None):
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version.of_object
            event, view = {**event, "Detail": json.dumps(detail)}, None
        dispatch(event, view)

    s3._fire_s3_event = firing
    eventbridge._dispatch_event = dispatching


def _ask_queue_policies() -> None:
    invoke, to_queue = eventbridge._invoke_target, eventbridge._dispatch_to_sqs
    rule_of = threading.local()

    def invoking(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: object = None) -> None:
        rule_of.arn = rule.get("Arn", "")
        invoke(target, event, rule, view)

    def delivering(spec: Any, payload: str, parameters: dict[str, Any] | None = None) -> None:  # noqa: ANN401
        if sqs.queue_policy_allows(str(spec), _EVENTS, rule_of.arn, spec.account_id):
            with sqs._queues_lock:
                to_queue(spec, payload, parameters)
        else:
            eventbridge.logger.warning("EventBridge: the policy of %s does not let %s send", spec, rule_of.arn)

    eventbridge._invoke_target = invoking
    eventbridge._dispatch_to_sqs = delivering


def _keep_messages() -> None:
    sqs._queues_lock = threading.RLock()

    def locked(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            with sqs._queues_lock:
                return function(*arguments, **named)

        return call

    changing = ("_act_send_message", "_act_delete_message", "_act_purge_queue", "_expire_retained", "_dlq_sweep")
    for name in changing:
        setattr(sqs, name, locked(getattr(sqs, name)))
    for action in ("SendMessage", "DeleteMessage", "SendMessageBatch", "DeleteMessageBatch", "PurgeQueue"):
        sqs._HANDLERS[action] = locked(sqs._HANDLERS[action])
    collect = sqs._collect_msgs

    def collecting(queue: dict[str, Any], most: int, visibility: int) -> list[dict[str, Any]]:
        if queue["is_fifo"]:
            found: list[dict[str, Any]] = collect(queue, most, visibility)
            return found
        return _receive(queue["messages"], most, visibility)

    sqs._collect_msgs = locked(collecting)


def _receive(messages: list[dict[str, Any]], most: int, visibility: int) -> list[dict[str, Any]]:
    """Receive from a standard queue as ministack does, without a look at messages behind the last one received."""
    now = time.time()
    received: list[dict[str, Any]] = []
    for message in messages:
        if len(received) == most:
            break
        if message.get("visible_at", 0) <= now:
            sqs._ensure_msg_fields(message)
            message["receipt_handle"] = sqs.new_uuid()
            message["visible_at"] = now + visibility
            message["receive_count"] += 1
            message["first_receive_at"] = message.get("first_receive_at") or now
            received.append(message)
    return received


def _read_numbers() -> None:
    mapping = provisioners._RESOURCE_HANDLERS[_MAPPING]
    for step in ("create", "update"):
        provision = mapping[step]

        def provisioned(*arguments: Any, _provision: Callable[..., Any] = provision, **named: Any) -> Any:  # noqa: ANN401
            return _provision(*(_numbers(each) for each in arguments), **named)

        mapping[step] = provisioned


def _numbers(properties: object) -> object:
    if not isinstance(properties, dict) or "ScalingConfig" not in properties:
        return properties
    scaling = {name: int(value) for name, value in properties["ScalingConfig"].items()}
    return {**properties, "BatchSize": int(properties.get("BatchSize", 10)), "ScalingConfig": scaling}
