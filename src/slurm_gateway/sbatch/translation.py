"""A script and options become what `POST /slurm/VERSION/job/submit` takes, exactly as sbatch would have it."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import api_versions, checks, description, environment, getopt, options, releases
from .errors import REQUEST, NotCarriedError, OptionError, Place, ScriptError, ValueNotCarriedError, ValueRefusedError
from .getopt import Given
from .implied_tasks import implied_tasks
from .moments import Clock
from .options import Argument
from .request import Request
from .script import Script, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .releases import Release

    Overrides = Sequence[tuple[str, str | int | bool | None]]

# Slurm's texts end at a NUL, and what came behind it, such as a marker, would be lost; Python reads no such number.
_UNFIT = re.compile(r"\0|[0-9]{1000}", re.ASCII)
_MOST_NOTICES = 50
_LONGEST_NOTICE = 500
_ON = ("", "yes", "true")
_OFF = ("no", "false", "0")


@dataclass(frozen=True)
class Submission:
    """What there is besides script and options; sbatch takes it from where and when it runs.

    `environment` is exactly what the job gets, but for SLURM_ variables; None gives it its user's login
    environment. `script_name` is a file's name, which becomes the job's; without one the name is `sbatch`, as for
    a script that sbatch reads from standard input. `cluster` is the cluster's name, where it is known.
    """

    working_directory: str
    environment: Mapping[str, str] | None = None
    arguments: Sequence[str] = ()
    script_name: str | None = None
    clock: Clock = field(default_factory=Clock)
    cluster: str | None = None
    submit_host: str = "slurm-gateway"
    umask: int = 0o022

    def variables(self) -> dict[str, str]:
        """Return what sbatch sets in each job's environment about its submission."""
        return {
            "SLURM_PRIO_PROCESS": "0",
            "SLURM_SUBMIT_DIR": self.working_directory,
            "SLURM_SUBMIT_HOST": self.submit_host,
            "SLURM_UMASK": f"{self.umask:04o}",
        }


@dataclass(frozen=True)
class Translation:
    """A submission to slurmrestd.

    `api_version` is the version that carries it. `jobs` holds one job description, or one for each component of a
    heterogeneous job; the script stands in the first. `notices` are sentences for the submitter about what sbatch
    reads otherwise than it looks, or takes without effect.
    """

    api_version: str
    jobs: tuple[dict[str, Any], ...]
    notices: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """Return the body of the request."""
        return {"job": self.jobs[0]} if len(self.jobs) == 1 else {"jobs": list(self.jobs)}


def translate(
    script: Script | None,
    overrides: Overrides,
    submission: Submission,
    *,
    api_versions_of_cluster: Sequence[str],
) -> Translation:
    """Translate a submission.

    Takes the script, None where `wrap` is among the options; the request's options as pairs of a name (long,
    or a single letter, without dashes) and a value, of which the last wins, over the script too; and the API
    versions that the cluster speaks. Of those the newest that carries the whole is taken. Raises ScriptError,
    OptionError or NotCarriedError.
    """
    versions = tuple(sorted(api_versions_of_cluster, key=lambda version: int(version.rpartition(".")[2]), reverse=True))
    release = releases.of_newest_api(versions[0])
    requested = [_override(name, value, release) for name, value in overrides]
    if wrapped := [given for given in requested if given.option.name == "wrap"]:
        if script is not None:
            raise OptionError(REQUEST, "--wrap", "it stands in place of a script, and there is a script too")
        if submission.arguments:
            raise OptionError(REQUEST, "--wrap", "script arguments are not permitted with it")
        script = wrap(wrapped[-1].value or "")
        requested = [given for given in requested if given.option.name != "wrap"]
    if script is None:
        raise ScriptError(Place(1, 1), "there is no batch script; send one, or give wrap")
    requests = list(_components(script, requested, Request(release, submission.working_directory,
                                                           submission.clock, submission.cluster)))  # fmt: skip
    if script.foreign is not None and not requests[0].ignore_pbs:
        raise ScriptError(
            script.foreign,
            "sbatch would read this line as an option of another scheduler; write it as #SBATCH, or give "
            "--ignore-pbs to have it taken for a comment",
        )
    for request in requests:
        checks.complete(request)
    jobs = [_describe(request, _default_name(script, submission)) for request in requests]
    version = api_versions.newest_that_carries(jobs, versions)
    if version is None:
        raise _not_carried(requests, jobs, versions)
    jobs = [api_versions.fitted(job, version) for job in jobs]
    _add_environment(jobs, requests, submission)
    jobs[0]["script"] = script.text
    if submission.arguments:
        jobs[0]["argv"] = [submission.script_name or "sbatch", *submission.arguments]
    notices = [*script.notices, *(notice for request in requests for notice in request.notices)]
    notices += api_versions.shortcomings(version, release)
    return Translation(version, tuple(jobs), _readable(notices))


def _readable(notices: Sequence[str]) -> tuple[str, ...]:
    """Return no more notices than somebody reads, and than an answer holds: a script can make any number of them."""
    distinct = [notice[:_LONGEST_NOTICE] for notice in dict.fromkeys(notices)]
    if len(distinct) > _MOST_NOTICES:
        distinct[_MOST_NOTICES:] = [f"and {len(distinct) - _MOST_NOTICES} more"]
    return tuple(distinct)


def _override(name: str, value: str | int | bool | None, release: Release) -> Given:
    """Return an option of the request. A flag is set by nothing, yes, true or a number, and unset by no."""
    table = options.of_release(release)
    option = options.letters(release).get(name) if len(name) == 1 else table.get(name)
    if option is None:
        raise OptionError(REQUEST, name, f"sbatch of Slurm {release} has no such option")
    text = {True: "yes", False: "no", None: ""}.get(value) if isinstance(value, bool) or value is None else str(value)
    if option.argument is not Argument.NONE:
        if option.argument is Argument.OPTIONAL and (value is True or not text):
            text = None
        if value is False:
            raise OptionError(REQUEST, f"--{option.name}", "false is no value of it; leave it out")
        return Given(option, text, REQUEST)
    word = (text or "").lower()
    if word in _OFF:
        return Given(option, "no", REQUEST)
    if word in _ON or word.lstrip("+-").isdigit():
        return Given(option, None, REQUEST)
    raise OptionError(REQUEST, f"--{option.name}", f'it is on or off, and "{text}" is neither yes nor no')


def _components(script: Script, requested: Sequence[Given], request: Request) -> Iterator[Request]:
    """Give the request of each component; those of the script's options that are not per component go on."""
    for position, words in enumerate(script.components):
        if position:
            request = dataclasses.replace(request, given=dict(request.given), flags=set(request.flags), notices=[])
            for option in options.of_release(request.release).values():
                if option.per_component:
                    _reset(request, option)
        for given in getopt.parse(words, request.release):
            if given.option.name == "wrap":
                raise OptionError(given.place, "--wrap", "sbatch ignores it within a script; write the command there")
            _apply(request, given)
        for given in requested:
            _apply(request, given)
        yield request


def _apply(request: Request, given: Given) -> None:
    option = given.option
    if option.refused:
        raise NotCarriedError(given.place, f"--{option.name}", option.refused)
    if given.value is not None and (unfit := _UNFIT.search(given.value)):
        what = "a NUL character" if unfit[0] == "\0" else "a number of a thousand digits"
        raise OptionError(given.place, f"--{option.name}", f"Slurm can hold no value with {what}")
    if option.argument is Argument.NONE and given.value == "no":
        _reset(request, option)
        return
    request.given[option.key] = given.place
    if not option.fields and not option.keeps and option.says and option.name != "propagate":
        request.notice(given.place, f"--{option.name} {option.says}")
    try:
        option.sets(request, given.value)
    except ValueRefusedError as exc:
        kind = NotCarriedError if isinstance(exc, ValueNotCarriedError) else OptionError
        raise kind(given.place, f"--{option.name}", str(exc)) from exc


_DEFAULTS = {
    each.name: each for each in dataclasses.fields(Request)
    if each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING
}  # fmt: skip


def _reset(request: Request, option: options.Option) -> None:
    request.given.pop(option.key, None)
    request.flags -= set(option.flags)
    for attribute in option.keeps:
        each = _DEFAULTS[attribute]
        value = each.default_factory() if each.default_factory is not dataclasses.MISSING else each.default
        setattr(request, attribute, value)


def _describe(request: Request, name: str) -> dict[str, Any]:
    job = description.describe(request, default_name=name)
    try:
        tasks = implied_tasks(job)
    except ValueRefusedError as exc:
        about = ("ntasks-per-gpu", "ntasks-per-tres", "gpus-per-task", "tres-per-task")
        option = next(name for name in about if name in request.given)
        raise OptionError(request.given[option], f"--{option}", str(exc)) from exc
    return job if tasks is None else job | {"tasks": tasks}


def _default_name(script: Script, submission: Submission) -> str:
    if script.wraps is not None:
        return "wrap"
    return posixpath.basename(submission.script_name or "") or "sbatch"


def _add_environment(jobs: list[dict[str, Any]], requests: list[Request], submission: Submission) -> None:
    """Put each component's environment in; what steps read of the others stands in the first one's."""
    environments = [environment.exported(each, submission.environment, submission.variables()) for each in requests]
    first = environments[0]
    for group, request in enumerate(requests):
        # srun knows a component's variables by a new name and an old one.
        suffixes = (f"_HET_GROUP_{group}", f"_PACK_GROUP_{group}") if len(requests) > 1 else ("",)
        for suffix in suffixes:
            first |= {name + suffix: value for name, value in environment.for_steps(request).items()}
    first |= environment.for_launchers(first)
    for job, variables in zip(jobs, environments, strict=True):
        job["environment"] = [f"{name}={value}" for name, value in variables.items()]


def _not_carried(requests: list[Request], jobs: list[dict[str, Any]], versions: tuple[str, ...]) -> NotCarriedError:
    """Return the error for the first thing that the newest version cannot carry, naming the option behind it."""
    for request, job in zip(requests, jobs, strict=True):
        for field_name, value in api_versions.missing(job, versions[0]):
            for option in options.of_release(request.release).values():
                if option.key in request.given and _may_set(option, field_name, value):
                    what = f"{field_name} {value}".strip()
                    return NotCarriedError(
                        request.given[option.key],
                        f"--{option.name}",
                        f"no API version of this cluster carries {what} with all else in the job "
                        f"(it speaks {', '.join(versions)})",
                    )
    raise AssertionError(f"nothing is missing in {versions}")


def _may_set(option: options.Option, field_name: str, value: str) -> bool:
    return field_name in option.fields and (not option.flags or value in option.flags)
