"""A world for submission.py that stops, kills and delays at will: a store, a Slurm, a clock, and requests in it.

Each request runs in a thread of its own and halts before every call of a port, so that a test decides what happens
next: that call, its loss before or after it took effect, the request's death, or something else first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from slurm_gateway.errors import UnavailableError
from slurm_gateway.problem import Problem
from slurm_gateway.slurm_errors import SlurmOutcomeUnknown, SlurmUnreachable
from slurm_gateway.submission import Answer, Claim, Submission

MIN_JOB_AGE = 300.0
FUNCTION_TIMEOUT = 29.0
KEPT_FOR = 24 * 3600


class Died(BaseException):
    """The function process was killed; no `except Exception` sees it."""


def unknown() -> SlurmOutcomeUnknown:
    return SlurmOutcomeUnknown(504, "slurm-outcome-unknown", title="t", detail="d", retry_after=5)


def unreachable() -> SlurmUnreachable:
    return SlurmUnreachable(503, "slurm-unreachable", title="t", detail="d", retry_after=5)


@dataclass
class Message:
    """A submit on its way to slurmctld: made a job once it ran for `late` s, or `overtaken` looks were answered."""

    marker: str
    token_expires_at: float
    verified: bool
    late: float
    overtaken: int


@dataclass
class Job:
    job_id: int
    marker: str
    made_at: float
    ends_at: float


@dataclass
class World:
    now: float = 1_000_000.0
    frozen: bool = False
    accounting: bool = True
    # AccountingStoreFlags=job_extra, without which accounting tells that there were jobs, and not which.
    accounts_markers: bool = True
    # Whether the head node's feed tells of jobs, which so have a record that leads to them.
    tells: bool = True
    requests: int = 0
    records: dict[tuple[str, str], tuple[Claim, float]] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        if self.frozen:
            return
        for message in list(self.messages):
            message.late -= seconds
            if message.late <= 0:
                self.arrive(message)

    def arrive(self, message: Message) -> None:
        self.messages.remove(message)
        if message.verified or message.token_expires_at > self.now:
            self.make_job(message.marker)

    def make_job(self, marker: str) -> Job:
        job = Job(len(self.jobs) + 1, marker, made_at=self.now, ends_at=self.now + 1)
        self.jobs.append(job)
        return job

    def remembered(self, marker: str) -> Job | None:
        return next((job for job in self.jobs if job.marker == marker and job.ends_at + MIN_JOB_AGE > self.now), None)

    # submission.Store

    def claim(self, claim: Claim) -> Claim | None:
        there, expires_at = self.records.get((claim.user, claim.key), (None, 0.0))
        if there is not None and expires_at > self.now:
            return there if there.sender != claim.sender else None
        self.records[claim.user, claim.key] = claim, self.now + KEPT_FOR
        return None

    def take_over(self, claim: Claim, sender: str) -> bool:
        there, _ = self.records.get((claim.user, claim.key), (None, 0.0))
        if there is None or there.answer is not None or there.sender != sender:
            return there is not None and there.sender == claim.sender
        self.records[claim.user, claim.key] = claim, self.now + KEPT_FOR
        return True

    def _still_its(self, claim: Claim) -> bool:
        there, _ = self.records.get((claim.user, claim.key), (None, 0.0))
        return there is not None and there.sender == claim.sender and there.answer is None

    def give_up(self, claim: Claim) -> None:
        if self._still_its(claim):
            there, expires_at = self.records[claim.user, claim.key]
            self.records[claim.user, claim.key] = replace(there, sender_until=0.0), expires_at

    def release(self, claim: Claim) -> None:
        if self._still_its(claim):
            del self.records[claim.user, claim.key]

    def answered(self, claim: Claim, answer: Answer) -> Answer:
        there, expires_at = self.records.get((claim.user, claim.key), (None, 0.0))
        if there is None or there.marker != claim.marker:
            return answer
        if there.answer is None:
            there = replace(there, answer=answer)
            self.records[claim.user, claim.key] = there, expires_at
        return there.answer or {}


class Request:
    """One request in a thread; `halted_at` names the port call before which it stands, None once it is over."""

    def __init__(self, world: World, *, key: str = "key", token_lifespan: float = 900.0, text: str = "job") -> None:
        self.world = world
        self.dies_at = world.now + FUNCTION_TIMEOUT
        self.token_expires_at = world.now + token_lifespan
        world.requests += 1
        number = world.requests
        self.claim = Claim(
            user="alice", key=key, request=text, marker=f"marker-{number}", sender=f"sender-{number}",
            sent_after=world.now, sender_until=self.dies_at, token_expires_at=self.token_expires_at,
        )  # fmt: skip
        self.halted_at: str | None = ""
        self.arguments: tuple[Any, ...] = ()
        self.calls: list[str] = []
        self.result: tuple[Answer, bool] | BaseException | None = None
        self._act: Callable[[], Any] = lambda: None
        self._go, self._halted = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._halted.acquire()

    @property
    def over(self) -> bool:
        return self.halted_at is None

    def step(self, act: Callable[[], Any]) -> None:
        """Let the port call that it halts before be `act`, and run on to the next one."""
        self._act = act
        self._go.release()
        self._halted.acquire()

    def die(self) -> None:
        def killed() -> None:
            raise Died

        while not self.over:
            self.step(killed)

    def _run(self) -> None:
        port = _Port(self)
        try:
            self.result = Submission(port, port, clock=lambda: self.world.now, wait=port.wait).run(self.claim)
        except BaseException as exc:  # noqa: BLE001 - whatever ends it is its result
            self.result = exc
        self.halted_at = None
        self._halted.release()

    def halt(self, name: str, *arguments: Any) -> Any:
        self.halted_at, self.arguments = name, arguments
        self.calls.append(name)
        self._halted.release()
        self._go.acquire()
        return self._act()


class _Port:
    """Both ports of a submission, and its wait: every call halts the request."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: self._request.halt(name, *arguments)


STORE_CALLS = ("claim", "take_over", "give_up", "release", "answered")


def plainly(request: Request) -> Callable[[], Any]:
    """Give what the port call that a request halts before does when nothing goes wrong in it."""
    world, name, arguments = request.world, request.halted_at or "", request.arguments
    if name in STORE_CALLS:
        return lambda: getattr(world, name)(*arguments)
    return {
        "wait": lambda: world.pass_time(arguments[0]),
        "glimpse": lambda: _glimpse(world, arguments[0]),
        "find": lambda: _find(world, arguments[0]),
        "answers": lambda: _answers(world),
        "may_have_forgotten": lambda: _may_have_forgotten(world, arguments[0]),
        "accounted": lambda: _accounted(world, arguments[0]),
        "submit": lambda: _submit(world, request, arguments[0]),
    }[name]


def _submit(world: World, request: Request, marker: str) -> Answer:
    if world.frozen:
        world.messages.append(Message(marker, request.token_expires_at, verified=False, late=0.5, overtaken=1))
        world.pass_time(8)
        raise unknown()
    return {"id": world.make_job(marker).job_id}


def _glimpse(world: World, marker: str) -> Answer | None:
    # Without a record of the job nobody asks Slurm about it.
    return _find(world, marker) if world.tells and world.remembered(marker) else None


def _find(world: World, marker: str) -> Answer | None:
    job = world.remembered(marker)
    _answers(world)
    return {"id": job.job_id} if job else None


def _answers(world: World) -> None:
    if world.frozen:
        world.pass_time(4)
        raise unknown()
    world.pass_time(0.1)
    for message in list(world.messages):
        message.overtaken -= 1
        if message.overtaken < 0:
            world.arrive(message)


def _may_have_forgotten(world: World, claim: Claim) -> bool:
    if world.now - claim.sent_after < MIN_JOB_AGE - 60:
        return False
    return not world.accounting or world.frozen or bool(_accounts(world, claim))


def _accounted(world: World, claim: Claim) -> Answer | None:
    if not (world.accounting and world.accounts_markers):
        return None
    ended = [job for job in _accounts(world, claim) if job.marker == claim.marker and job.ends_at <= world.now]
    return {"id": ended[0].job_id} if ended else None


def _accounts(world: World, claim: Claim) -> list[Job]:
    # slurm_submission.py's window.
    begin, end = claim.sent_after - 60, min(world.now, claim.token_expires_at) + 60
    return [job for job in world.jobs if begin <= job.made_at <= end]


def before(_act: Callable[[], Any], failure: BaseException) -> Callable[[], Any]:
    """Give a call that fails without having done anything."""

    def fail() -> None:
        raise failure

    return fail


def after(act: Callable[[], Any], failure: BaseException) -> Callable[[], Any]:
    """Give a call that does its work, and whose answer is lost."""

    def fail() -> None:
        act()
        raise failure

    return fail


def run_alone(request: Request) -> tuple[Answer, bool] | BaseException | None:
    """Run a request to its end with nothing going wrong but what is wrong already."""
    while not request.over:
        if request.world.now >= request.dies_at:
            request.die()
        else:
            request.step(plainly(request))
    return request.result


def store_failure() -> UnavailableError:
    return UnavailableError("the store does not answer")


def is_final(result: object) -> bool:
    """Tell whether a client would stop: it has its job, or is told that nobody can know."""
    return isinstance(result, tuple) or (isinstance(result, Problem) and result.kind == "submit-outcome-forgotten")
