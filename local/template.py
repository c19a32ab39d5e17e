"""A SAM template as CloudFormation sees it: translated offline, its parameters given their values."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from local.intrinsics import TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["TemplateError", "load", "parameter_values", "pseudo_parameters", "translate"]

DUMMY_CODE_URI = "s3://not-a-bucket/code.zip"


def load(path: Path) -> dict[str, Any]:
    """Read a template, with YAML's short forms (``!Ref``) in their long form (``{"Ref": ...}``)."""
    # Imported here: the translator and its schemas cost 0.4 s, which callers that only resolve do not pay.
    from samtranslator.yaml_helper import yaml_parse

    document = yaml_parse(path.read_text())
    if not isinstance(document, dict) or "Resources" not in document:
        raise TemplateError(f"{path}: not a template: it has no Resources")
    return document


def translate(
    path: Path,
    parameters: Mapping[str, str],
    *,
    code_uri: str | Mapping[str, str] = DUMMY_CODE_URI,
    region: str = "us-east-1",
) -> dict[str, Any]:
    """Turn a SAM template into the CloudFormation template that ``sam deploy`` would hand in.

    Takes the template's path, values for its parameters (those that are absent take their defaults), and
    where every function's code lies in S3 (default: nowhere; enough to read the result). Intrinsic functions
    stay in it. Raises TemplateError with the translator's own words.
    """
    import boto3
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    document = load(path)
    for resource in document["Resources"].values():
        if resource.get("Type") == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = copy.deepcopy(code_uri)
            # It tells `sam build` how to build; what it built is the code given here.
            resource.pop("Metadata", None)
    values = parameter_values(document, parameters)
    # All that it would ask AWS for are names of managed policies; the templates give ARNs.
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=region))
    try:
        translated = translator.translate(document, values)
    except InvalidDocumentException as exc:
        causes = "; ".join(cause.message for cause in exc.causes) or exc.message
        raise TemplateError(f"{path}: {causes}") from exc
    finally:
        # To nobody: unpublished, they are complained of on standard error when the program ends.
        translator.metrics.publish()
    translated.pop("Transform", None)
    result: dict[str, Any] = translated
    return result


def parameter_values(template: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Give every parameter of the template its value: the given one, else its default.

    ``CommaDelimitedList`` and ``List<...>`` become lists. Raises TemplateError for a parameter that the
    template has not, one without value, and a value that its constraints do not allow.
    """
    declared: Mapping[str, Mapping[str, Any]] = template.get("Parameters", {})
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise TemplateError(f"Parameters: the template has no {', '.join(unknown)}")
    return {name: _parameter_value(name, rules, given) for name, rules in declared.items()}


def _parameter_value(name: str, rules: Mapping[str, Any], given: Mapping[str, str]) -> Any:  # noqa: ANN401
    if name not in given and "Default" not in rules:
        raise TemplateError(f"Parameters/{name}: no value given, and it has no default")
    text = str(given.get(name, rules.get("Default")))
    kind = str(rules.get("Type", "String"))
    items = (
        [item.strip() for item in text.split(",")] if kind == "CommaDelimitedList" or kind.startswith("List<") else None
    )
    for item in [text] if items is None else items:
        if "AllowedValues" in rules and item not in [str(value) for value in rules["AllowedValues"]]:
            raise TemplateError(f"Parameters/{name}: {item!r} is none of {rules['AllowedValues']}")
        if "AllowedPattern" in rules and not re.fullmatch(rules["AllowedPattern"], item):
            raise TemplateError(f"Parameters/{name}: {item!r} does not match {rules['AllowedPattern']}")
    if kind == "Number":
        _check_number(name, text, rules)
    return text if items is None else items


def _check_number(name: str, text: str, rules: Mapping[str, Any]) -> None:
    try:
        number = float(text)
    except ValueError as exc:
        raise TemplateError(f"Parameters/{name}: {text!r} is not a number") from exc
    if number < float(rules.get("MinValue", number)) or number > float(rules.get("MaxValue", number)):
        limits = f"{rules.get('MinValue', '...')} to {rules.get('MaxValue', '...')}"
        raise TemplateError(f"Parameters/{name}: {text} is not within {limits}")


def pseudo_parameters(stack_name: str, *, region: str, account: str) -> dict[str, str]:
    """Give the pseudo parameters of a stack, ``AWS::NoValue`` excepted: it is no value."""
    return {
        "AWS::AccountId": account,
        "AWS::Partition": "aws",
        "AWS::Region": region,
        "AWS::StackName": stack_name,
        "AWS::StackId": f"arn:aws:cloudformation:{region}:{account}:stack/{stack_name}/local",
        "AWS::URLSuffix": "amazonaws.com",
    }
