"""Requests that outlast a gateway in trouble.

One place decides what is tried again, how soon, and for how long; and turns what is left into this package's errors.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests
from requests.adapters import HTTPAdapter

from . import backoff, refusals
from .errors import RefusedError, SettingsError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .errors import ClientError

TIMEOUT = (10.0, 40.0)
"""Seconds to connect, and to the next byte of an answer. API Gateway itself gives up after 30."""

# http.client's words before a proxy's status.
_PROXY_REFUSES = "Tunnel connection failed: "
# A submit that is not settled: another request with its key is sending it, or Slurm did not answer.
_UNSETTLED = ("submit-in-progress", "submit-outcome-unknown")
# A submit that Slurm has no room for: it answers, and nothing was done.
_NO_ROOM = {
    "slurm-takes-no-jobs": "The cluster takes no more jobs now",
    "slurm-busy": "Slurm is too busy to take a job now",
}
# Not trouble: what a job prints takes a moment to come in. Whoever wants it knows how long to wait, and has the job to
# look at meanwhile.
_ON_ITS_WAY = ("output-not-there-yet", "head-node-silent")


@dataclass(frozen=True)
class Call:
    """One request. `body` is bytes; `repeatable` says whether sending it twice does what sending it once does.

    `is_known` says that this route and job have been answered for before.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    is_known: bool = False


class Transport:
    """Sends requests to one gateway, from any number of threads.

    `patience` is how many seconds a request is tried again in all. `notify` is told, in a sentence, that something is
    tried again; `wait` sleeps and may raise, to end it all.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float,
        connections: int = 8,
        notify: Callable[[str], None] = lambda _: None,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self.patience = patience
        self._notify = notify
        self._wait = wait
        self._clock = clock
        self._session = requests.Session()
        # A line of ~/.netrc would put an Authorization header beside Slurm's: slurmrestd refuses the pair.
        self._session.auth = as_it_is
        # Plain http is for this machine's own addresses, and a proxy would take the token off it in clear.
        self._session.trust_env = not url.lower().startswith("http:")
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(
        self, call: Call, sign: Callable[[Call], Mapping[str, str]], *, patience: float | None = None
    ) -> requests.Response:
        """Return the answer to a request: any but those that are worth another try.

        Raises UnreachableError, and RefusedError for a submit that Slurm had no room for all the time.

        `sign` gives the headers that say who asks; it is asked again for each try, since signatures and tokens age.
        `patience` is this request's own, in seconds.
        """
        pauses = backoff.delays()
        patience = self.patience if patience is None else patience
        deadline = self._clock() + patience
        while True:
            headers = sign(call)
            answer, trouble = self._once(call, headers)
            pause = next(pauses)
            if answer is not None:
                if not _is_worth_another_try(call, answer):
                    return answer
                trouble = refusals.sentence(answer)
                asked = backoff.retry_after(answer.headers.get("Retry-After"), time.time())
                pause = max(pause, asked or 0.0)
            if not call.repeatable or self._clock() + pause > deadline:
                raise self._gave_up(call, trouble, answer, patience)
            self._notify(f"{trouble} Trying again for up to {duration(deadline - self._clock())}.")
            self._wait(pause)

    def _once(self, call: Call, headers: Mapping[str, str]) -> tuple[requests.Response | None, str]:
        try:
            return self._session.request(
                call.method,
                self.url + call.path,
                params=list(call.query) or None,
                data=call.body,
                headers={**call.headers, **headers},
                timeout=TIMEOUT,
                # A token goes to the gateway and nowhere else.
                allow_redirects=False,
            ), ""
        except requests.exceptions.Timeout:
            return None, "The gateway did not answer in time."
        except requests.exceptions.ConnectionError as exc:
            if _is_distrust(exc):
                raise UnreachableError(
                    f"{self.url} has no certificate that this machine trusts.",
                    means=str(exc),
                    todo="Check the address, the clock, and REQUESTS_CA_BUNDLE if your organisation has a CA of its "
                    "own.",
                ) from exc
            return None, f"The gateway cannot be reached: {_reason(exc)}."
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
            return None, "The gateway's answer broke off."
        except requests.exceptions.InvalidHeader:
            # It quotes the header's value, which may be a token: neither the message nor a traceback may show it.
            raise SettingsError(
                f"No request can be sent to {self.url}: the value of a header has a line break or begins with a blank.",
                means="A token, a user's name or a key of the environment holds what no header can. Nothing was sent.",
                todo="Set SLURM_JWT, SLURM_GATEWAY_ID_TOKEN or AWS_SESSION_TOKEN again, whichever is yours.",
            ) from None
        except (requests.exceptions.RequestException, OSError, ValueError) as exc:
            # Nothing went out: an address, a proxy's or a certificate file's name that is none.
            raise SettingsError(
                f"No request can be sent to {self.url}.",
                means=str(exc),
                todo="Check SLURM_GATEWAY_URL, HTTPS_PROXY and REQUESTS_CA_BUNDLE.",
            ) from exc

    def _gave_up(self, call: Call, trouble: str, answer: requests.Response | None, patience: float) -> ClientError:
        submit = call.method == "POST" and call.path == "/jobs"
        if submit and answer is not None and (full := _NO_ROOM.get(refusals.kind(answer))):
            return RefusedError(
                f"{full}; nothing was submitted in {duration(patience)}. The last answer: {trouble}",
                status=answer.status_code,
                problem=refusals.document(answer),
                means="The gateway and Slurm are up, and Slurm has no room for it.",
                todo="Submit it again later, or with a longer --patience.",
            )
        if call.repeatable:
            happened = f"No usable answer from {self.url} within {duration(patience)}. The last one: {trouble}"
        else:
            happened = f"{trouble}"
        request_id = answer.headers.get("apigw-requestid") if answer is not None else None
        means = "The gateway or Slurm behind it is down, or the way to it is."
        if submit:
            means += " Whether the job exists is not known; the same command with the same key finds out."
        elif not call.repeatable:
            means += " Whether it was done is not known: look before you repeat it."
        todo = f"Check {self.url}/health"
        todo += f", or ask an operator about request {request_id}." if request_id else " and SLURM_GATEWAY_URL."
        return UnreachableError(happened, means=means, todo=todo)


def _is_worth_another_try(call: Call, answer: requests.Response) -> bool:
    if answer.status_code == 404:
        # While the gateway is deployed anew, API Gateway may have no such route for a moment.
        return call.is_known and refusals.kind(answer) != refusals.NO_JOB
    if answer.status_code == 429 or answer.status_code >= 500:
        return refusals.kind(answer) not in _ON_ITS_WAY
    return answer.status_code == 409 and refusals.kind(answer) in _UNSETTLED


def as_it_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Be the `auth` of a request that requests is to add none to: it would take a line of ~/.netrc."""
    return prepared


def duration(seconds: float) -> str:
    """Return a time span as people say it: `45 s`, `15 min`."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _reason(exc: BaseException) -> str:
    """Return the system's own words for why a connection failed."""
    for cause in _causes(exc):
        if isinstance(cause, socket.gaierror):
            return "its name has no address"
        if isinstance(cause, ssl.SSLError):
            return "TLS broke off"
        if isinstance(cause, OSError) and str(cause).startswith(_PROXY_REFUSES):
            return f"the proxy says {str(cause).removeprefix(_PROXY_REFUSES)}"
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
            return cause.strerror.lower()
    return "the connection failed"


def _is_distrust(exc: BaseException) -> bool:
    """Tell whether a certificate is not trusted, or the file of those to trust cannot be read: time mends neither."""
    return any(
        isinstance(cause, ssl.SSLCertVerificationError)
        or (isinstance(cause, ssl.SSLError) and cause.library in {"PEM", "X509"})
        for cause in _causes(exc)
    )


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Give an exception and all that is behind it. urllib3 hands some on as an argument, and never raises them."""
    yield exc
    for cause in (exc.__cause__ or exc.__context__, *exc.args):
        if isinstance(cause, BaseException):
            yield from _causes(cause)
