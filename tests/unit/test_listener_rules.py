"""Which paths the load balancer's rules let through to slurmrestd, which decodes them, and they do not."""

from __future__ import annotations

import itertools
import re
from typing import Any
from urllib.parse import unquote

import pytest
from templates_under_test import translated


def rules() -> list[dict[str, Any]]:
    resources = translated()["Resources"].values()
    found = [each["Properties"] for each in resources if each["Type"] == "AWS::ElasticLoadBalancingV2::ListenerRule"]
    return sorted(found, key=lambda rule: int(rule["Priority"]))


def decision(method: str, path: str) -> str:
    """Return what the first fitting rule does: a status, or "lists"; "" where none fits."""
    for rule in rules():
        if all(_fits(condition, method, path) for condition in rule["Conditions"]):
            action = rule["Actions"][0]
            return str(action["FixedResponseConfig"]["StatusCode"]) if action["Type"] == "fixed-response" else "lists"
    return ""


def _fits(condition: dict[str, Any], method: str, path: str) -> bool:
    match condition:
        case {"Field": "path-pattern", "PathPatternConfig": {"Values": [*patterns]}}:
            wild = (re.escape(each).replace(r"\*", ".*").replace(r"\?", ".") for each in patterns)
            return any(re.fullmatch(each, path) for each in wild)
        case {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": [*expressions]}}:
            return any(re.fullmatch(each, path) for each in expressions)
        case {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": [*methods]}}:
            return method in methods
    return False  # a header or a query, of which these requests have none


def spellings(word: str) -> list[str]:
    """Return a word with each of its letters plain or escaped, in small and capital digits."""
    ways = [[letter, f"%{ord(letter):02x}", f"%{ord(letter):02X}"] for letter in word]
    return ["".join(letters) for letters in itertools.product(*ways)]


@pytest.mark.parametrize("rest", ["", "/", "/.", "/%2e", "/./", "//", "/%2E/"])
def test_no_spelling_of_the_list_of_jobs_gets_round_the_rules(rest: str) -> None:
    for word in spellings("jobs"):
        path = f"/slurm/v0.0.42/{word}{rest}"
        assert unquote(path).startswith("/slurm/v0.0.42/jobs")
        assert decision("DELETE", path) in {"400", "403"}, path
        assert decision("GET", path) in {"400", "lists"}, path


def test_no_spelling_of_a_job_lets_an_odd_id_through() -> None:
    ids = ("1.x", "1%2ex", "1%2Ex")
    for word, job_id, slurm in itertools.product(spellings("job"), ids, ("slurm", "slurmdb", "%73lurm")):
        assert decision("GET", f"/{slurm}/v0.0.42/{word}/{job_id}") == "400"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/slurm/v0.0.42/job/12%2B1", ""),
        ("/slurm/v0.0.42/job/12_3", ""),
        ("/slurm/v0.0.42/jobs/state", ""),
        ("/slurm/v0.0.42/node/queue1-dy-t3micro-1", ""),
        ("/slurm/v0.0.42/reservation/a%20b%40c", ""),
        ("/slurmdb/v0.0.42/user/jos%C3%A9.m", ""),
        ("/openapi/v3", ""),
        ("/slurm/v0.0.42/jobs", "lists"),
    ],
)
def test_ordinary_paths_pass(path: str, expected: str) -> None:
    assert decision("GET", path) == expected
