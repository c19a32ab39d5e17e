"""An answer that says no, in words: whoever on the way wrote it (docs/errors.md of the gateway has the list)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .errors import ClientError, NotFoundError, RefusedError

if TYPE_CHECKING:
    import requests

_PROBLEM = "urn:slurm-gateway:problem:"
_LONGEST = 600
NO_JOB = "job-not-found"
"""The kind of a 404 by which the gateway itself says that there is no such job."""


def document(answer: requests.Response) -> dict[str, Any]:
    """Return an answer's JSON object, empty where it is none."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def members(answer: requests.Response, what: str, *names: str) -> dict[str, Any]:
    """Return the JSON object of an answer that says yes. Raises ClientError where it lacks what a gateway's has.

    `what` is what was asked for, as in "show job 12".
    """
    found = document(answer)
    if not all(name in found for name in names):
        raise foreign(answer, what)
    return found


def foreign(answer: requests.Response, what: str) -> ClientError:
    """Return the exception for an answer that says yes and is no gateway's: a sign-in page's, another service's."""
    return ClientError(
        f"What answers at {urlsplit(answer.url).netloc} is no gateway: it was asked to {what}, and said "
        f"{answer.status_code} with something else.",
        means="The address is another service's, or a proxy or a sign-in page stands in the way.",
        todo="Check SLURM_GATEWAY_URL and HTTPS_PROXY.",
    )


def kind(answer: requests.Response) -> str:
    """Return the fixed word of the gateway's own problem document, or nothing."""
    return kind_of(document(answer))


def kind_of(problem: dict[str, Any]) -> str:
    """Return the fixed word of a document, or nothing where it is not the gateway's own."""
    found = problem.get("type")
    return found.removeprefix(_PROBLEM) if isinstance(found, str) and found.startswith(_PROBLEM) else ""


def is_by_the_edge(answer: requests.Response) -> bool:
    """Tell whether the token itself was refused: by API Gateway, by the edge's cache, or by Slurm."""
    if answer.status_code == 401:
        return True
    return answer.status_code == 403 and document(answer) == {"message": "Forbidden"}


def sentence(answer: requests.Response) -> str:
    """Return who said what, in a sentence."""
    found = document(answer)
    if found.get("detail"):
        said = str(found["detail"])
    elif found.get("message"):
        said = f"API Gateway says {found['message']!r}."
    elif isinstance(found.get("errors"), list) and found["errors"]:
        said = "Slurm says: " + "; ".join(_slurm(each) for each in found["errors"])
    else:
        said = "The load balancer in front of Slurm has no usable answer." if answer.status_code >= 500 else ""
    return f"{answer.status_code}: {said or answer.reason}"[:_LONGEST]


def error(answer: requests.Response, what: str) -> RefusedError:
    """Return the exception for an answer that refuses. `what` is what was asked for, as in "submit job.sh"."""
    found = document(answer)
    mine = kind(answer)
    where = f", line {found['line']}" if isinstance(found.get("line"), int) else ""
    happened = f"The gateway would not {what}{where}. {sentence(answer)}"
    cls = NotFoundError if answer.status_code == 404 else RefusedError
    return cls(
        happened,
        status=answer.status_code,
        problem=found,
        means=_meaning(answer, mine, found),
        todo=_todo(answer, mine),
    )


def _meaning(answer: requests.Response, mine: str, found: dict[str, Any]) -> str:
    slurm = found.get("slurm")
    if isinstance(slurm, dict) and slurm:
        return f"Slurm's own words: {_slurm(slurm)}"
    if mine:
        return str(found.get("title") or "")
    if answer.status_code == 404:
        return "The gateway has no such route: it is older than this client, or the address is not a gateway's."
    return ""


def _todo(answer: requests.Response, mine: str) -> str:
    advice = {
        "script-not-valid": "Mend the script; nothing was submitted.",
        "option-not-valid": "Mend the option; nothing was submitted. `slurm-gateway submit --help` has the list.",
        "option-not-carried": "Leave the option out, or submit with sbatch on the cluster. Nothing was submitted.",
        "idempotency-key-reused": "This key made another job. Repeat that submit, or give another --idempotency-key.",
        "submit-outcome-forgotten": "Look with `slurm-gateway jobs`; if the job is not there, give another "
        "--idempotency-key.",
    }
    if mine in advice:
        return advice[mine]
    if answer.status_code == 404 and mine:
        return "`slurm-gateway jobs` lists your jobs."
    if answer.status_code in {400, 413, 422}:
        return "Mend the request; nothing was done."
    if answer.status_code == 403:
        return "Ask whoever runs the cluster, if you should be permitted."
    request_id = answer.headers.get("apigw-requestid")
    return f"If that makes no sense, tell an operator the request: {request_id}." if request_id else ""


def _slurm(said: Any) -> str:  # noqa: ANN401 (JSON)
    if not isinstance(said, dict):
        return str(said)
    words = [str(said[name]) for name in ("description", "error") if said.get(name)]
    number = said.get("error_number")
    return " - ".join(words) + (f" (error {number})" if number else "")


def short(exc: RefusedError) -> str:
    """Return what a refusal says in itself, without what was asked for."""
    return str(exc.problem.get("detail") or exc.happened)
