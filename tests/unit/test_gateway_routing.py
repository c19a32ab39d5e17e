from __future__ import annotations

import pytest

from local.gateway.errors import ConfigurationError
from local.gateway.integrations import FunctionIntegration
from local.gateway.routing import Route, RouteTable

INTEGRATION = FunctionIntegration("arn")


def table(*keys: str) -> RouteTable:
    routes = []
    for key in keys:
        method, _, path = key.partition(" ")
        routes.append(Route(method if path else "ANY", path or key, INTEGRATION))
    return RouteTable(routes)


def chosen(routes: RouteTable, request: str) -> str | None:
    match = routes.match(*request.split(" "))
    return match.route.key if match else None


# The example of the developer guide, http-api-develop-routes.
DOCUMENTED = table("GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default")
OURS = table(
    "POST /token",
    "GET /slurm/{version}/jobs",
    "GET /slurm/{version}/jobs/state",
    "GET /slurm/{version}/jobs/{proxy+}",
    "ANY /slurm/{version}/{proxy+}",
    "GET /openapi",
    "GET /openapi/{proxy+}",
)


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        ("GET /pets/dog/1", "GET /pets/dog/1"),
        ("GET /pets/dog/2", "GET /pets/dog/{id}"),
        ("GET /pets/cat/1", "GET /pets/{proxy+}"),
        ("POST /test/5", "ANY /{proxy+}"),
        ("GET /", "$default"),
    ],
)
def test_the_documented_example(request_line: str, expected: str) -> None:
    assert chosen(DOCUMENTED, request_line) == expected


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        ("GET /slurm/v0.0.42/jobs", "GET /slurm/{version}/jobs"),
        ("GET /slurm/v0.0.42/jobs/", "GET /slurm/{version}/jobs/{proxy+}"),
        ("GET /slurm/v0.0.42/%6Aobs", "GET /slurm/{version}/jobs"),
        ("DELETE /slurm/v0.0.42/jobs", "ANY /slurm/{version}/{proxy+}"),
        ("GET /slurm/v0.0.42/jobs/state", "GET /slurm/{version}/jobs/state"),
        ("GET /slurm/v0.0.42/jobs//", "GET /slurm/{version}/jobs/{proxy+}"),
        ("GET /slurm/v0.0.42//jobs", "ANY /slurm/{version}/{proxy+}"),
        ("GET /slurm/v0.0.42/jobs%2F", "ANY /slurm/{version}/{proxy+}"),
        ("GET /slurm/v0.0.42/", "ANY /slurm/{version}/{proxy+}"),
        ("GET /slurm/v0.0.42", None),
        ("GET /slurm//jobs", None),
        ("GET //slurm/v0.0.42/jobs", None),
        ("GET /slurm%2Fv0.0.42/jobs", None),
        ("GET /SLURM/v0.0.42/jobs", None),
        ("POST /token", "POST /token"),
        ("POST /token/", None),
        ("GET /token", None),
        ("GET /openapi", "GET /openapi"),
        ("GET /openapi/v3", "GET /openapi/{proxy+}"),
        ("GET /openapi/", "GET /openapi/{proxy+}"),
        ("TRACE /slurm/v0.0.42/jobs", None),
        ("get /slurm/v0.0.42/jobs", None),
    ],
)
def test_our_routes(request_line: str, expected: str | None) -> None:
    assert chosen(OURS, request_line) == expected


def test_path_variables_are_decoded() -> None:
    match = OURS.match("GET", "/slurm/v0%2E0/job/a%20b%2Fc/")

    assert match is not None
    assert match.path_parameters == {"version": "v0.0", "proxy": "job/a b/c/"}


@pytest.mark.parametrize("path", ["/a/{b+}/c", "/a{b}", "a/b", "/a/{b", "/{}/x", "/a/"])
def test_a_malformed_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="paths"):
        table(f"GET {path}")
