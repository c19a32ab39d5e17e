"""What POST /jobs is sent: a batch script, or JSON; and options in the query, which win over both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import collect, idempotency, json_body, sbatch
from .problem import Problem
from .scripts import is_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .router import Request

Option = tuple[str, str | int | bool | None]

_MEMBERS = (
    "script", "script_sha256", "script_name", "options", "environment", "working_directory", "arguments", "collect",
)  # fmt: skip
_VARIABLE = re.compile(r"[^=\0]+")
# More is somebody's mistake: the kernel takes some 2 MiB of them in all.
_ARGUMENTS = 4096
_LONGEST_QUOTE = 1000


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A submit as it was asked for. A script is given as bytes, by its SHA-256, or not at all (`wrap`)."""

    fingerprint: str
    options: tuple[Option, ...]
    script: bytes | None = None
    script_sha256: str | None = None
    script_name: str | None = None
    environment: dict[str, str] | None = None
    working_directory: str | None = None
    arguments: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()
    dry_run: bool = False


def parse(request: Request) -> SubmitRequest:
    """Return what a request asks for; Problem 400, 413 or 422 if it cannot be told."""
    body = request.body()
    pairs = request.query()
    as_json = is_json(request.headers())
    fingerprint = idempotency.fingerprint(
        [b"json" if as_json else b"script", *(part.encode() for pair in pairs for part in pair), body]
    )
    dry_run = _dry_run([value for name, value in pairs if name == "dry_run"])
    options: tuple[Option, ...] = tuple(pair for pair in pairs if pair[0] != "dry_run")
    if not as_json:
        return SubmitRequest(fingerprint, options, script=body or None, dry_run=dry_run)
    asked = _object(body)
    text, digest = asked.get("script"), asked.get("script_sha256")
    if text is not None and digest is not None:
        raise not_valid("script and script_sha256 are both given; give one")
    return SubmitRequest(
        fingerprint,
        (*_options(asked), *options),
        script=None if text is None else text.encode(),
        script_sha256=digest,
        script_name=asked.get("script_name"),
        environment=asked.get("environment"),
        working_directory=asked.get("working_directory"),
        arguments=tuple(asked.get("arguments") or ()),
        collect=tuple(asked.get("collect") or ()),
        dry_run=dry_run,
    )


def read_script(body: bytes) -> sbatch.Script:
    """Return a batch script that sbatch would take; Problem 413 or 422, with line and column, if it would not."""
    if len(body) > sbatch.LONGEST:
        raise Problem(
            413,
            "script-too-long",
            title="Script too long",
            detail=f"The script has {len(body)} bytes; sbatch takes {sbatch.LONGEST} at most. Put the data into files.",
        )
    try:
        return sbatch.read(body)
    except sbatch.SubmissionRefusedError as exc:
        raise refused(exc) from exc


def refused(exc: sbatch.SubmissionRefusedError) -> Problem:
    """Return the 422 for a script or an option that is not sent."""
    members: dict[str, Any] = {}
    if exc.place.line is not None:
        members = {"line": exc.place.line, "column": exc.place.column}
    if isinstance(exc, sbatch.OptionError):
        members["option"] = exc.option[:_LONGEST_QUOTE]
    carried = not isinstance(exc, sbatch.NotCarriedError)
    return Problem(
        422,
        ("script-not-valid" if isinstance(exc, sbatch.ScriptError) else "option-not-valid") if carried
        else "option-not-carried",
        title="sbatch would not submit this" if carried else "Not carried by the REST API",
        # It quotes what is wrong, which may be most of a script.
        detail=f"{str(exc)[0].upper()}{str(exc)[1:_LONGEST_QUOTE]}",
        members=members,
    )  # fmt: skip


def is_json(headers: Mapping[str, str]) -> bool:
    """Tell whether a body is JSON. curl calls a script a form unless told otherwise: only JSON must be named."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def no_query(request: Request) -> None:
    """Raise Problem 422 if a request has a query where none means anything."""
    for name, _ in request.query():
        raise not_valid(f"there is no parameter {name!r} here")


def not_valid(what: str) -> Problem:
    """Return the 422 for a request that can be read and means nothing."""
    return Problem(422, "request-not-valid", title="Request is not valid", detail=f"The request is not valid: {what}.")


def _dry_run(values: list[str]) -> bool:
    if set(values) - {"true", "false"} or len(values) > 1:
        raise not_valid("dry_run should be true or false, once")
    return values == ["true"]


def _object(body: bytes) -> dict[str, Any]:
    # A script may be as long as API Gateway lets through; read_script says where sbatch's own limit is.
    advice = "Send the script itself with another Content-Type, or mend the JSON."
    asked = json_body.read(body, largest=None, advice=advice)
    if not isinstance(asked, dict):
        raise not_valid('the body should be a JSON object such as {"script": "#!/bin/sh\\n..."}')
    for name in asked:
        if name not in _MEMBERS:
            raise not_valid(f"there is no member {name!r}; there are {', '.join(_MEMBERS)}")
    asked = {name: value for name, value in asked.items() if value is not None}
    # A NUL is for sbatch's own check, which names its place.
    if not (isinstance(script := asked.get("script", ""), str) and _is_text(script.replace("\0", ""))):
        raise not_valid("script should be a text")
    if "script_sha256" in asked and not is_digest(asked["script_sha256"]):
        raise not_valid("script_sha256 should be 64 small hexadecimal digits")
    if not _is_text(asked.get("script_name", "")):
        raise not_valid("script_name should be a text, the name of the script's file")
    directory = asked.get("working_directory", "/")
    if not (_is_text(directory) and directory.startswith("/")):
        raise not_valid("working_directory should be an absolute path")
    variables = asked.get("environment", {})
    if not (isinstance(variables, dict) and all(_is_variable(*pair) for pair in variables.items())):
        raise not_valid("environment should be an object of names and texts, without = in a name and without NUL")
    arguments = asked.get("arguments", [])
    if not (isinstance(arguments, list) and len(arguments) <= _ARGUMENTS and all(map(_is_text, arguments))):
        raise not_valid(f"arguments should be a list of at most {_ARGUMENTS} texts without NUL")
    patterns = asked.get("collect", [])
    if not (isinstance(patterns, list) and all(collect.is_pattern(each) and _is_text(each) for each in patterns)):
        raise not_valid("collect should be a list of file patterns such as results/*.csv, without .. in them")
    if len(collect.word(patterns)) > collect.LONGEST:
        raise not_valid("collect is too long for Slurm; name the files in the script, by #GATEWAY output= lines")
    return asked


def _options(asked: dict[str, Any]) -> list[Option]:
    options = asked.get("options", {})
    if not isinstance(options, dict):
        raise not_valid("options should be an object of sbatch's option names and their values")
    for name, value in options.items():
        if not (value is None or isinstance(value, (int, bool)) or _is_text(value)) or not _is_text(name):
            raise not_valid(f"the option {name!r} should have a text, a whole number, true, false or null")
    return list(options.items())


def _is_variable(name: str, value: object) -> bool:
    return bool(_VARIABLE.fullmatch(name)) and _is_text(name) and _is_text(value)


def _is_text(value: object) -> bool:
    """Tell whether Slurm can hold a value: JSON's halves of surrogate pairs are no UTF-8."""
    if not isinstance(value, str) or "\0" in value:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in value)
