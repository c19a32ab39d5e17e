"""Rules about ID tokens: issuer, claims, and pull requests."""

from __future__ import annotations

import pytest

from slurm_gateway.oidc import GITHUB, GITLAB, Oidc, OidcPrincipal, is_of_pull_request
from slurm_gateway.patterns import fits
from slurm_gateway.principals import IamPrincipal

# As GitHub's and GitLab's documentation show them, shortened.
PUSH = {
    "iss": GITHUB,
    "sub": "repo:octo-org/octo-repo:ref:refs/heads/main",
    "repository": "octo-org/octo-repo",
    "repository_id": "74",
    "event_name": "push",
    "ref": "refs/heads/main",
    "head_ref": "",
    "base_ref": "",
}
GITLAB_PUSH = {
    "iss": GITLAB,
    "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1",
    "project_id": "22",
    "project_path": "my-group/my-project",
    "pipeline_source": "push",
    "ref": "feature-branch-1",
    "ref_path": "refs/heads/feature-branch-1",
}
PULL_REQUESTS = {
    "pull_request": PUSH | {"event_name": "pull_request", "ref": "refs/pull/7/merge", "head_ref": "patch"},
    "of the target": PUSH | {"event_name": "pull_request_target"},
    "a review": PUSH | {"event_name": "pull_request_review"},
    "by its subject": PUSH | {"sub": "repo:octo-org/octo-repo:pull_request"},
    "by its head": PUSH | {"head_ref": "patch"},
    "a merge request": GITLAB_PUSH | {"pipeline_source": "merge_request_event"},
    "from elsewhere": GITLAB_PUSH | {"pipeline_source": "external_pull_request_event"},
    "a merge request's child": GITLAB_PUSH
    | {"pipeline_source": "parent_pipeline", "ref_path": "refs/merge-requests/3/head"},
}


def principal(claims: dict[str, str]) -> OidcPrincipal:
    return OidcPrincipal(claims["iss"], claims)


def test_every_claim_that_a_rule_names_has_to_fit() -> None:
    rule = Oidc(GITHUB, (("repository_id", "74"), ("ref", "refs/heads/*")))

    assert rule.mismatch(principal(PUSH)) == ""
    assert rule.mismatch(principal(PUSH | {"repository_id": "740"})) == "the claim repository_id is '740', not '74'"
    assert (
        rule.mismatch(principal(PUSH | {"ref": "refs/tags/v1"}))
        == "the claim ref is 'refs/tags/v1', not 'refs/heads/*'"
    )
    without = {name: value for name, value in PUSH.items() if name != "ref"}
    assert rule.mismatch(principal(without)) == "the token has no claim ref"


def test_another_issuers_token_never_fits_whatever_it_claims() -> None:
    rule = Oidc(GITHUB, (("repository_id", "74"),))

    assert "the issuer is https://evil.example" in rule.mismatch(OidcPrincipal("https://evil.example", PUSH))
    assert rule.mismatch(IamPrincipal("arn:aws:iam::123456789012:user/alice")) == "it is for holders of an ID token"


@pytest.mark.parametrize("claims", PULL_REQUESTS.values(), ids=PULL_REQUESTS)
def test_a_pull_request_is_refused_unless_the_rule_says_so(claims: dict[str, str]) -> None:
    named = (("iss", claims["iss"]),)

    assert is_of_pull_request(claims)
    assert "pull_requests: true" in Oidc(claims["iss"], named).mismatch(principal(claims))
    assert Oidc(claims["iss"], named, pull_requests=True).mismatch(principal(claims)) == ""


@pytest.mark.parametrize("claims", [PUSH, GITLAB_PUSH, PUSH | {"event_name": "workflow_dispatch"}])
def test_a_push_is_no_pull_request(claims: dict[str, str]) -> None:
    assert not is_of_pull_request(claims)


def test_a_pattern_has_stars_and_nothing_else() -> None:
    assert fits("a*c", "a/b\nc")
    assert fits("*", "")
    assert not fits("a?c", "abc")
    assert not fits("[ab]", "a")
    assert not fits("A", "a")
    assert not fits("a", "a\n")
