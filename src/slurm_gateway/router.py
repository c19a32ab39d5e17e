"""From a route of the API to the function that answers it, with every failure as a problem document.

API Gateway has matched the route already, so the table is a dictionary of its route keys.
"""

from __future__ import annotations

import json
import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import caller, events, metrics, problem
from .errors import UnavailableError
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .caller import Caller

_logger = logging.getLogger(__name__)
_TIMEOUT = 29.0
# What comes by itself in a moment is waited for with 503, as clients do by themselves, and is nobody's fault.
_NO_FAULTS = frozenset({"output-not-there-yet"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request by a verified caller. `line` collects what its line in the log tells.

    `ends_at` is when Lambda ends the function, answered or not (Unix seconds).
    """

    caller: Caller
    event: Mapping[str, Any] = field(repr=False)
    line: dict[str, Any] = field(default_factory=dict)
    ends_at: float = 0.0

    def path_parameter(self, name: str) -> str:
        """Return what stands in the path for a variable of the route."""
        return events.path_parameter(self.event, name)

    def query(self) -> list[tuple[str, str]]:
        """Return the query's pairs as they were sent; Problem 400 if there are too many to read."""
        try:
            return events.query(self.event)
        except ValueError as exc:
            raise _unreadable(f"The query cannot be read: {exc}") from exc

    def headers(self) -> dict[str, str]:
        """Return the headers by lower-case name."""
        return events.headers(self.event)

    def body(self) -> bytes:
        """Return the body; Problem 400 if it is not what the event says it is."""
        try:
            return events.body(self.event)
        except ValueError as exc:
            raise _unreadable("The body is not the base64 that it says it is") from exc


Response = dict[str, Any]
"""API Gateway's response: statusCode, headers, body."""


class Router:
    """Answers API Gateway's events by a table of route keys such as "GET /jobs/{id}".

    Of the reads that go well `read_log_percent` have a line in the log; all else has one always.
    """

    def __init__(self, routes: Mapping[str, Callable[[Request], Response]], *, read_log_percent: int = 100) -> None:
        self._routes = dict(routes)
        self._read_log_share = read_log_percent / 100

    def __call__(self, event: Mapping[str, Any], context: object = None) -> Response:
        """Take API Gateway's event; return its response, whatever happens."""
        line: dict[str, Any] = {"route": event.get("routeKey"), **events.origin(event)}
        started = time.perf_counter()
        try:
            response = self._answer(event, line, _ends_at(context))
        except Problem as exc:
            line["reason"] = exc.kind
            if exc.kind not in _NO_FAULTS:
                metrics.answered(exc.status, exc.kind, request_id=events.request_id(event))
            if "slurm" in exc.members:
                line["slurm_error"] = exc.members["slurm"].get("error_number")
            response = exc.response(events.request_id(event))
        except UnavailableError as exc:
            line["error"] = str(exc)
            metrics.answered(503, "unavailable", request_id=events.request_id(event))
            response = problem.unavailable("What this needs of AWS gives no answer now").response(
                events.request_id(event)
            )
        except Exception:
            _logger.exception("unexpected error", extra=line)
            metrics.answered(500, "unexpected", request_id=events.request_id(event))
            return problem.unexpected().response(events.request_id(event))
        line |= {"status": response["statusCode"], "ms": round((time.perf_counter() - started) * 1000, 1)}
        if self._is_logged(str(line["route"]), response["statusCode"]):
            is_fault = response["statusCode"] >= 500 and line.get("reason") not in _NO_FAULTS
            _logger.log(logging.ERROR if is_fault else logging.INFO, "answered", extra=line)
        return response

    def _is_logged(self, route: str, status: int) -> bool:
        is_read = route.startswith("GET ") and status < 400
        return not is_read or random.random() < self._read_log_share  # noqa: S311 - a sample, no secret

    def _answer(self, event: Mapping[str, Any], line: dict[str, Any], ends_at: float) -> Response:
        request = Request(caller.of_event(event), event, line, ends_at)
        line |= {"user": request.caller.user, "jti": request.caller.token_id}
        route = self._routes.get(str(event.get("routeKey", "")))
        if route is None:
            raise Problem(
                404,
                "no-such-route",
                title="No such route",
                detail="This function does not answer this route. GET /jobs/openapi.json describes those it does.",
            )
        return route(request)


def _ends_at(context: object) -> float:
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    # Who calls without Lambda's context has the time that template.yaml gives.
    return time.time() + (remaining() / 1000 if remaining else _TIMEOUT)


def json_response(status: int, document: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with a JSON body, which no cache may keep unless `headers` says otherwise."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
        "body": json.dumps(document, separators=(",", ":")),
    }


def _unreadable(what: str) -> Problem:
    return Problem(
        400, "request-not-readable", title="Request cannot be read", detail=f"{what}. Mend it and send it again."
    )
