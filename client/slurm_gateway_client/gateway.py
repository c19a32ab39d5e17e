"""The gateway as Python sees it: one method for each thing that can be asked of it."""

from __future__ import annotations

import json
import os
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from . import backoff, identities, refusals, token_cache, tokens
from .errors import AuthenticationError, ClientError, NotFoundError, SettingsError
from .tokens import Token, Tokens
from .transport import Call, Transport
from .waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import requests

    from .settings import Settings

Job = dict[str, Any]
"""A job as GET /jobs/{id} gives it."""

PATIENCE = 900.0
"""Seconds to bear a gateway that does not answer: longer than the ten minutes in which it is replaced."""

# Each Slurm release speaks three or four of these; this one is spoken by all from 24.05 to 26.05.
_NATIVE_VERSIONS = ("v0.0.42", "v0.0.43", "v0.0.44", "v0.0.45", "v0.0.41", "v0.0.40")


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that was submitted. `joined` says that an earlier request with the same key had done so already."""

    job: Job
    joined: bool

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.job["id"])


@dataclass(frozen=True, slots=True)
class Reading:
    """A job as it was read: None if it has not changed. `pause` is how many seconds to leave it alone for."""

    job: Job | None
    etag: str
    pause: float | None


class Gateway:
    """A gateway, and the Slurm user that one is there. It may be used from several threads.

    `tokens` gives the tokens. `from_environ` makes one as the command does.
    """

    def __init__(self, transport: Transport, tokens: Tokens) -> None:
        self._transport = transport
        self.tokens = tokens

    @classmethod
    def from_environ(
        cls,
        settings: Settings | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        patience: float = PATIENCE,
        connections: int = 8,
        notify: Callable[[str], None] = lambda _: None,
        wait: Callable[[float], None] = time.sleep,
    ) -> Gateway:
        """Return the gateway that settings and environment name. Raises SettingsError, AuthenticationError.

        `patience` holds where the settings name none; `connections` is how many requests there are at once at most.
        `notify` is told in sentences of what is tried again; `wait` sleeps, and may raise to end it all.
        """
        if settings is None:
            from .settings import Settings

            settings = Settings.from_environ(environ)
        transport = Transport(
            settings.url, patience=settings.patience or patience, connections=connections, notify=notify, wait=wait
        )
        return cls(transport, _tokens(settings, transport, environ))

    def __enter__(self) -> Self:
        """Return itself, to be closed at the end of a with statement."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._transport.close()

    def hurried(self, patience: float) -> Gateway:
        """Return the same gateway for last requests: with less patience, and whatever was to end it all forgotten."""
        return Gateway(Transport(self.url, patience=patience), self.tokens)

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self._transport.url

    def submit(
        self,
        script: bytes | None,
        *,
        name: str | None = None,
        options: Sequence[tuple[str, str]] = (),
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Submitted:
        """Submit a batch script as sbatch does, once, however often the way to the gateway fails.

        `script` may be None where the option `wrap` is given; `name` is its file's, which becomes the job's. `options`
        are sbatch's by their long names, `arguments` the script's. `environment` is all of the job's; without it it is
        the user's login environment. `key` makes one job of all submits with it within 24 hours. Raises RefusedError,
        UnreachableError, AuthenticationError.
        """
        call = submission(script, name=name, options=options, arguments=arguments, environment=environment)
        headers = {**call.headers, "Idempotency-Key": key or str(uuid.uuid4())}
        what = f"submit {name or 'the job'}"
        answer = self._ask(Call(call.method, call.path, call.query, call.body, headers), what, (201,))
        return Submitted(
            refusals.members(answer, what, *_JOB), answer.headers.get("Idempotent-Replayed", "").lower() == "true"
        )

    def preview(self, script: bytes | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 (as submit takes them)
        """Return what `submit` would send to slurmrestd, and send nothing."""
        call = submission(script, **more)
        query = (*call.query, ("dry_run", "true"))
        what = "translate the script"
        answer = self._ask(Call(call.method, call.path, query, call.body, call.headers), what)
        return refusals.members(answer, what, "api_version")

    def job(self, job_id: str) -> Job:
        """Return a job. Raises NotFoundError."""
        what = f"show job {job_id}"
        return refusals.members(self._ask(Call("GET", _path(job_id)), what), what, *_JOB)

    def read(self, job_id: str, etag: str = "") -> Reading:
        """Return a job if it is not what it was when this ETag came with it, and when to ask again.

        Raises NotFoundError; with an ETag only where the gateway itself says that there is no such job any more.
        """
        headers = {"If-None-Match": etag} if etag else {}
        what = f"show job {job_id}"
        answer = self._ask(Call("GET", _path(job_id), headers=headers, is_known=bool(etag)), what, (200, 304))
        pause = backoff.retry_after(answer.headers.get("Retry-After"), time.time())
        job = refusals.members(answer, what, *_JOB) if answer.status_code == 200 else None
        return Reading(job, answer.headers.get("ETag", ""), pause)

    def jobs(self, *, limit: int = 100, **filters: str | None) -> Iterator[Job]:
        """Give jobs, newest first, `limit` at most. `filters` are those of GET /jobs: state, partition, name, since."""
        given = [(name, value) for name, value in filters.items() if value]
        cursor: str | None = None
        left = limit
        while left > 0:
            query = [*given, ("limit", str(min(left, 500))), *([("cursor", cursor)] if cursor else [])]
            page = refusals.members(
                self._ask(Call("GET", "/jobs", tuple(query)), "list jobs"), "list jobs", "jobs", "next"
            )
            yield from page["jobs"][:left]
            left -= len(page["jobs"])
            cursor = page["next"]
            if not cursor:
                return

    def cancel(self, job_id: str, signal: str | None = None) -> Job | None:
        """Cancel a job, or send it a signal by name; return it as it is then, if it can be shown."""
        what = f"send {signal} to job {job_id}" if signal else f"cancel job {job_id}"
        query = (("signal", signal),) if signal else ()
        call = Call("DELETE", _path(job_id), query, repeatable=not signal)
        return _changed(self._ask(call, what, (202,)), what)

    def change(self, job_id: str, **change: bool | int | None) -> Job | None:
        """Change a job as PATCH does: `hold`, `time_limit` (seconds, None for no limit), `requeue`."""
        # A second requeue would end the run that the first one began.
        is_repeatable = "requeue" not in change
        call = Call("PATCH", _path(job_id), body=json.dumps(change).encode(), headers=_JSON, repeatable=is_repeatable)
        what = f"change job {job_id}"
        return _changed(self._ask(call, what, (202,)), what)

    def partitions(self) -> list[dict[str, Any]]:
        """Return the partitions in slurmrestd's own words."""
        return self._native("partitions")

    def nodes(self) -> list[dict[str, Any]]:
        """Return the nodes in slurmrestd's own words."""
        return self._native("nodes")

    def wait(
        self,
        job_ids: Sequence[str],
        *,
        changed: Callable[[Job], None] = lambda _: None,
        wait: Callable[[float], None] = time.sleep,
    ) -> list[Job]:
        """Return jobs when all of them have ended, in the order given.

        `changed` is told of each change of a job. It asks as seldom as the gateway's Retry-After says.
        """
        waiting = Waiting(self.read, job_ids, changed=changed)
        while not waiting.is_over():
            wait(waiting.step())
        return waiting.ended()

    def ask(self, call: Call, what: str, expected: tuple[int, ...] = (200,)) -> requests.Response:
        """Return the answer to a request of one's own; `what` is what it asks for, as in "show job 12"."""
        return self._ask(call, what, expected)

    def _native(self, what: str) -> list[dict[str, Any]]:
        for version in _NATIVE_VERSIONS:
            try:
                answer = self._ask(Call("GET", f"/slurm/{version}/{what}/"), f"list {what}")
            except NotFoundError:
                continue  # slurmrestd says so of versions that it does not speak
            listed: list[dict[str, Any]] = refusals.members(answer, f"list {what}", what)[what]
            return listed
        raise ClientError(
            f"Slurm's REST API has no {what} in a version that this client knows.",
            todo="Update the client: pip install --upgrade.",
        )

    def _ask(self, call: Call, what: str, expected: tuple[int, ...] = (200,)) -> requests.Response:
        used: list[Token] = []

        def sign(_: Call) -> Mapping[str, str]:
            used.append(self.tokens.current())
            return used[-1].headers()

        answer = self._transport.send(call, sign)
        if refusals.is_by_the_edge(answer):
            # It expired on the way, or its key was dropped.
            self.tokens.replace(used[-1])
            answer = self._transport.send(call, sign)
            if refusals.is_by_the_edge(answer):
                raise AuthenticationError(
                    f"The gateway refuses a new token of {used[-1].user} too. {refusals.sentence(answer)}",
                    means="The token is good for another gateway, or this user may not do this.",
                    todo="Check SLURM_GATEWAY_URL; if it is right, an operator finds the reason in the edge's log.",
                )
        if answer.status_code not in expected:
            raise refusals.error(answer, what)
        return answer


_JSON = {"Content-Type": "application/json"}
_JOB = ("id", "state", "state_flags")  # by these one tells a job from another service's answer


def _changed(answer: requests.Response, what: str) -> Job | None:
    """Return the job as it is after a change; None where it cannot be shown."""
    return None if answer.content.strip() == b"null" else refusals.members(answer, what, *_JOB)


def submission(
    script: bytes | None,
    *,
    name: str | None = None,
    options: Sequence[tuple[str, str]] = (),
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Call:
    """Return the request that submits a script, without a key. The same arguments give the same bytes."""
    try:
        text = None if script is None else script.decode()
    except UnicodeDecodeError:
        # JSON holds text only. As it is, the script has no file name and no arguments.
        if arguments or environment:
            raise ClientError(
                f"{name or 'The script'} is not UTF-8, so that it can have no arguments.",
                todo="Save it as UTF-8, or write the arguments into it.",
            ) from None
        return Call("POST", "/jobs", tuple(options), script, {"Content-Type": "application/octet-stream"})
    asked: dict[str, Any] = {"script": text, "script_name": name, "arguments": list(arguments)}
    if environment is not None:
        asked["environment"] = dict(environment)
    # In the query an option may stand twice, as on a command line; the body has room for what is long.
    query: tuple[tuple[str, str], ...] = tuple(options)
    if len(dict(options)) == len(options):
        asked["options"], query = dict(options), ()
    body = json.dumps({name: value for name, value in asked.items() if value not in (None, [])}).encode()
    return Call("POST", "/jobs", query, body, _JSON)


def _path(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


def _tokens(settings: Settings, transport: Transport, environ: Mapping[str, str]) -> Tokens:
    if settings.given_token and settings.auth in {"auto", "token"}:
        given = tokens.given(settings.given_token, time.time())
        if settings.user not in {None, given.user}:
            raise SettingsError(
                f"The token in SLURM_JWT is one of {given.user}, and {settings.user} is asked for.",
                means="A token that was given is used as it is. Nothing was sent.",
                todo="Unset SLURM_JWT to have a token made, or leave out --user and SLURM_GATEWAY_USER.",
            )
        return Tokens(None, start=given)
    if settings.auth == "token":
        raise AuthenticationError(
            "There is no token in SLURM_JWT.", todo="Put one there, or choose another way by --auth."
        )
    identity = identities.choose(settings, transport, environ)
    place = (settings.url, settings.user or "", str(settings.lifespan or ""), *identity.cache_key)
    folder = token_cache.folder(environ)
    cache = None if folder is None else token_cache.TokenCache(folder, place)
    return Tokens(lambda patience: identities.fetch(identity, settings, transport, patience), cache=cache)
