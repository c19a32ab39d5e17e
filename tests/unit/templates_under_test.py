"""The two templates as the tests look at them: translated, and resolved against names that stand for themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

from local.address import CHECKOUT
from local.intrinsics import References, evaluate_conditions, resolve
from local.template import load, parameter_values, pseudo_parameters, translate

API_TEMPLATE = CHECKOUT / "template.yaml"
REQUIREMENTS_TEMPLATE = CHECKOUT / "requirements-stack.yaml"
API_STACK = "slurm-gateway"
REQUIREMENTS_STACK = "slurm-gateway-requirements"
REGION = "us-east-1"
ACCOUNT = "123456789012"


class Attributes(dict[str, str]):
    """Attributes of a resource: each is its own name."""

    def __init__(self, resource: str) -> None:
        super().__init__()
        self._resource = resource

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return f"{self._resource}.{name}"


# The parameters with which every route that may exist does.
ISSUERS = {
    "GithubIssuer": "https://token.actions.githubusercontent.com",
    "GitlabIssuer": "https://gitlab.com",
    "OidcIssuer": "https://id.example.org/realms/hpc",
}


@cache
def requirements() -> dict[str, Any]:
    return load(REQUIREMENTS_TEMPLATE)


@cache
def translated() -> dict[str, Any]:
    return translate(API_TEMPLATE, {})


def references(template: dict[str, Any], stack: str, parameters: dict[str, str]) -> References:
    refs = {
        **pseudo_parameters(stack, region=REGION, account=ACCOUNT),
        **{name: name for name in template["Resources"]},
        **parameter_values(template, parameters),
    }
    attributes = {name: Attributes(name) for name in template["Resources"]}
    exports = {f"{REQUIREMENTS_STACK}-{name}": f"import:{name}" for name in requirements()["Outputs"]}
    conditions = evaluate_conditions(template, References(refs=refs))
    return References(refs=refs, attributes=attributes, exports=exports, conditions=conditions)


def api_resource(name: str, **parameters: str) -> dict[str, Any]:
    """Give a resource of the API's stack, its intrinsics resolved, parameters by their defaults unless given."""
    resource = translated()["Resources"][name]
    resolved: dict[str, Any] = resolve(resource, references(translated(), API_STACK, parameters), name)
    return resolved


def requirements_resource(name: str, **parameters: str) -> dict[str, Any]:
    """Give a resource of the requirements stack, its intrinsics resolved."""
    resource = requirements()["Resources"][name]
    of_stack = references(requirements(), REQUIREMENTS_STACK, parameters)
    resolved: dict[str, Any] = resolve(resource, of_stack, name)
    return resolved


def api_body(**parameters: str) -> dict[str, Any]:
    body: dict[str, Any] = api_resource("Api", **parameters)["Properties"]["Body"]
    return body


def operations(**parameters: str) -> dict[str, dict[str, Any]]:
    """Give the operations of the API's document by route key, with accounting unless told otherwise."""
    return {
        f"{'ANY' if method == 'x-amazon-apigateway-any-method' else method.upper()} {path}": operation
        for path, item in api_body(**{"Accounting": "true", **parameters})["paths"].items()
        for method, operation in item.items()
    }


def integration_name(operation: dict[str, Any]) -> str:
    return str(operation["x-amazon-apigateway-integration"]["$ref"].rpartition("/")[2])


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: item for name, item in template["Resources"].items() if item["Type"] == kind}
