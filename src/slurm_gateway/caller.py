"""Who a request of ours comes from: the user whom the edge verified, and the token to act with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import events
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Caller:
    """A Slurm user and its own Slurm token, which expires at `expires_at` (Unix seconds) and has the id `token_id`.

    Who `sees_everyones_jobs` may be shown the records of other users' jobs: the token says so, and our key signed it.
    `request_id` is API Gateway's, "" where there is none; it goes along to slurmrestd.
    """

    user: str
    token: str = field(repr=False)  # so that no traceback and no log line shows it
    expires_at: int
    token_id: str = ""
    sees_everyones_jobs: bool = False
    request_id: str = ""

    def headers(self) -> dict[str, str]:
        """Return what tells slurmrestd who asks."""
        headers = {"X-SLURM-USER-NAME": self.user, "X-SLURM-USER-TOKEN": self.token}
        if self.request_id:
            headers["X-Request-ID"] = self.request_id
        return headers

    def require_unexpired(self, now: float) -> None:
        """Raise Problem when the token has expired at `now` (Unix seconds).

        What Slurm answers it checks itself; what is answered from elsewhere needs this: API Gateway holds the
        edge's verdict for up to 30 s, in which a token may expire.
        """
        if now >= self.expires_at:
            raise Problem(
                401,
                "token-expired",
                title="Token expired",
                detail="The Slurm token expired. Get a new one from POST /token and send the request again.",
            )


def of_event(event: Mapping[str, Any]) -> Caller:
    """Return the caller of API Gateway's event; Problem 401 if the edge did not verify one.

    The user and the time are the edge authorizer's, never what the headers claim.
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    verified = authorizer.get("lambda") or {}
    user, expires_at = verified.get("user"), verified.get("expires_at")
    token = events.headers(event).get("x-slurm-user-token", "")
    # Context values may come back as text.
    if not (isinstance(user, str) and user and token and str(expires_at).isdigit()):
        raise Problem(
            401,
            "caller-unknown",
            title="Who are you?",
            detail="The request came without a Slurm user that the edge authorizer verified. Send the headers "
            "X-SLURM-USER-NAME and X-SLURM-USER-TOKEN; if they were sent, the route lacks its authorizer.",
        )
    return Caller(
        user=user,
        token=token,
        expires_at=int(str(expires_at)),
        token_id=str(verified.get("jti") or ""),
        sees_everyones_jobs=str(verified.get("sees_everyones_jobs")).lower() == "true",
        request_id=events.request_id(event),
    )
