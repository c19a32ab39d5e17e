"""Parity with sbatch: what real sbatch and the translator make of the same script, field by field, held.

Each case (sbatch_cases.py) is submitted by sbatch on the head node, and by the translator to slurmrestd. What
`scontrol show job` and slurmrestd tell of both jobs, and the environment and script that slurmctld keeps for them,
must be equal; or both refuse; or the translator refuses with a reason that the case names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from conftest import ROOT, slurm
from sbatch_cases import DIRECTIVES, REQUESTED, cases
from sbatch_comparison import Case, Cluster, Report, compare

from slurm_gateway.sbatch import Release, options

if TYPE_CHECKING:
    from conftest import Stack

VERSIONS = {
    "24.11": ("v0.0.42", "v0.0.41", "v0.0.40"),
    "26.05": ("v0.0.45", "v0.0.44", "v0.0.43", "v0.0.42"),
}


@pytest.fixture(scope="module")
def cluster(stack: Stack, release: str) -> Cluster:
    def run(*command: str, user: str | None = None) -> str:
        return slurm(*command, user=user)

    def ask(method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        answer = stack.http.request(method, f"{stack.api}/slurm/{path}", json=body, headers=stack.headers("alice"))
        return answer.status_code, answer.json()

    root = ROOT / f".local/rootfs-{release}"
    return Cluster(run, root, VERSIONS[release], ask, slurm("hostname").strip())


@pytest.fixture(scope="module")
def report(cluster: Cluster, release: str) -> Report:
    found = compare(cluster, cases(release))
    print(f"\nSlurm {release}: {len(cases(release))} cases: {found.counts()}")
    return found


def test_sbatch_and_the_translator_make_the_same_job_of_every_case(report: Report) -> None:
    assert report.failures == []


def test_every_option_of_the_release_is_compared(release: str, report: Report) -> None:
    known = options.of_release(Release(int(release.replace(".", ""))))
    compared = {name for case in cases(release) for name in case.covers}

    assert known.keys() <= compared
    assert REQUESTED.keys() <= DIRECTIVES.keys()
    assert {case.name for case in cases(release)} == report.outcomes.keys()


def test_the_options_of_the_release_are_those_that_its_sbatch_knows(cluster: Cluster, release: str) -> None:
    known = options.of_release(Release(int(release.replace(".", ""))))
    offered = cluster.run("sbatch", "--autocomplete=--", user="alice").split()

    assert known.keys() == {option.rstrip("=").removeprefix("--") for option in offered if option.startswith("--")}


def test_at_least_thirty_scripts_as_people_write_them_are_equal(report: Report) -> None:
    assert len([name for name, outcome in report.outcomes.items() if name.endswith(".sh") and outcome == "equal"]) >= 30


def test_the_comparison_sees_a_difference(cluster: Cluster) -> None:
    script = "#!/bin/bash\n#SBATCH --comment=one\nhostname\n"
    told_otherwise = compare(cluster, [Case("a case", script, (("comment", "two"),))])
    assert told_otherwise.failures == []

    def ask(method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        if method == "POST":
            body["job"]["comment"] = "three"
        return cluster.ask(method, path, body)

    altered = Cluster(cluster.run, cluster.root, cluster.versions, ask, cluster.host)
    assert compare(altered, [Case("a case", script, (("comment", "two"),))]).failures == [
        "a case: Comment: sbatch 'two', here 'three'; comment: sbatch 'two', here 'three'"
    ]
