"""slurmrestd, called with the caller's own token.

One request, one try: who calls decides whether a second one is safe. A request that fails is told apart by
whether it may have been carried out (slurm_errors.py).
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from . import metrics
from .errors import ApiVersionGoneError
from .slurm_errors import SlurmError, SlurmOutcomeUnknown, SlurmProblem, SlurmRefused, SlurmUnreachable, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .caller import Caller

_logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 2.0
# API Gateway waits 30 s; what is left of them is for the answer.
READ_TIMEOUT = 20.0
# slurmrestd waits for a slurmctld that is down far longer than anybody would for a look at a job.
LOOK_TIMEOUT = 8.0
# The load balancer closes what is idle for 40 s. A function that was frozen for longer would not have noticed.
_IDLE_LIMIT = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of slurmrestd that is no failure: its document, and what Slurm said beside it.

    `release` is Slurm's, such as "24.11.5", and `cluster` the cluster's name; "" where an answer lacks it.
    """

    status: int
    document: dict[str, Any] = field(repr=False)
    errors: tuple[SlurmError, ...] = ()
    warnings: tuple[str, ...] = ()
    release: str = ""
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What slurmrestd answers to a submit: the job's id and what Slurm wants the submitter to know."""

    job_id: int
    cluster: str
    messages: tuple[str, ...] = ()


class Slurmrestd:
    """A client that keeps its connections.

    `base_url` leads to the load balancer. `tls_name` is the name in its certificate where that is not the URL's.
    """

    def __init__(self, base_url: str, *, tls_name: str = "", wall_clock: Callable[[], float] = time.time) -> None:
        self._url = urlsplit(base_url)
        self._tls_name = tls_name or None
        self._pool = self._new_pool()
        self._wall_clock = wall_clock
        self._used_at = 0.0
        self.release = ""
        self.cluster = ""

    def call(
        self,
        caller: Caller,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        read_timeout: float | None = None,
        changes: bool = False,
    ) -> Answer:
        """Send one request and return its answer, whose errors may be many where Slurm went on all the same.

        `path` is like "/slurm/v0.0.42/job/12", quoted. Raises SlurmRefused, SlurmUnreachable, SlurmOutcomeUnknown,
        or ApiVersionGoneError where slurmrestd has no such path. A look has no outcome that could be unknown: it
        raises SlurmUnreachable instead. `changes` tells of a GET that is none.
        """
        looks = method == "GET" and not changes
        timeout = read_timeout or (LOOK_TIMEOUT if looks else READ_TIMEOUT)
        headers = caller.headers()
        data: bytes | None = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
            headers["Content-Type"] = "application/json"
        url = f"{path}?{urlencode(query)}" if query else path
        started, failures = time.perf_counter(), 0
        try:
            return self._read(self._send(method, url, data, headers, timeout))
        except SlurmOutcomeUnknown as exc:
            failures = 1
            if looks:
                raise _not_answered(exc) from exc
            raise
        except SlurmUnreachable:
            failures = 1
            raise
        finally:
            taken = round((time.perf_counter() - started) * 1000, 1)
            metrics.emit({"SlurmrestdLatency": taken, "SlurmrestdFailures": failures}, request_id=caller.request_id)

    def submit(self, caller: Caller, version: str, body: object, *, read_timeout: float = READ_TIMEOUT) -> Submitted:
        """Submit what sbatch.translate made for an API version; raise as `call` does."""
        answer = self.call(caller, "POST", f"/slurm/{version}/job/submit", body=body, read_timeout=read_timeout)
        job_id = _job_id(answer.document)
        if not job_id:
            raise _first_refusal(answer) or _unknown("slurmrestd answered without a job's id")
        said = [str(answer.document.get("job_submit_user_msg") or "").strip()]
        said += [error.sentence() for error in answer.errors]
        messages = tuple(dict.fromkeys(text for text in (*said, *answer.warnings) if text))
        return Submitted(job_id=job_id, cluster=answer.cluster, messages=messages)

    def _send(
        self, method: str, url: str, data: bytes | None, headers: dict[str, str], read_timeout: float
    ) -> urllib3.BaseHTTPResponse:
        now = self._wall_clock()
        if now - self._used_at > _IDLE_LIMIT:
            self._pool.close()
            self._pool = self._new_pool()
        try:
            response = self._pool.urlopen(
                method,
                url,
                body=data,
                headers=headers,
                retries=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=read_timeout),
            )
        except (NewConnectionError, ConnectTimeoutError) as exc:
            raise _unreachable(f"no connection to the load balancer ({type(exc).__name__})") from exc
        except ReadTimeoutError as exc:
            raise _unknown(f"no answer within {read_timeout:.0f} s", status=504) from exc
        except HTTPError as exc:
            raise _unknown(f"the connection broke ({type(exc).__name__})") from exc
        self._used_at = now
        return response

    def _new_pool(self) -> urllib3.HTTPConnectionPool:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme != "https":
            return urllib3.HTTPConnectionPool(host, port)
        return urllib3.HTTPSConnectionPool(host, port, server_hostname=self._tls_name, assert_hostname=self._tls_name)

    def _read(self, response: urllib3.BaseHTTPResponse) -> Answer:
        status, data = response.status, response.data
        document = _json_object(data)
        if document is None:
            raise _not_slurms(status, data)
        about = (document.get("meta") or {}).get("slurm") or (document.get("meta") or {}).get("Slurm") or {}
        self.release = str(about.get("release") or self.release)
        self.cluster = str(about.get("cluster") or self.cluster)
        answer = Answer(
            status=status,
            document=document,
            errors=tuple(SlurmError.read(item) for item in document.get("errors") or ()),
            warnings=tuple(_warning(item) for item in document.get("warnings") or ()),
            release=str(about.get("release") or ""),
            cluster=str(about.get("cluster") or ""),
        )
        if status >= 400 and not _job_id(document):
            raise _first_refusal(answer) or _unknown(
                f"Slurm said: {answer.errors[0].sentence()}" if answer.errors else f"slurmrestd answered {status}",
                status=502,
                answer=answer,
            )
        return answer


def _job_id(document: Mapping[str, Any]) -> int:
    """Return the id of the job that was submitted, else 0. Errors beside it are remarks about that job."""
    job_id = document.get("job_id")
    return job_id if type(job_id) is int else 0


def _json_object(data: bytes) -> dict[str, Any] | None:
    try:
        # Slurm passes on what users wrote, be it text or not: one job's name must not hide it, or all of a list.
        document = json.loads(data.decode(errors="replace"))
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _warning(item: Mapping[str, Any]) -> str:
    return str(item.get("description") or item.get("source") or "")


def _first_refusal(answer: Answer) -> SlurmRefused | None:
    for error in answer.errors:
        if kind := kind_of(error, answer.status):
            return SlurmRefused(error, kind)
    return None


def _not_slurms(status: int, data: bytes) -> SlurmProblem | ApiVersionGoneError:
    """Return what an answer means that slurmrestd's operations did not write."""
    if status == 404:
        return ApiVersionGoneError("slurmrestd has no such path")
    # The load balancer: there is no target, or it refused the connection.
    if status == 503:
        return _unreachable("the load balancer has no head node to send it to")
    _logger.warning("unreadable answer of slurmrestd", extra={"status": status, "length": len(data)})
    if 400 <= status < 500:
        # The request itself was not understood, so none of it was done.
        return _unreachable(f"slurmrestd or the load balancer refused the request with {status}", status=502)
    if status == 504:
        return _unknown("the load balancer waited for an answer in vain", status=504)
    return _unknown(f"the answer has status {status} and is not slurmrestd's JSON")


def _unreachable(what: str, *, status: int = 503) -> SlurmUnreachable:
    return SlurmUnreachable(
        status,
        "slurm-unreachable",
        title="Slurm cannot be reached",
        detail=f"{what[0].upper()}{what[1:]}. Nothing was done. Send the request again in a few seconds; if it lasts, "
        "an operator looks whether the head node runs.",
        retry_after=5,
    )


def _not_answered(exc: SlurmOutcomeUnknown) -> SlurmUnreachable:
    """Return what it means that a look got no answer."""
    why = exc.detail.partition(". ")[0]
    if exc.status == 504:
        # slurmrestd answers at once what it can answer without slurmctld.
        return SlurmUnreachable(
            503,
            "slurm-down",
            title="Slurm's controller does not answer",
            detail=f"{why}. Send the request again later; if it lasts, an operator looks whether slurmctld runs.",
            retry_after=10,
            members=exc.members,
        )
    return _unreachable(why, status=exc.status)


def _unknown(what: str, *, status: int = 502, answer: Answer | None = None) -> SlurmOutcomeUnknown:
    errors = answer.errors if answer else ()
    return SlurmOutcomeUnknown(
        status,
        "slurm-outcome-unknown",
        title="Slurm gave no usable answer",
        detail=f"{what[0].upper()}{what[1:]}. Whether the request was carried out is not known: look before you send "
        "it again.",
        retry_after=5,
        members={"slurm": errors[0].document()} if errors else None,
    )
