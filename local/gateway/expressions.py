"""Selection expressions: ``$request.header.name``, ``$context.requestId``, and text with ``${...}`` in it.

Source: developer guide, http-api-parameter-mapping and http-api-lambda-authorizer ("Selection expressions").
"""

from __future__ import annotations

import re
from collections.abc import Callable

from local.gateway.errors import ConfigurationError
from local.gateway.exchange import Exchange, is_known_variable

Expression = Callable[[Exchange], str | None]
"""Gives the value for one request, or None where the request has none."""

_BRACED = re.compile(r"\$\{([^{}]*)\}")


def compile_selection(text: str, place: str) -> Expression:
    """Read one selection such as ``$request.header.Authorization``.

    Raises ConfigurationError for anything else, and for what API Gateway knows but this gateway does not.
    """
    if not text.startswith("$"):
        raise ConfigurationError(
            place,
            f"{text!r} is no selection expression; it must begin with $request., $context. or $stageVariables.",
        )
    return _compile(text.removeprefix("$"), place)


def compile_value(text: str, place: str) -> Expression:
    """Read the value of a parameter mapping: a selection, text with ``${...}`` in it, or plain text."""
    if _BRACED.search(text):
        return _compile_template(text, place)
    if text.startswith("$"):
        return compile_selection(text, place)
    if "$" in text or "'" in text:
        raise ConfigurationError(place, f"{text!r}: a $ or a quote inside a static value; write variables as ${{...}}")
    return lambda _: text


def _compile_template(text: str, place: str) -> Expression:
    parts = _BRACED.split(text)
    literals, names = parts[0::2], parts[1::2]
    if any("$" in literal for literal in literals):
        raise ConfigurationError(place, f"{text!r} mixes $name and ${{name}}; write every variable as ${{...}}")
    selections = [_compile(name, place) for name in names]

    def evaluate(exchange: Exchange) -> str:
        values = [selection(exchange) or "" for selection in selections]
        return literals[0] + "".join(value + after for value, after in zip(values, literals[1:], strict=True))

    return evaluate


def _compile(name: str, place: str) -> Expression:
    root, _, rest = name.partition(".")
    if root == "context":
        if not is_known_variable(rest):
            raise ConfigurationError(place, f"the local gateway knows no variable $context.{rest}")
        return lambda exchange: exchange.variable(rest)
    if root == "stageVariables" and rest:
        return lambda exchange: exchange.api.stage_variables.get(rest)
    if root == "request":
        return _compile_request(rest, place)
    raise ConfigurationError(place, f"unknown selection expression ${name}")


def _compile_request(rest: str, place: str) -> Expression:
    kind, _, name = rest.partition(".")
    if kind == "header" and name:
        return lambda exchange: exchange.request.header(name)
    if kind == "querystring" and name:
        return lambda exchange: exchange.request.query_parameters().get(name)
    if kind == "path":
        if not name:
            return lambda exchange: exchange.request.path
        return lambda exchange: exchange.path_parameters.get(name)
    raise ConfigurationError(place, f"unknown selection expression $request.{rest}")
