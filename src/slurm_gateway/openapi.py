"""The OpenAPI document of /jobs and /scripts, made here and served by the function that answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .job_reads import not_valid
from .job_table import LONGEST_PAGE
from .router import json_response

if TYPE_CHECKING:
    from .router import Request, Response

Document = dict[str, Any]

_TIME = {"type": ["string", "null"], "format": "date-time"}
_TEXT = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": ["integer", "null"]}
_SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}

_JOB: dict[str, tuple[Document, str]] = {
    "id": ({"type": "string", "examples": ["12", "12_3", "12+1"]}, "The job's id: a task's 12_3, a component's 12+1."),
    "cluster": ({"type": "string"}, "Slurm's name of the cluster."),
    "name": ({"type": "string"}, "The job's name."),
    "user": ({"type": "string"}, "Whose job it is."),
    "account": ({"type": "string"}, "The account that pays."),
    "partition": ({"type": "string"}, "The partition."),
    "state": ({"type": "string", "examples": ["PENDING", "COMPLETED"]}, "Slurm's base state."),
    "state_flags": ({"type": "array", "items": {"type": "string"}}, "Slurm's flags on the state, such as COMPLETING."),
    "state_reason": (_TEXT, "Why it is in this state, in Slurm's word."),
    "held": ({"type": "boolean"}, "Whether it waits to be released."),
    "exit_code": (_NUMBER, "The script's exit code once it ended; of an array, the greatest."),
    "signal": (_NUMBER, "The number of the signal that ended it."),
    "submit_time": (_TIME, "When it was submitted; after a requeue, when that was."),
    "start_time": (_TIME, "When it started."),
    "end_time": (_TIME, "When it ended."),
    "time_limit": (_NUMBER, "Seconds it may run; null for no limit of its own."),
    "nodes": (_COUNT, "How many nodes."),
    "node_list": (_TEXT, "Which nodes, in Slurm's notation."),
    "cpus": (_COUNT, "How many CPUs."),
    "working_directory": (_TEXT, "Where it starts."),
    "stdout": (_TEXT, "The file of its standard output; %a stands for a task's number."),
    "stderr": (_TEXT, "The file of its standard error."),
    "restarts": (_COUNT, "How often it was requeued."),
    "tasks": (_TEXT, "An array's tasks, in Slurm's notation."),
    "components": ({"type": ["array", "null"], "items": {"type": "string"}}, "A heterogeneous job's components."),
    "script": ({"type": ["string", "null"]}, "SHA-256 of the script, where it came through this API."),
    "output": (
        {
            "type": ["object", "null"],
            "required": ["collected_at", "stdout", "stderr", "files", "problems", "more_problems"],
            "properties": {
                "collected_at": {"type": "string", "format": "date-time"},
                "stdout": {"type": ["object", "null"]},
                "stderr": {"type": ["object", "null"]},
                "files": {"type": "object", "properties": {"count": _COUNT, "size": _COUNT}},
                "problems": {"type": "array", "items": {"type": "object"}},
                "more_problems": _COUNT,
            },
        },
        "What was kept of what it printed and left, and what was not; null before that.",
    ),
    "links": (
        {"type": "object", "additionalProperties": {"type": "string"}, "required": ["self"]},
        "Paths of what belongs to it.",
    ),
}

_SLURM_ERROR = {
    "type": "object",
    "description": "Slurm's own words and number.",
    "properties": {
        "error_number": {"type": "integer"},
        "error": {"type": "string"},
        "description": {"type": "string"},
    },
}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `detail` says what to do.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The request's id, by which an operator finds its log line."},
        "slurm": _SLURM_ERROR,
        "line": {"type": "integer", "description": "The script's line that is at fault."},
        "column": {"type": "integer"},
    },
}
_MESSAGE = {
    "type": "object",
    "description": "API Gateway's own error.",
    "required": ["message"],
    "properties": {"message": {"type": ["string", "null"]}},
}
_SUBMIT = {
    "type": "object",
    "description": "A submit as JSON: a script, or the SHA-256 of a staged one, with what sbatch would be given.",
    "properties": {
        "script": {"type": "string"},
        "script_sha256": _SHA256,
        "script_name": {"type": "string"},
        "options": {
            "type": "object",
            "description": "sbatch's options by their long names.",
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        },
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "working_directory": {"type": "string"},
        "arguments": {"type": "array", "items": {"type": "string"}},
        "collect": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "description": "Files to keep when the job has ended: results/*.csv.",
        },
    },
    "additionalProperties": False,
}
_CHANGE = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "hold": {"type": "boolean", "description": "true holds the job, false releases it."},
        "time_limit": {"type": ["integer", "null"], "minimum": 1, "description": "Seconds, rounded up to minutes."},
        "requeue": {"const": True, "description": "Puts the job back into the queue (Slurm 26.05 and later)."},
    },
}

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "12, a task of an array 12_3, a component of a heterogeneous job 12+1.",
    "schema": {"type": "string", "pattern": r"^[1-9][0-9]{0,9}([_+][0-9]{1,5})?$"},
}
_KEPT = {
    "type": ["object", "null"],
    "required": ["size"],
    "properties": {"size": _COUNT, "truncated": {"type": "boolean"}, "link": {"type": "string"}},
}
_OUTPUT = {
    "type": "object",
    "description": "What was kept of an ended job.",
    "required": ["id", "collected_at", "stdout", "stderr", "files", "problems", "more_problems"],
    "properties": {
        "id": {"type": "string"},
        "collected_at": {"type": "string", "format": "date-time"},
        "stdout": _KEPT,
        "stderr": _KEPT,
        "files": {"type": "array", "items": {**_KEPT, "type": "object", "required": ["name", "size", "link"]}},
        "problems": {
            "type": "array",
            "description": "What was not kept, and why.",
            "items": {
                "type": "object",
                "required": ["path", "problem"],
                "properties": {"path": {"type": "string"}, "problem": {"type": "string"}, "size": _COUNT},
            },
        },
        "more_problems": _COUNT,
    },
}
_DOWNLOAD = {
    "type": "object",
    "required": ["url", "expires_at", "size"],
    "properties": {
        "url": {"type": "string"},
        "expires_at": {"type": "string", "format": "date-time"},
        "size": _COUNT,
        "truncated": {"type": "boolean"},
        "name": {"type": "string"},
    },
}

_WHY = {
    "400": "The request cannot be read",
    "401": "The token is missing, expired, or refused by Slurm",
    "403": "Not permitted",
    "404": "No such job or script of the caller's",
    "409": "In progress, or not in this state",
    "413": "Too long",
    "422": "Slurm or the gateway does not accept this",
    "429": "Too many requests",
    "431": "The path, query and headers are longer than 10,240 bytes",
    "500": "A fault of the gateway",
    "502": "No usable answer from Slurm",
    "503": "Not available now; Retry-After says when to try again",
    "504": "No answer from Slurm in time",
}
_ALWAYS = ("400", "401", "403", "429", "431", "500", "502", "503", "504")


def document() -> Document:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "slurm-gateway: jobs",
            "version": "1",
            "description": "sbatch over HTTP: submit, read, change and cancel Slurm jobs.",
        },
        "servers": [{"url": "/"}],
        "security": [{"SlurmUser": [], "SlurmToken": []}],
        "paths": {
            "/jobs": {"get": _list(), "post": _submit()},
            "/jobs/openapi.json": {"get": _describe()},
            "/jobs/{id}": {"parameters": [_ID], "get": _read(), "delete": _cancel(), "patch": _patch()},
            "/jobs/{id}/output": {"parameters": [_ID], "get": _output()},
            "/scripts": {"post": _stage()},
            "/scripts/{sha256}": {
                "parameters": [{"name": "sha256", "in": "path", "required": True, "schema": _SHA256}],
                "get": _script(),
            },
        },
        "components": {
            "securitySchemes": {
                "SlurmUser": {"type": "apiKey", "in": "header", "name": "X-SLURM-USER-NAME"},
                "SlurmToken": {"type": "apiKey", "in": "header", "name": "X-SLURM-USER-TOKEN"},
            },
            "schemas": {
                "Job": _job_schema(),
                "Page": {
                    "type": "object",
                    "required": ["jobs", "next"],
                    "properties": {
                        "jobs": {"type": "array", "items": _schema("Job")},
                        "next": {"type": ["string", "null"], "description": "The next page's cursor."},
                    },
                },
                "Submit": _SUBMIT,
                "Output": _OUTPUT,
                "Download": _DOWNLOAD,
                "Change": _CHANGE,
                "Problem": _PROBLEM,
                "Message": _MESSAGE,
            },
        },
    }


def serve(request: Request) -> Response:
    """Answer GET /jobs/openapi.json."""
    for name, _ in request.query():
        raise not_valid(f"there is no parameter {name!r} here")
    return json_response(200, document(), {"cache-control": "private, max-age=300"})


def _schema(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Document) -> Document:
    return {"application/json": {"schema": schema}}


def _job_schema() -> Document:
    return {
        "type": "object",
        "description": "A job, the same on every release of Slurm.",
        "required": list(_JOB),
        "properties": {name: {**schema, "description": says} for name, (schema, says) in _JOB.items()},
    }


def _responses(good: dict[str, Document], *bad: str) -> Document:
    """Return an operation's responses; a status that API Gateway gives too may have its shape."""
    problem = {"application/problem+json": {"schema": _schema("Problem")}, **_json(_schema("Message"))}
    statuses = sorted({*_ALWAYS, *bad})
    return good | {status: {"description": _WHY[status], "content": problem} for status in statuses}


def _list() -> Document:
    def parameter(name: str, schema: Document, says: str) -> Document:
        return {"name": name, "in": "query", "required": False, "schema": schema, "description": says}

    return {
        "operationId": "listJobs",
        "summary": "Your jobs, newest first",
        "description": "From the gateway's own table: it costs Slurm nothing. What Slurm has now is at GET /jobs/{id}.",
        "parameters": [
            parameter("state", {"type": "string", "pattern": "^[A-Za-z_]{2,30}$"}, "Slurm's base state."),
            parameter("partition", {"type": "string", "maxLength": 256}, "The partition."),
            parameter("name", {"type": "string", "maxLength": 256}, "The job's name."),
            parameter("since", {"type": "string", "format": "date-time"}, "Submitted then or later."),
            parameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": 100},
                "The longest page. One may be shorter and not the last.",
            ),
            parameter(
                "user",
                {"type": "string", "pattern": "^[a-z_][a-z0-9_.-]{0,31}$"},
                "Another user's jobs, for whom the access document lets see everyone's. Without their scripts.",
            ),
            parameter("cursor", {"type": "string"}, "`next` of the page before, with the same filters."),
        ],
        "responses": _responses({"200": {"description": "A page", "content": _json(_schema("Page"))}}, "422"),
    }


def _submit() -> Document:
    return {
        "operationId": "submitJob",
        "summary": "Submit a batch script",
        "description": "The body is the script, as `sbatch` reads it; query parameters are sbatch's options by their "
        "names and go before the script's own. Or the body is JSON.",
        "parameters": [
            {
                "name": "dry_run",
                "in": "query",
                "schema": {"type": "string", "enum": ["true", "false"]},
                "description": "true answers with what would be sent, and sends nothing.",
            },
            {
                "name": "options",
                "in": "query",
                "style": "form",
                "explode": True,
                "description": "sbatch's options: ?partition=queue1&time=10:00&array=1-20",
                "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                "description": "The same key and request make one job, for 24 hours.",
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _schema("Submit")},
                "text/plain": {"schema": {"type": "string"}},
                "application/x-www-form-urlencoded": {"schema": {"type": "string"}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": _responses(
            {
                "200": {"description": "What would be sent (dry_run)", "content": _json({"type": "object"})},
                "201": {"description": "The job", "content": _json(_schema("Job"))},
            },
            "404", "409", "413", "422",
        ),
    }  # fmt: skip


def _describe() -> Document:
    return {
        "operationId": "describe",
        "summary": "This document",
        "responses": _responses({"200": {"description": "The document", "content": _json({"type": "object"})}}, "422"),
    }


def _read() -> Document:
    headers = {
        "ETag": {"schema": {"type": "string"}},
        "Retry-After": {"schema": {"type": "integer"}, "description": "How long is polite; absent when it is final."},
    }
    return {
        "operationId": "readJob",
        "summary": "One job",
        "description": "As Slurm has it now; after Slurm forgot it, as it was last known.",
        "parameters": [{"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}],
        "responses": _responses(
            {
                "200": {"description": "The job", "headers": headers, "content": _json(_schema("Job"))},
                "304": {"description": "It has not changed", "headers": headers},
            },
            "404", "422",
        ),
    }  # fmt: skip


def _output() -> Document:
    def parameter(name: str, schema: Document, says: str) -> Document:
        return {"name": name, "in": "query", "schema": schema, "description": says}

    headers = {
        "Output-Next-Offset": {"schema": {"type": "integer"}, "description": "Where to read on."},
        "Output-Complete": {
            "schema": {"type": "string", "enum": ["true", "false"]},
            "description": "Whether the job has ended and this is the last of it.",
        },
        "Retry-After": {"schema": {"type": "integer"}, "description": "When more may be there."},
    }
    text = {"text/plain": {"schema": {"type": "string", "format": "binary"}}, **_json(_schema("Output"))}
    return {
        "operationId": "readOutput",
        "summary": "What a job prints, and the files it leaves",
        "description": "While the job runs, the bytes from `offset` on, at most 1 MiB of them. Once it has ended, a "
        "redirect to a URL in S3 that works for 300 s and never longer than the token; with `offset` bytes as before.",
        "parameters": [
            parameter("stream", {"type": "string", "enum": ["stdout", "stderr"], "default": "stdout"}, "Which stream."),
            parameter("offset", {"type": "integer", "minimum": 0}, "The first byte."),
            parameter("file", {"type": "string", "minLength": 1}, "A collected file, by its name."),
            parameter("list", {"type": "string", "enum": ["true"]}, "What was kept of the job, and what was not."),
        ],
        "responses": _responses(
            {
                "200": {"description": "Bytes, or the list", "headers": headers, "content": text},
                "302": {
                    "description": "Where it is",
                    "headers": {"Location": {"schema": {"type": "string"}}},
                    "content": _json(_schema("Download")),
                },
            },
            "404", "409", "422",
        ),
    }  # fmt: skip


def _cancel() -> Document:
    return {
        "operationId": "cancelJob",
        "summary": "Cancel or signal a job",
        "parameters": [
            {
                "name": "signal",
                "in": "query",
                "schema": {"type": "string", "pattern": "^([A-Z]+[12]?|[1-9][0-9]?)$"},
                "description": "Send this signal and leave the rest to the job: USR1, TERM, 10.",
            }
        ],
        "responses": _responses(_accepted(), "404", "409", "422"),
    }


def _patch() -> Document:
    return {
        "operationId": "changeJob",
        "summary": "Hold, release or requeue a job, or change its time limit",
        "requestBody": {"required": True, "content": _json(_schema("Change"))},
        "responses": _responses(_accepted(), "404", "409", "413", "422"),
    }


def _accepted() -> dict[str, Document]:
    job = {"anyOf": [_schema("Job"), {"type": "null"}]}
    return {"202": {"description": "Done; the job as it is now, null if it cannot be shown", "content": _json(job)}}


def _stage() -> Document:
    return {
        "operationId": "stageScript",
        "summary": "Stage a script without running it",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/plain": {"schema": {"type": "string"}},
                "application/x-www-form-urlencoded": {"schema": {"type": "string"}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": _responses(
            {
                "200": {"description": "Where to upload a large one", "content": _json({"type": "object"})},
                "201": {"description": "It is staged", "content": _json({"type": "object"})},
            },
            "413", "422",
        ),
    }  # fmt: skip


def _script() -> Document:
    return {
        "operationId": "readScript",
        "summary": "A script of your own",
        "responses": _responses(
            {"200": {"description": "The script", "content": {"text/plain": {"schema": {"type": "string"}}}}},
            "404", "422",
        ),
    }  # fmt: skip
