"""A request with an Idempotency-Key makes one job, whatever fails on the way.

    no record ──claim──▶ claimed ──Slurm took it──▶ answered      the record goes, where Slurm surely took nothing
                            │ ▲
               outcome unknown, or whoever sent it is gone:
               look for the marker ──found──▶ answered
                            │ └─not found, and it may still come──▶ 409, the client asks again
                            ▼
                     surely absent ──take over──▶ claimed, by another request

The record is written before the job is sent, and the job carries the record's marker. So at every moment in which
a request may die, either nothing was sent, or the marker finds what was. That it finds nothing proves little: the
job may still stand in a daemon's socket. It counts only when

* nobody who may still send it is alive (`sender_until`: a function dies when its time is up), and
* Slurm has answered for `SETTLED` seconds without a gap, or for `SETTLED_EXPIRED` once the token that the job was
  sent with has expired, and
* Slurm cannot have forgotten a job that came to its end meanwhile. Where accounting keeps markers, it tells that job.

No I/O and no clock of its own here: a test can stop it between any two steps.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .errors import UnavailableError
from .problem import Problem
from .slurm_errors import SlurmOutcomeUnknown, SlurmProblem

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)

T = TypeVar("T")
Answer = dict[str, Any]
"""What the client is told of its job, as JSON."""

SETTLED = 15.0
SETTLED_EXPIRED = 3.0
_GAP = 3.0  # seconds: who takes longer over an answer was not answering
_PACE = 1.0
# The head node's feed tells of a job about so many seconds after it came to be.
_SOON = 4.0
_SKEW = 5.0  # between the clocks of functions, the key service and the head node
_NEEDED_TO_SEND = 6.0
# While a request is this young, whoever sent it is most likely just waiting for Slurm.
_BUSY = 2.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A record of the store: one key of one user. Times are Unix seconds.

    `request` tells requests apart, `sender` who may send the job. `sent_after` is when that one claimed it, and
    `sender_until` when it is surely dead or has given up. `token_expires_at` is of the token that it sends.
    """

    user: str
    key: str = field(repr=False)
    request: str
    marker: str
    sender: str
    sent_after: float
    sender_until: float
    token_expires_at: float
    answer: Answer | None = None


class Store(Protocol):
    """Keeps claims for a day. Every method is one conditional write, and raises UnavailableError if it fails."""

    def claim(self, claim: Claim) -> Claim | None:
        """Keep a claim and return None; or keep nothing, and return the one that is there for that user and key."""

    def take_over(self, claim: Claim, sender: str) -> bool:
        """Replace the claim that `sender` has by this one of the same marker; False if it has it no longer."""

    def give_up(self, claim: Claim) -> None:
        """Write that the claim's sender sends nothing any more."""

    def release(self, claim: Claim) -> None:
        """Forget the claim if its sender still has it."""

    def answered(self, claim: Claim, answer: Answer) -> Answer:
        """Keep the answer; return it, or the one that was there before."""


class Slurm(Protocol):
    """Slurm, with one caller's token."""

    def submit(self, marker: str) -> Answer:
        """Send the job; Problem if Slurm took none, of which SlurmOutcomeUnknown if it may have."""

    def glimpse(self, marker: str) -> Answer | None:
        """Return the caller's own job with this marker where that costs Slurm little; None proves nothing.

        SlurmProblem if Slurm does not answer.
        """

    def find(self, marker: str) -> Answer | None:
        """Return the caller's own job with this marker, None if Slurm has none; SlurmProblem if it does not answer."""

    def answers(self) -> None:
        """Ask slurmctld for as little as there is; SlurmProblem if it does not answer."""

    def may_have_forgotten(self, claim: Claim) -> bool:
        """Tell whether the job of a claim of the caller's may have ended and be gone."""

    def accounted(self, claim: Claim) -> Answer | None:
        """Return the caller's own ended job with a claim's marker where accounting keeps those, else None.

        SlurmProblem if accounting does not answer.
        """


@dataclass(frozen=True, slots=True)
class Submission:
    """One request's way through the states above.

    `clock` gives Unix seconds, `wait` waits for some. With `must_keep` nobody is told of a job whose answer could not
    be kept: who would let it run, and so end and be forgotten, waits for the request that finds it and keeps it.
    """

    store: Store
    slurm: Slurm
    clock: Callable[[], float]
    wait: Callable[[float], None]
    must_keep: bool = False

    def run(self, claim: Claim) -> tuple[Answer, bool]:
        """Return the answer for a claim of this request's, and whether it is an earlier request's.

        Raises Problem: Slurm's refusal; 422 where the key was another request's; 409 while it is being sent or its
        outcome is unknown. UnavailableError if the store fails: then the client asks again with the same key.
        """
        there = self.store.claim(claim)
        if there is None:
            return self._send(claim), False
        if there.request != claim.request:
            raise _another_request()
        if there.answer is not None:
            return there.answer, True
        return self._recover(there, claim)

    def _send(self, claim: Claim) -> Answer:
        if claim.sender_until - self.clock() < _NEEDED_TO_SEND:
            self.store.give_up(claim)
            raise in_progress(1)
        try:
            answer = self.slurm.submit(claim.marker)
        except SlurmOutcomeUnknown as exc:
            self.store.give_up(claim)
            raise _unknown(exc) from exc
        except Problem:
            self.store.release(claim)
            raise
        return self._keep(claim, answer)

    def _keep(self, claim: Claim, answer: Answer) -> Answer:
        try:
            return self.store.answered(claim, answer)
        except UnavailableError as exc:
            # The job is there, and the next request with this key finds it.
            _logger.error("answer not kept", extra={"error": str(exc), "marker": claim.marker})
            if self.must_keep:
                raise
            return answer

    def _recover(self, there: Claim, mine: Claim) -> tuple[Answer, bool]:
        """Find out what became of a claim that another request left without an answer."""
        begin = self.clock()
        if there.sender_until > begin and begin - there.sent_after < _BUSY:
            raise in_progress(1)
        answer = self._told(self.slurm.glimpse, there.marker)
        if answer is None:
            was_quick = self.clock() - begin < _PACE
            if there.sender_until and there.sender_until + _SKEW > begin:
                raise in_progress(min(5, int(there.sender_until + _SKEW - begin) + 1))
            if self.slurm.may_have_forgotten(there):
                answer = self._told(self.slurm.find, there.marker) or self._told(self.slurm.accounted, there)
                if answer is None:
                    raise _forgotten()
                return self._keep(there, answer), True
            answer = self._watch(there, until=mine.sender_until - _NEEDED_TO_SEND, look_soon=was_quick)
        if answer is not None:
            return self._keep(there, answer), True
        sender = replace(mine, marker=there.marker)
        if not self.store.take_over(sender, there.sender):
            raise in_progress(1)
        return self._send(sender), False

    def _watch(self, there: Claim, *, until: float, look_soon: bool) -> Answer | None:
        """Return the job of a marker that turns up; None when it surely will not; Problem if that is not known."""
        since = answered_at = self.clock()
        while True:
            self.wait(_PACE)
            asked_at = self.clock()
            if asked_at > until:
                raise _unknown()
            if asked_at - answered_at > _PACE + _GAP:
                since = asked_at
            is_last = asked_at - since >= (SETTLED_EXPIRED if there.token_expires_at + _SKEW < since else SETTLED)
            # To find may cost Slurm a second, an answer nothing: it is looked for soon, and found or not at the end.
            if is_last or (look_soon and asked_at - since >= _SOON):
                look_soon = False
                answer = self._told(self.slurm.find if is_last else self.slurm.glimpse, there.marker)
                # However long the last look took: what it shows is later than all the answers before it.
                if is_last or answer is not None:
                    return answer
            else:
                self._ask()
            answered_at = self.clock()
            if answered_at - asked_at > _GAP:
                since = answered_at

    def _ask(self) -> None:
        try:
            self.slurm.answers()
        except SlurmProblem as exc:
            raise _unknown(exc) from exc

    def _told(self, look: Callable[[T], Answer | None], of: T) -> Answer | None:
        try:
            return look(of)
        except SlurmProblem as exc:
            if exc.status in {401, 403}:
                raise
            raise _unknown(exc) from exc


def _another_request() -> Problem:
    return Problem(
        422,
        "idempotency-key-reused",
        title="Key of another request",
        detail="This Idempotency-Key came with another request in the last 24 hours: another script, other options or "
        "another body. Send the request as it was, or take a new key.",
    )


def in_progress(retry_after: int) -> Problem:
    """Return the 409 for a claim that somebody may still be sending; ask again in `retry_after` seconds."""
    return Problem(
        409,
        "submit-in-progress",
        title="In progress",
        detail="A request with this Idempotency-Key is on its way to Slurm. Send it again with the same key for its "
        "answer.",
        retry_after=retry_after,
    )


def _unknown(cause: SlurmProblem | None = None) -> Problem:
    why = f" {cause.detail}" if cause and not isinstance(cause, SlurmOutcomeUnknown) else ""
    return Problem(
        409,
        "submit-outcome-unknown",
        title="Not known yet",
        detail="Slurm gave no answer to the submit with this Idempotency-Key, and the job may still appear. Send the "
        f"request again with the same key: there will be one job.{why}",
        retry_after=2,
        members=cause.members if cause else None,
    )


def _forgotten() -> Problem:
    return Problem(
        409,
        "submit-outcome-forgotten",
        title="Not known any more",
        detail="Nobody learned whether the submit with this Idempotency-Key made a job, and so much time has passed "
        "that Slurm may have run and forgotten it. Look at what it would have written, and at GET /jobs. If "
        "there was no job, send the request with a new key.",
        retry_after=60,
    )
