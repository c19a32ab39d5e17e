"""An object of the inbox becomes one job, whatever fails on the way and however often it is told of.

    a message ──known, answered──▶ the head node is told, if it was not yet
        │
    a rule fits, the access document grants it its user, S3 has the version, the script is there
        │
    submission.py ──▶ a held job with the object's path, key, version and size in its environment
        │
    once its answer is kept the head node is told: it copies the object to that path, as the user, and releases the job

What an operator must mend first raises DeadLetterError. Anything else that is raised may pass by itself, and the
message is for later.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from . import marker as markers
from . import short_tokens
from .errors import DeadLetterError, MintRefusedError
from .head_node_orders import InputOrder, input_path
from .inbox_job import Input
from .inbox_table import USER
from .problem import Problem
from .slurm_errors import SlurmProblem, SlurmRefused
from .slurm_submission import SlurmSubmission
from .submission import Claim, Submission, in_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .access import Access
    from .api_version import ApiVersions
    from .caller import Caller
    from .head_node_orders import HeadNodeOrders
    from .inbox_job import InboxJobs
    from .inbox_message import InboxObject, Message
    from .inbox_objects import InboxObjects
    from .inbox_rule import InboxRule
    from .inbox_rules import Rules
    from .inbox_table import InboxTable
    from .short_tokens import ShortTokens
    from .slurmrestd import Slurmrestd

_logger = logging.getLogger(__name__)


class Taken(Enum):
    """What became of a message: a new job, one that was there before, or nothing, for no rule fits."""

    SUBMITTED = "submitted"
    KNOWN = "known"
    UNMATCHED = "unmatched"


class Inbox:
    """Takes messages.

    `rules` and `access` give what was read at a time (Unix seconds) or later, or shortly before; they raise
    UnavailableError. `input_directory` has `{user}` for the user's name; `clock` gives Unix seconds.
    """

    def __init__(
        self,
        *,
        bucket: str,
        rules: Callable[[float], Rules],
        access: Callable[[float], Access],
        objects: InboxObjects,
        jobs: InboxJobs,
        tokens: ShortTokens,
        slurmrestd: Slurmrestd,
        versions: ApiVersions,
        table: InboxTable,
        orders: HeadNodeOrders,
        cluster: str,
        input_directory: str,
        clock: Callable[[], float],
        wait: Callable[[float], None],
    ) -> None:
        self._bucket = bucket
        self._rules = rules
        self._access = access
        self._objects = objects
        self._jobs = jobs
        self._tokens = tokens
        self._slurmrestd = slurmrestd
        self._versions = versions
        self._table = table
        self._orders = orders
        self._cluster = cluster
        self._input_directory = input_directory
        self._clock = clock
        self._wait = wait
        # Each submit into a Slurm that does not answer leaves an outcome to be found out: it is asked first.
        self._slurm_in_doubt = False

    def take(self, message: Message, *, ends_at: float) -> Taken:
        """Take one message; `ends_at` is when the function ends (Unix seconds).

        Raises DeadLetterError, and Problem or UnavailableError for what may pass.
        """
        thing = message.written(self._bucket)
        known = self._table.find(thing)
        if known is not None and known.claim.answer is not None:
            if not known.ordered:
                self._order(self._input(thing, known.claim.request), known.claim)
            return Taken.KNOWN
        if known is not None and known.claim.sender_until > self._clock():
            raise in_progress(2)
        if thing.key.endswith("/"):
            return Taken.UNMATCHED  # what consoles show as a folder
        # What was mended before the message was sent counts: nothing is put aside, or left, by what was read earlier.
        try:
            taken = self._make(thing, 0.0, message, ends_at)
        except DeadLetterError:
            taken = Taken.UNMATCHED
        if taken is Taken.UNMATCHED:
            taken = self._make(thing, message.sent_at, message, ends_at)
        return taken

    def _make(self, thing: InboxObject, since: float, message: Message, ends_at: float) -> Taken:
        """Make the job of an object that has none, by rules and grants that were read at `since` or later."""
        rule = self._rules(since).deciding(thing.key)
        if rule is None:
            return Taken.UNMATCHED
        origin = {**message.origin(), "object": str(thing)}
        try:
            return self._make_by(rule, thing, since, origin, ends_at)
        except MintRefusedError as exc:
            if since:
                # The first look may have been at what is mended since, and is not the last word.
                short_tokens.refused(rule.name, rule.user, origin, exc.reason)
            raise

    def _make_by(
        self, rule: InboxRule, thing: InboxObject, since: float, origin: Mapping[str, str], ends_at: float
    ) -> Taken:
        if not self._access(since).may_run(rule.name, rule.user):
            raise MintRefusedError(
                "user-not-allowed",
                f"The access document does not grant the rule {rule.name} the user {rule.user}. Add "
                f"{{rule: {rule.name}, users: [{rule.user}]}} to its inbox, or name another user in the rule.",
            )
        of = self._input(thing, rule.user)
        claim, again = self._submit(rule, of, origin, ends_at)
        self._order(of, claim)
        return Taken.KNOWN if again else Taken.SUBMITTED

    def _input(self, thing: InboxObject, user: str) -> Input:
        path = input_path(self._input_directory, user=user, bucket=thing.bucket, key=thing.key, version=thing.version)
        return Input(thing, self._objects.size(thing), path)

    def _submit(self, rule: InboxRule, of: Input, origin: Mapping[str, str], ends_at: float) -> tuple[Claim, bool]:
        script = self._jobs.script(rule)
        caller = self._tokens.caller(rule.name, rule.user, origin)
        translate = self._jobs.translate(rule, script, of)
        slurm = SlurmSubmission(
            self._slurmrestd, self._versions, caller, translate,
            cluster=self._cluster, ends_at=ends_at, clock=self._clock,
        )  # fmt: skip
        try:
            if self._slurm_in_doubt:
                slurm.answers()
                self._slurm_in_doubt = False
            # What is wrong with it is told before anything is kept.
            self._versions.using(caller, translate)
            claim = self._claim(rule, of.thing, caller, self._jobs.keep(rule, script), ends_at)
            # Once it is ordered the job runs, ends and is forgotten: then only a kept answer tells that it was there.
            answer, again = Submission(self._table, slurm, self._clock, self._wait, must_keep=True).run(claim)
        except Problem as exc:
            self._slurm_in_doubt |= is_slurms_trouble(exc)
            if sentence := _sentence(rule, exc):
                raise DeadLetterError(sentence) from exc
            raise
        _logger.info("job of an object", extra={
            "object": str(of.thing), "rule": rule.name, "user": rule.user, "job": answer["id"], "again": again,
            "jti": caller.token_id,
        })  # fmt: skip
        if not slurm.marker:
            # Another delivery of the event made the job meanwhile, and tells the head node.
            raise in_progress(2)
        return replace(claim, marker=slurm.marker, answer=answer), again

    def _claim(self, rule: InboxRule, thing: InboxObject, caller: Caller, digest: str, ends_at: float) -> Claim:
        now = self._clock()
        return Claim(
            user=USER,
            key=thing.digest,
            request=rule.user,
            marker=str(markers.new(int(now), digest)),
            sender=uuid.uuid4().hex,
            sent_after=now,
            sender_until=ends_at,
            token_expires_at=caller.expires_at,
        )

    def _order(self, of: Input, claim: Claim) -> None:
        """Tell the head node of an object and its job: at least once, for the note of it comes after."""
        marker, thing = markers.find(claim.marker), of.thing
        if marker is None or claim.answer is None:
            raise ValueError(f"a claim without an answer, or with the marker {claim.marker!r}")
        self._orders.send(
            InputOrder(
                cluster=self._cluster,
                job_id=claim.answer["id"],
                user=claim.request,
                submitted=marker.submitted,
                marker=claim.marker,
                bucket=thing.bucket,
                key=thing.key,
                version=thing.version,
                size=of.size,
                path=of.path,
            )
        )
        self._table.ordered(thing)


def is_slurms_trouble(problem: Problem) -> bool:
    """Tell whether a problem is Slurm's own state, and not the job's: the next job would meet it too."""
    return problem.kind == "submit-outcome-unknown" or (isinstance(problem, SlurmProblem) and problem.status >= 500)


def _sentence(rule: InboxRule, problem: Problem) -> str:
    """Return what an operator must mend before the job can be made, "" where the problem may pass by itself."""
    if problem.kind == "submit-outcome-forgotten":
        return (
            f"Nobody learned whether the submit of the rule {rule.name} made a job, and it may be one of "
            f"{rule.user}'s that have ended since. If it is none of those, write the object again."
        )
    if problem.kind == "idempotency-key-reused":
        return (
            f"Nobody learned whether an earlier submit made a job of another user than {rule.user}, whom the rule "
            f"{rule.name} names now. Name that user again until it is known, or write the object again."
        )
    if isinstance(problem, SlurmRefused) and problem.status in {403, 404, 422}:
        return f"Slurm does not accept the job of the rule {rule.name}: {problem.detail}"
    return ""
