"""Every IAM policy of both templates: as a page for people, and as JSON for a linter.

    python -m local.iam_policies            the page, docs/iam-policies.md
    python -m local.iam_policies --json     a list of {"name", "kind", "policy"}, intrinsics resolved

A statement's Sid says what it is for; the comment above it in the template, if any, says why it is as it is.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local import intrinsics, template
from local.address import CHECKOUT
from local.intrinsics import References

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

API = CHECKOUT / "template.yaml"
REQUIREMENTS = CHECKOUT / "requirements-stack.yaml"
_STACKS = {API: "slurm-gateway", REQUIREMENTS: "slurm-gateway-requirements"}
# What Arn and Ref give for the types whose policies' resources they are.
_ARNS = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:REGION:ACCOUNT:table/{name}",
    "AWS::Events::EventBus": "arn:aws:events:REGION:ACCOUNT:event-bus/{name}",
    "AWS::KMS::Key": "arn:aws:kms:REGION:ACCOUNT:key/{name}",
    "AWS::Lambda::Function": "arn:aws:lambda:REGION:ACCOUNT:function:{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:REGION:ACCOUNT:log-group:{name}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:REGION:ACCOUNT:{name}",
}
_REFS = {
    "AWS::ElasticLoadBalancingV2::TargetGroup": "arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/{name}/ID",
    "AWS::Events::EventBus": "{name}",
    "AWS::SQS::Queue": "https://sqs.REGION.amazonaws.com/ACCOUNT/{name}",
}
_ACCOUNT = "123456789012"
_REGION = "us-east-1"


@dataclass(frozen=True)
class Policy:
    """A policy: whose it is, `identity` or `resource` by where it stands, and its statements, resolved.

    `of` is the resource of the template that it stands in.
    """

    name: str
    of: str
    kind: str
    statements: list[dict[str, Any]]


class _Attributes(dict[str, str]):
    def __init__(self, name: str, kind: str) -> None:
        super().__init__()
        self._name, self._kind = name, kind

    def __contains__(self, _attribute: object) -> bool:
        return True

    def __missing__(self, attribute: str) -> str:
        pattern = _ARNS.get(self._kind, "") if attribute == "Arn" else ""
        return _filled(pattern, self._name) if pattern else f"{self._name}.{attribute}"


def policies() -> list[Policy]:
    """Give every policy, in the templates' order: the head node's and the resources' first, then the functions'."""
    requirements = template.load(REQUIREMENTS)
    references = _references(requirements, REQUIREMENTS, {})
    exports = {
        f"{_STACKS[REQUIREMENTS]}-{name}": str(intrinsics.resolve(output["Value"], references, name))
        for name, output in requirements["Outputs"].items()
    }
    translated = template.translate(API, {})
    return [
        *_policies(requirements, references),
        *_policies(translated, _references(translated, API, exports)),
    ]


def page() -> str:
    """Give the page."""
    comments = {statement: why for path in _STACKS for statement, why in _comments(path)}
    lines = [
        "# Every IAM policy, and why",
        "",
        "Made from the templates by `python -m local.iam_policies > docs/iam-policies.md`; a test fails when it is out",
        "of date. A real test asks the emulator, call by call, whether each role may do what stands here and nothing",
        "else (`tests/real/test_iam.py`), and `make lint` runs parliament and checkov over it. REGION and ACCOUNT are",
        "yours; names are the templates'.",
    ]
    for policy in policies():
        lines += ["", f"## {policy.name}", "", "| What for | May | On | Only if |", "|---|---|---|---|"]
        for statement in policy.statements:
            lines.append(_row(statement, comments.get((policy.of, str(statement["Sid"])), "")))
    return "\n".join(lines) + "\n"


def _row(statement: Mapping[str, Any], why: str) -> str:
    sid = str(statement["Sid"])
    what = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", sid).capitalize()
    actions = ", ".join(f"`{each}`" for each in _list(statement["Action"]))
    if statement["Effect"] == "Deny":
        actions = f"**not** {actions}"
    conditions = [
        f"{operator}: {key} = {' or '.join(_list(value))}"
        for operator, keys in statement.get("Condition", {}).items()
        for key, value in keys.items()
    ]
    resources = "<br>".join(f"`{each}`" for each in _list(statement["Resource"]))
    cells = [f"{what}.{' ' + why if why else ''}", actions, resources, "<br>".join(f"`{each}`" for each in conditions)]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |".replace(_ACCOUNT, "ACCOUNT").replace(
        _REGION, "REGION"
    )


def _policies(definition: Mapping[str, Any], references: References) -> Iterator[Policy]:
    for name, resource in definition["Resources"].items():
        properties = resource.get("Properties", {})
        found: list[tuple[str, str, Any]] = []
        match resource["Type"]:
            case "AWS::IAM::Role":
                found = [(name, "identity", policy["PolicyDocument"]) for policy in properties.get("Policies", [])]
            case "AWS::IAM::ManagedPolicy" | "AWS::IAM::Policy":
                found = [(name, "identity", properties["PolicyDocument"])]
            case "AWS::KMS::Key":
                found = [(f"{name} (the key's own policy)", "resource", properties["KeyPolicy"])]
            case "AWS::S3::BucketPolicy" | "AWS::SQS::QueuePolicy":
                found = [(name, "resource", properties["PolicyDocument"])]
            case "AWS::Events::EventBusPolicy":
                found = [(name, "resource", {"Statement": [properties["Statement"]]})]
        for title, kind, document in found:
            resolved = intrinsics.resolve(document, references, name)
            statements = resolved["Statement"]
            yield Policy(title, name, kind, statements if isinstance(statements, list) else [statements])


def _references(definition: Mapping[str, Any], path: Path, exports: Mapping[str, str]) -> References:
    stack = _STACKS[path]
    kinds = {name: str(resource["Type"]) for name, resource in definition["Resources"].items()}
    refs = {
        **template.pseudo_parameters(stack, region=_REGION, account=_ACCOUNT),
        **{name: _filled(_REFS.get(kind, "{name}"), name) for name, kind in kinds.items()},
        **template.parameter_values(definition, {}),
        **{
            name: str(resource["Properties"]["Name"]["Fn::Sub"]).replace("${AWS::StackName}", stack)
            for name, resource in definition["Resources"].items()
            if resource["Type"] == "AWS::SSM::Parameter"
        },
    }
    return References(
        refs=refs,
        attributes={name: _Attributes(name, kind) for name, kind in kinds.items()},
        exports=exports,
        mappings=definition.get("Mappings", {}),
        conditions=intrinsics.evaluate_conditions(definition, References(refs=refs)),
    )


def _filled(pattern: str, name: str) -> str:
    arn = pattern.replace("REGION", _REGION).replace("ACCOUNT", _ACCOUNT)
    return arn.format(name=name.lower() if pattern.startswith("arn:aws:s3") else name)


def _comments(path: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """Give the comment above each statement, by its resource and its Sid: several roles have a Sid in common."""
    resource, above = "", list[str]()
    for line in path.read_text().splitlines():
        text = line.strip()
        if match := re.fullmatch(r"  (\w+):", line):
            resource = match[1]
        if text.startswith("#"):
            above.append(text.lstrip("# "))
            continue
        if match := re.fullmatch(r"- Sid: (\w+)", text):
            yield (resource, match[1]), " ".join(above)
        above = []


def _list(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def main() -> int:
    """Print one or the other."""
    if sys.argv[1:] == ["--json"]:
        listed = [
            {"name": each.name, "kind": each.kind, "policy": {"Version": "2012-10-17", "Statement": each.statements}}
            for each in policies()
        ]
        print(json.dumps(listed, indent=1))
    elif not sys.argv[1:]:
        sys.stdout.write(page())
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
