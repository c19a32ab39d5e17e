"""ministack as this stack runs it: the server process, with what ministack 1.5.33 lacks put around it.

``python -m local.aws_emulator_app`` is started by local/aws_emulator.py, which sets its environment. What is
added, each because of a gap in ministack:

* ministack takes the keys ``test`` and every 12-digit number for root, checks no signature of root's, answers
  unsigned S3 requests as root, and resets itself for anyone: such requests are refused here.
* A policy that demands TLS (``aws:SecureTransport``) would refuse everybody on plain HTTP. Loopback stands
  for TLS: requests are taken as come by HTTPS.
* A gateway verifies SigV4, but no AWS API gives it the secret of an access key: ``/_local/identity`` does,
  and ``/_local/allowed`` evaluates the caller's policies. ``/_local/save`` writes the state,
  ``/_local/stacks/NAME`` tells what CloudFormation recorded, ``/_local/functions/NAME`` the credentials a
  function runs with, and ``/_local/faults`` puts a service into trouble (local/aws_faults.py). They ask for root's
  secret.
* Its CloudFormation lacks some resource types, and its IAM some condition keys: see
  local/cloudformation_types.py and local/iam_conditions.py.
* What it does otherwise than AWS between an object and a function: see local/event_path.py. Metrics that functions
  write into their logs: see local/embedded_metrics.py.
* It forgets STS sessions when it stops. Here they are stored with the rest, for the head node has one.
* It waits 50 ms for log lines of a function that wrote none, at every call. Here it waits 10 ms.
* The death of one process of a function ends all its processes. Here it ends that one, as on AWS.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import json
import logging
import os
import secrets
import signal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack import app as ministack
from ministack.core import iam_evaluator, lambda_runtime, persistence, responses, router
from ministack.services import cloudformation, dynamodb, lambda_svc, sts

from local import aws_faults, cloudformation_types, embedded_metrics, event_path, iam_conditions
from local.aws_emulator import ACCOUNT, REGION, SECRET_HEADER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

HEALTH = "/_ministack/health"
BODY_LIMIT = 64 * 1024


class AdministrationError(Exception):
    """A request to ``/_local/`` that cannot be answered, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        """Take the HTTP status and a message that says what is wrong."""
        super().__init__(message)
        self.status = status


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one ASGI connection: our own paths here, the AWS APIs by ministack."""
    if scope["type"] != "http":
        if scope["type"] == "lifespan":
            await ministack.app(scope, receive, send)
        return
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["path"]
    if path == HEALTH:
        await ministack.app(scope, receive, send)
    elif path.startswith("/_local/"):
        await _administration(path, headers, receive, send)
    elif path.startswith(("/_ministack/", "/_localstack/")):
        await _answer(send, 403, {"message": f"{path} is closed in this stack"})
    elif not _is_own_key(_access_key_id(scope, headers)):
        await _refuse(scope, headers, send)
    elif failing := await aws_faults.answer(
        router.detect_service(scope["method"], path, headers, _query(scope)), _access_key_id(scope, headers), headers
    ):
        await _send(scope, failing, send)
    else:
        kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"x-forwarded-proto"]
        forwarded = {**scope, "headers": [*kept, (b"x-forwarded-proto", b"https")]}
        await ministack.app(forwarded, receive, send)


def _query(scope: Scope) -> dict[str, list[str]]:
    return parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)


def _access_key_id(scope: Scope, headers: dict[str, str]) -> str:
    return str(router.extract_access_key_id(headers, _query(scope)) or "")


async def _refuse(scope: Scope, headers: dict[str, str], send: Send) -> None:
    """Answer as AWS answers a key that it does not know, in the protocol of the service that was called."""
    service = router.detect_service(scope["method"], scope["path"], headers, _query(scope))
    unknown = iam_evaluator.AuthError("InvalidClientTokenId", "The security token included in the request is invalid.")
    await _send(scope, ministack._credential_failure(service, "", secrets.token_hex(16), unknown, headers), send)


async def _send(scope: Scope, answer: tuple[int, dict[str, Any], bytes], send: Send) -> None:
    status, answered, body = answer
    lines = [(name.lower().encode(), value.encode()) for name, value in answered.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _is_own_key(access_key_id: str) -> bool:
    """Tell whether ministack may see a key at all: root's configured one, or one that is not root's."""
    return access_key_id == os.environ["AWS_ACCESS_KEY_ID"] or not iam_evaluator.is_root_access_key(access_key_id)


async def _administration(path: str, headers: dict[str, str], receive: Receive, send: Send) -> None:
    try:
        if not hmac.compare_digest(headers.get(SECRET_HEADER, ""), os.environ["AWS_SECRET_ACCESS_KEY"]):
            raise AdministrationError(403, f"{path} needs root's secret in {SECRET_HEADER}")
        responses.set_request_account_id(ACCOUNT)
        responses.set_request_region(REGION)
        answer = await asyncio.to_thread(_administer, path, await _read_json(receive))
    except AdministrationError as exc:
        await _answer(send, exc.status, {"message": str(exc)})
    else:
        await _answer(send, 200, answer)


def _administer(path: str, body: dict[str, Any]) -> dict[str, Any]:
    match path.split("/")[2:]:
        case ["identity"]:
            return _identity(str(body["access_key_id"]), body.get("session_token"))
        case ["allowed"]:
            return {"allowed": _allowed(str(body["access_key_id"]), str(body["action"]), str(body["resource"]))}
        case ["stacks", name]:
            return _stack(unquote(name))
        case ["functions", name]:
            return _function_credentials(unquote(name))
        case ["faults"]:
            aws_faults.put(
                str(body["service"]), str(body["code"]), int(body.get("status", 400)), float(body.get("seconds", 0))
            )
            return {}
        case ["save"]:
            persistence.save_all(ministack._build_persistence_save_dict())
            return {}
        case _:
            raise AdministrationError(404, f"there is no {path}")


def _identity(access_key_id: str, session_token: str | None) -> dict[str, Any]:
    """Find whose key this is: nobody's where it is unknown, inactive, expired, root's or lacks its token."""
    if iam_evaluator.is_root_access_key(access_key_id):
        return {"identity": None}
    found = iam_evaluator.resolve_credential(access_key_id, ACCOUNT, session_token or "")
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        return {"identity": None}
    return {
        "identity": {
            "arn": found.principal_arn,
            "user_id": found.principal_id,
            "account": found.account_id,
            "secret": found.secret_access_key,
        }
    }


def _allowed(access_key_id: str, action: str, resource: str) -> bool:
    """Evaluate the policies of a key's principal, boundary and session policies included, for one action."""
    principal = iam_evaluator.resolve_principal(access_key_id, ACCOUNT)
    if isinstance(principal, iam_evaluator.AuthError) or principal.policies is None:
        return False
    context = iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=action,
        resource_arn=resource,
        region=REGION,
        secure_transport=True,
        principal_keys=principal.keys,
    )
    decision = iam_evaluator.evaluate(context, principal.policies, *principal.limits)
    return bool(decision.decision == "Allow")


def _stack(name: str) -> dict[str, Any]:
    """Give what CloudFormation knows of a stack's resources: Ref's value and the attributes of each."""
    stack = cloudformation._stacks.get(name)
    if stack is None:
        raise AdministrationError(404, f"there is no stack {name}")
    return {
        "resources": {
            logical_id: {
                "type": resource.get("ResourceType"),
                "ref": resource.get("PhysicalResourceId"),
                "attributes": resource.get("Attributes", {}),
            }
            for logical_id, resource in stack.get("_resources", {}).items()
        },
        "exports": {key: value.get("Value") for key, value in cloudformation._exports.items()},
    }


def _function_credentials(name: str) -> dict[str, Any]:
    """Give the session that ministack starts a function's processes with."""
    record = lambda_svc._functions.get(name)
    if record is None:
        raise AdministrationError(404, f"there is no function {name}")
    given = lambda_runtime.execution_credentials(record["config"])
    return {
        "access_key_id": given["AWS_ACCESS_KEY_ID"],
        "secret_access_key": given["AWS_SECRET_ACCESS_KEY"],
        "session_token": given["AWS_SESSION_TOKEN"],
    }


async def _read_json(receive: Receive) -> dict[str, Any]:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            raise AdministrationError(413, f"the body is longer than {BODY_LIMIT} bytes")
        if not message.get("more_body"):
            break
    try:
        parsed = json.loads(body or b"{}")
    except ValueError as exc:
        raise AdministrationError(400, f"the body is not JSON: {exc}") from exc
    if not isinstance(parsed, dict):
        raise AdministrationError(400, "the body is not a JSON object")
    return parsed


async def _answer(send: Send, status: int, body: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body, default=str).encode()})


def _keep_sessions() -> None:
    def restore(data: dict[str, Any]) -> None:
        sts._sessions.update(data.get("sessions", {}))

    sts.get_state = lambda: {"sessions": dict(sts._sessions)}
    sts.load_persisted_state = restore


def _wait_less_for_logs() -> None:
    # First line, quiescence after a line, and the longest wait, in seconds.
    lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (0.010, 0.005, 0.250)


def _read_conditions_once() -> None:
    """Have the grammar of a condition checked once, and not again for each item of a table that it is asked of."""
    check = functools.lru_cache(maxsize=1024)(dynamodb._condition_syntax_error)
    dynamodb._condition_syntax_error = check


def _end_one_environment_at_a_time() -> None:
    """Let the death of a function's process end that process alone, as on AWS.

    Otherwise it ends every process of the function, also those that are just starting, whose deaths then do the same:
    under load one death is the first of many, without end.
    """
    invoke = lambda_runtime.Worker.invoke

    def invoke_alone(worker: Any, *arguments: Any, **named: Any) -> dict[str, Any]:  # noqa: ANN401 - ministack's own
        try:
            result: dict[str, Any] = invoke(worker, *arguments, **named)
        except Exception as exc:
            logging.getLogger("lambda").exception("a process of %s died", worker.func_name)
            lambda_runtime.kill_workers([worker])  # it starts anew when it is next asked
            return {"status": "error", "error": f"{type(exc).__name__}: {exc}"}
        return result

    lambda_runtime.Worker.invoke = invoke_alone


async def _serve() -> None:
    config = Config()
    config.bind = [f"{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # A graceful end matters: ministack writes its state in it.
    await serve(app, config, shutdown_trigger=stopping.wait)  # type: ignore[arg-type]


if __name__ == "__main__":
    cloudformation_types.register()
    iam_conditions.correct()
    event_path.correct()
    embedded_metrics.read()
    _keep_sessions()
    _wait_less_for_logs()
    _read_conditions_once()
    _end_one_environment_at_a_time()
    asyncio.run(_serve())
