"""Whatever fails, in whatever order: at most one job a key, and in the end exactly one answer."""

from __future__ import annotations

from typing import Any, ClassVar

import submission_world as w
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from slurm_gateway.errors import UnavailableError
from slurm_gateway.problem import Problem

# What a request can come to, and what it can do on the way: the test fails if its examples miss one.
EVERY_TRANSITION = {
    "claim", "submit", "answered", "release", "give_up", "glimpse", "find", "wait", "answers", "may_have_forgotten",
    "accounted", "take_over",
    "made the job", "answered again", "found by its marker", "told by accounting", "killed", "store failed",
    "submit-in-progress", "submit-outcome-unknown", "submit-outcome-forgotten", "slurm-unreachable",
    "idempotency-key-reused",
}  # fmt: skip

WHICH = st.integers(min_value=0, max_value=9)


def outcome(request: w.Request) -> str:
    """Give what a request came to, as one of the words above."""
    match request.result:
        case Problem():
            return request.result.kind
        case (_, True) if "accounted" in request.calls:
            return "told by accounting"
        case (_, True):
            return "found by its marker" if "glimpse" in request.calls else "answered again"
        case (_, False):
            return "made the job"
        case UnavailableError():
            return "store failed"
        case w.Died():
            return "killed"
    raise AssertionError(repr(request.result))


def some_request_at(*calls: str) -> Any:
    """Give the precondition that a request halts before one of these calls, or before any."""
    return precondition(lambda self: any(not calls or each.halted_at in calls for each in self._running()))


class Submitting(RuleBasedStateMachine):
    """Clients retry one key at any time, concurrently, while everything behind the function fails."""

    seen: ClassVar[set[str]] = set()

    @initialize(accounting=st.booleans(), accounts_markers=st.booleans(), tells=st.booleans())
    def begin(self, accounting: bool, accounts_markers: bool, tells: bool) -> None:
        self.world = w.World(accounting=accounting, accounts_markers=accounts_markers, tells=tells)
        self.requests: list[w.Request] = []
        self.answers: set[int] = set()

    def _running(self) -> list[w.Request]:
        return [request for request in self.requests if not request.over]

    def _pick(self, which: int, *calls: str) -> w.Request | None:
        running = [each for each in self._running() if not calls or each.halted_at in calls]
        return running[which % len(running)] if running else None

    def _reap(self) -> None:
        for request in self._running():
            if self.world.now >= request.dies_at:
                request.die()
        for request in self.requests:
            self.seen.update(request.calls)
            if isinstance(request.result, tuple):
                self.answers.add(request.result[0]["id"])
            if request.over:
                self.seen.add(outcome(request))
        self.requests = self._running()

    @precondition(lambda self: len(self.requests) < 4)
    @rule(lifespan=st.sampled_from([5.0, 60.0, 900.0]), steps=st.sampled_from([0, 1, 2, 50]))
    def ask(self, lifespan: float, steps: int) -> None:
        request = w.Request(self.world, token_lifespan=lifespan)
        self.requests.append(request)
        self._step(request, steps, stop_at="submit")

    @precondition(lambda self: self.world.records)
    @rule()
    def ask_for_something_else(self) -> None:
        request = w.Request(self.world, text="another job")
        request.step(w.plainly(request))
        assert outcome(request) == "idempotency-key-reused"
        self.seen.add(outcome(request))

    @some_request_at()
    @rule(which=WHICH, steps=st.sampled_from([1, 2, 5, 50]))
    def go_on(self, which: int, steps: int) -> None:
        if request := self._pick(which):
            self._step(request, steps)

    def _step(self, request: w.Request, steps: int, stop_at: str = "") -> None:
        for _ in range(steps):
            if not request.over and self.world.now < request.dies_at and request.halted_at != stop_at:
                request.step(w.plainly(request))
        self._reap()

    @some_request_at()
    @rule(which=WHICH, took_effect=st.booleans())
    def function_killed(self, which: int, took_effect: bool) -> None:
        if request := self._pick(which):
            request.step((w.after if took_effect else w.before)(w.plainly(request), w.Died()))
            request.die()
        self._reap()

    @some_request_at(*w.STORE_CALLS)
    @rule(which=WHICH, took_effect=st.booleans())
    def store_fails(self, which: int, took_effect: bool) -> None:
        if request := self._pick(which, *w.STORE_CALLS):
            request.step((w.after if took_effect else w.before)(w.plainly(request), w.store_failure()))
        self._reap()

    @some_request_at("submit")
    @rule(which=WHICH, happened=st.sampled_from(["job made", "on its way", "on its way", "never arrived"]),
          verified=st.booleans(), late=st.sampled_from([1.0, 2.0, 3.0]), took=st.sampled_from([0.0, 1.0, 8.0]),
          goes_on=st.booleans())  # fmt: skip
    def outcome_unknown(
        self, which: int, happened: str, verified: bool, late: float, took: float, goes_on: bool
    ) -> None:
        if request := self._pick(which, "submit"):
            marker = request.arguments[0]
            self.world.pass_time(took)
            if happened == "job made" and not self.world.frozen:
                self.world.make_job(marker)
            elif happened != "never arrived":
                verified = verified and not self.world.frozen
                late = min(late, 2.0) if verified else late
                self.world.messages.append(w.Message(marker, request.token_expires_at, verified, late, int(late)))
            request.step(w.before(lambda: None, w.unknown()))
            self._step(request, int(goes_on))
        self._reap()

    @some_request_at("submit")
    @rule(which=WHICH)
    def submit_does_not_arrive(self, which: int) -> None:
        if request := self._pick(which, "submit"):
            request.step(w.before(lambda: None, w.unreachable()))
        self._reap()

    @some_request_at("glimpse", "find", "answers", "accounted")
    @rule(which=WHICH)
    def look_fails(self, which: int) -> None:
        if request := self._pick(which, "glimpse", "find", "answers", "accounted"):
            request.step(w.before(lambda: None, w.unreachable()))
        self._reap()

    @rule(frozen=st.booleans())
    def freeze_or_thaw(self, frozen: bool) -> None:
        self.world.frozen = frozen

    @rule(seconds=st.sampled_from([0.5, 2.0, 2.5, 3.0, 4.0, 31.0, 400.0, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        # Long times are for when nobody waits: else few requests would live to see anything.
        self.world.pass_time(min(seconds, 4.0) if self._running() else seconds)
        self._reap()

    @invariant()
    def one_job_and_one_answer(self) -> None:
        if hasattr(self, "world"):
            assert len(self.world.jobs) <= 1
            assert self.answers <= {job.job_id for job in self.world.jobs}

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for request in self._running():
            request.die()
        self.world.frozen = False
        result: Any = None
        for _ in range(60):
            result = w.run_alone(w.Request(self.world))
            assert not isinstance(result, w.Died)
            if w.is_final(result):
                break
            assert isinstance(result, Problem)
            assert result.status == 409
            self.world.pass_time(result.retry_after or 0)
        assert w.is_final(result), "a client that asked again and again got no answer"
        self.one_job_and_one_answer()
        if isinstance(result, tuple):
            assert [job.job_id for job in self.world.jobs] == [result[0]["id"]]
            assert self.answers <= {result[0]["id"]}
            again = w.run_alone(w.Request(self.world))
            assert again == (result[0], True)


Submitting.TestCase.settings = settings(
    max_examples=600,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,  # so that reaching every transition is no matter of luck
    suppress_health_check=list(HealthCheck),
)


class TestSubmitting(Submitting.TestCase):  # type: ignore[misc,name-defined]
    """The state machine, and that its examples reach all there is."""

    @classmethod
    def tearDownClass(cls) -> None:
        assert EVERY_TRANSITION - Submitting.seen == set()
