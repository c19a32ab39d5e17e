"""The canary: a job of its own, all the way in and out, as a user without privileges.

It goes in by the API's front door as any client does, and proves each part in turn: IAM and KMS by the token, the edge
and the jobs function by the submit and the read, the VPC link by slurmrestd's own answer. The job is held, so that it
never starts a node, and cancelled at the end.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from urllib3.exceptions import HTTPError

from . import metrics
from .errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.credentials import Credentials

_logger = logging.getLogger(__name__)

SCRIPT = b"""#!/bin/sh
#SBATCH --job-name=slurm-gateway-canary --hold --time=1 --chdir=/ --output=/dev/null
true
"""
_TIMEOUT = urllib3.Timeout(connect=3, read=31)
_SECONDS_A_DAY = 86400


class StepFailedError(Exception):
    """A step did not get the answer it should; `step` is one of a few fixed words."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


@dataclass(frozen=True, slots=True)
class Canary:
    """One way through the API. `credentials` are its own role's, `key_age` gives the signing key's, in days."""

    api_url: str
    region: str
    credentials: Callable[[], Credentials]
    key_age: Callable[[], float]
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(timeout=_TIMEOUT, retries=False))

    def __call__(self, event: dict[str, Any], _context: object = None) -> dict[str, Any]:
        """Go the way once; `event` is the scheduler's, and its id makes a repeated one the same submit.

        Returns what was seen. It does not raise when a step fails: Lambda would go the way twice more.
        """
        started = time.perf_counter()
        seen: dict[str, Any] = {"steps": {}}
        try:
            self._go(str(event["id"]), seen)
        except StepFailedError as exc:
            seen |= {"failed": exc.step, "why": str(exc)}
            _logger.error("canary failed", extra=seen)
            metrics.emit({"CanaryFailures": 1}, by={"Step": exc.step}, why=str(exc))
        else:
            duration = round((time.perf_counter() - started) * 1000, 1)
            _logger.info("canary came through", extra=seen)
            metrics.emit({"CanaryFailures": 0, "CanaryDuration": duration}, job=seen["job"])
        self._tell_key_age()
        return seen

    def _go(self, key: str, seen: dict[str, Any]) -> None:
        steps = seen["steps"]
        token = self._step(steps, "token", "POST", "/token", sign=True)
        headers = {"X-SLURM-USER-NAME": token["user"], "X-SLURM-USER-TOKEN": token["token"]}
        seen["user"] = token["user"]
        checked = self._step(steps, "check", "POST", "/jobs?dry_run=true", headers, SCRIPT)
        submit = {**headers, "Idempotency-Key": f"canary-{key}"}
        seen["job"] = self._step(steps, "submit", "POST", "/jobs", submit, SCRIPT)["id"]
        try:
            job = self._step(steps, "read", "GET", f"/jobs/{seen['job']}", headers)
            if job["state"] != "PENDING" or job["user"] != token["user"]:
                raise StepFailedError("read", f"the held job reads as {job['state']} of {job['user']}")
            # Past all functions, by the VPC link: what nobody uses for 60 days AWS takes down.
            native = f"/slurm/{checked['api_version']}/job/{seen['job']}"
            if not self._step(steps, "native", "GET", native, headers).get("jobs"):
                raise StepFailedError("native", "slurmrestd does not show the job that the jobs function shows")
        finally:
            job = self._step(steps, "cancel", "DELETE", f"/jobs/{seen['job']}", headers)
        if job["state"] != "CANCELLED":
            raise StepFailedError("cancel", f"the cancelled job reads as {job['state']}")

    def _step(
        self, steps: dict[str, float], step: str, method: str, path: str,
        headers: dict[str, str] | None = None, body: bytes = b"", *, sign: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        url = self.api_url + path
        headers = dict(headers or {})
        if sign:
            request = AWSRequest(method=method, url=url, data=body, headers=headers)
            SigV4Auth(self.credentials(), "execute-api", self.region).add_auth(request)
            headers = dict(request.headers)
        started = time.perf_counter()
        try:
            answer = self.http.request(method, url, body=body, headers=headers)
        except HTTPError as exc:
            raise StepFailedError(step, f"{method} {path}: {type(exc).__name__}") from exc
        steps[step] = round((time.perf_counter() - started) * 1000, 1)
        if not 200 <= answer.status < 300:
            # An error's body has no token in it.
            said = answer.data[:600].decode(errors="replace")
            raise StepFailedError(step, f"{method} {path} was answered {answer.status}: {said}")
        try:
            document = json.loads(answer.data)
        except ValueError as exc:
            raise StepFailedError(step, f"{method} {path} was answered {answer.status}, and not with JSON") from exc
        if not isinstance(document, dict):
            # A change that is done and cannot be shown is answered 202 with null.
            raise StepFailedError(step, f"{method} {path} was answered {answer.status}, and not with a JSON object")
        return document

    def _tell_key_age(self) -> None:
        try:
            metrics.emit({"SigningKeyAgeDays": round(self.key_age(), 2)})
        except UnavailableError as exc:
            _logger.error("the signing key's age is not known", extra={"error": str(exc)})


def age_in_days(created: float, now: float) -> float:
    """Return how many days lie between two times in Unix seconds."""
    return (now - created) / _SECONDS_A_DAY
