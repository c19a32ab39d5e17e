from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from local import alb
from local.haproxy import LoadBalancer, UnknownSettingError, configuration, read_load_balancer

BALANCER = {
    "Type": "application",
    "LoadBalancerAttributes": [
        {"Key": "idle_timeout.timeout_seconds", "Value": "40"},
        {"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "true"},
        {"Key": "routing.http.desync_mitigation_mode", "Value": "defensive"},
        {"Key": "deletion_protection.enabled", "Value": "false"},
    ],
}
GROUP = {
    "Protocol": "HTTP",
    "HealthCheckPath": "/is-alive",
    "HealthCheckIntervalSeconds": 10,
    "HealthCheckTimeoutSeconds": 5,
    "HealthyThresholdCount": 2,
    "UnhealthyThresholdCount": 3,
    "Matcher": {"HttpCode": "200-499"},
}
ARN = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/t/1"


def lines(balancer: LoadBalancer, *targets: tuple[str, int]) -> list[str]:
    return [line.strip() for line in configuration(balancer, "127.1.2.1", 18081, targets).splitlines()]


def test_the_templates_attributes_become_directives() -> None:
    made = lines(read_load_balancer(BALANCER, GROUP), ("127.1.2.1", 6830))

    assert {
        "bind 127.1.2.1:18081",
        "timeout client 40s",
        "timeout server 40s",
        "timeout http-keep-alive 40s",
        "http-request del-header [^A-Za-z0-9-] -m reg",
        "http-check expect status 200-499",
        "default-server check inter 10s rise 2 fall 3",
        "timeout check 5s",
        "server target1 127.1.2.1:6830",
    } <= set(made)
    assert [line for line in made if line.startswith("http-check send")] == [
        (
            "http-check send meth GET uri /is-alive ver HTTP/1.1 hdr Host localhost"
            " hdr User-Agent ELB-HealthChecker/2.0 hdr Connection close"
        )
    ]


def test_without_a_healthy_target_requests_go_to_all() -> None:
    made = lines(read_load_balancer(BALANCER, GROUP), ("h", 2), ("h", 1), ("h", 1))

    assert "use_backend healthy if { nbsrv(healthy) gt 0 }" in made
    assert "default_backend all" in made
    assert [line for line in made if line.startswith("server ")] == ["server target1 h:1", "server target2 h:2"] * 2


def test_without_a_target_the_answer_is_503() -> None:
    made = lines(read_load_balancer(BALANCER, GROUP))

    assert [line[:30] for line in made if line.startswith("http-request return")] == ["http-request return status 503"]
    assert not [line for line in made if line.startswith(("backend", "server", "use_backend", "default_backend"))]


def test_what_is_not_set_has_awss_default() -> None:
    balancer = read_load_balancer({}, {})

    assert (balancer.idle_timeout, balancer.drop_invalid_headers) == (60, False)
    assert (balancer.health_check.path, balancer.health_check.codes, balancer.health_check.interval) == ("/", "200", 30)
    assert not [line for line in lines(balancer) if line.startswith("http-request del-header")]


def test_the_log_has_no_header_and_no_query() -> None:
    formats = [line for line in lines(read_load_balancer(BALANCER, GROUP)) if line.startswith("log-format")]

    assert formats == [r'log-format "%tr %HM %{+Q}HP %ST %Ta %si:%sp"']


@pytest.mark.parametrize(
    ("balancer", "group", "problem"),
    [
        ({"LoadBalancerAttributes": [{"Key": "routing.http.x", "Value": "1"}]}, {}, "does not know routing.http.x"),
        ({}, {"Protocol": "HTTPS"}, "TargetGroup.Protocol"),
        ({}, {"HealthCheckProtocol": "HTTPS"}, "TargetGroup.HealthCheckProtocol"),
        ({}, {"Matcher": {"HttpCode": "ok"}}, "Matcher.HttpCode: 'ok'"),
        ({}, {"HealthCheckPath": "/a\n b"}, "HealthCheckPath"),
        ({}, {"HealthCheckPath": '/a"'}, "HealthCheckPath"),
    ],
)
def test_what_the_stand_in_does_not_know_is_refused(balancer: Any, group: Any, problem: str) -> None:
    with pytest.raises(UnknownSettingError, match=problem):
        read_load_balancer(balancer, group)


def test_a_configuration_survives_its_file(tmp_path: Any) -> None:
    built = alb.build_config(
        load_balancer=BALANCER, target_group=GROUP, target_group_arn=ARN, root=tmp_path, host="h", port=1
    )
    file = tmp_path / "load-balancer.json"
    file.write_text(alb.json.dumps(built))

    config = alb.load_config(file)

    assert config.balancer == read_load_balancer(BALANCER, GROUP)
    assert (config.target_group_arn, config.root, config.host, config.port) == (ARN, str(tmp_path), "h", 1)


def test_without_haproxy_the_message_says_what_is_missing(tmp_path: Any) -> None:
    built = alb.build_config(load_balancer=BALANCER, target_group=GROUP, target_group_arn=ARN, root=tmp_path)
    file = tmp_path / "load-balancer.json"
    file.write_text(alb.json.dumps(built))

    with pytest.raises(alb.LoadBalancerError, match="the root file system has no haproxy package"):
        alb.Supervisor(alb.load_config(file), list).step()


def test_a_rule_with_a_fixed_response_answers_before_any_target() -> None:
    rule = {
        "Priority": 1,
        "Conditions": [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["*//*", "/a?.b"]}}],
        "Actions": [
            {
                "Type": "fixed-response",
                "FixedResponseConfig": {"StatusCode": "400", "ContentType": "text/plain", "MessageBody": "No."},
            }
        ],
    }

    made = lines(read_load_balancer(BALANCER, GROUP, [rule]), ("h", 1))

    assert (
        'http-request return status 400 content-type text/plain string "No." hdr Server awselb/2.0'
        r" if { path -m reg '^.*//.*$' '^/a.\.b$' }"
    ) in made


def test_a_rule_for_a_header_answers_whatever_its_value() -> None:
    rule = {
        "Priority": 1,
        "Conditions": [
            {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "Authorization", "Values": ["*"]}}
        ],
        "Actions": [
            {
                "Type": "fixed-response",
                "FixedResponseConfig": {"StatusCode": "401", "ContentType": "text/plain", "MessageBody": "No."},
            }
        ],
    }

    made = lines(read_load_balancer(BALANCER, GROUP, [rule]), ("h", 1))

    assert (
        'http-request return status 401 content-type text/plain string "No." hdr Server awselb/2.0'
        " if { req.fhdr(Authorization) -m found }"
    ) in made


def test_all_conditions_of_a_rule_must_hold() -> None:
    rule = {
        "Priority": 1,
        "Conditions": [
            {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a"]}},
            {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["DELETE", "PUT"]}},
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Value": "*.*"}]}},
        ],
        "Actions": [
            {
                "Type": "fixed-response",
                "FixedResponseConfig": {"StatusCode": "403", "ContentType": "text/plain", "MessageBody": "No."},
            }
        ],
    }

    made = lines(read_load_balancer(BALANCER, GROUP, [rule]), ("h", 1))

    assert (
        'http-request return status 403 content-type text/plain string "No." hdr Server awselb/2.0'
        r" if { path -m reg '^/a$' } { method DELETE PUT } { query -i -m reg '(^|&)[^=&]*=[^&]*\.[^&]*(&|$)' }"
    ) in made


@pytest.mark.parametrize(
    "condition",
    [
        {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}},
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "A", "Values": ["b"]}},
        {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "a", "Value": "b"}]}},
    ],
)
def test_a_condition_of_another_kind_is_refused(condition: dict[str, Any]) -> None:
    with pytest.raises(UnknownSettingError, match="ListenerRule 7: known are"):
        read_load_balancer(BALANCER, GROUP, [refusing(condition)])


def test_a_rule_may_compare_paths_with_regular_expressions() -> None:
    condition = {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/a.*([.]|%2[eE])$", "^/b$"]}}

    [refusal] = read_load_balancer(BALANCER, GROUP, [refusing(condition)]).refusals

    assert refusal.conditions == ("path -m reg '^/a.*([.]|%2[eE])$' '^/b$'",)


@pytest.mark.parametrize(
    ("conditions", "problem"),
    [
        ([{"Values": ["/*/a/*", "/*/b/*", "/*/c"]}], None),
        ([{"Values": ["/*/a/*", "/*/b/*", "/*/c?"]}], "5 wildcards at most, and here are 6"),
        ([{"RegexValues": ["^.*/a.*$", "^.*/b.*$", "^.*/c.*$"]}], "5 wildcards at most, and here are 6"),
        ([{"Values": ["/a", "/b", "/c", "/d"]}], "a condition 3"),
        ([{"Values": ["/a", "/b", "/c"]}, {"Values": ["/a", "/b", "/c"]}], "5 values at most"),
        ([{"Values": ["/%2e"]}], "'/%2e' has a character"),
        ([{"Values": ["/" + 128 * "a"]}], "longer than 128"),
        ([{"RegexValues": ["/a"]}], r"of the form \^"),
        ([{"RegexValues": ["^/a'$"]}], r"of the form \^"),
        ([{"RegexValues": ["^/a$"], "Values": ["/b"]}], "known are"),
    ],
)
def test_a_rule_that_aws_would_not_create_is_refused(conditions: list[dict[str, Any]], problem: str | None) -> None:
    rule = refusing(*({"Field": "path-pattern", "PathPatternConfig": each} for each in conditions))

    with nullcontext() if problem is None else pytest.raises(UnknownSettingError, match=f"ListenerRule 7: .*{problem}"):
        read_load_balancer(BALANCER, GROUP, [rule])


def refusing(*conditions: dict[str, Any]) -> dict[str, Any]:
    """Give a rule of some conditions that answers 403."""
    answer = {"StatusCode": "403", "ContentType": "text/plain", "MessageBody": "No."}
    return {
        "Priority": 7,
        "Conditions": list(conditions),
        "Actions": [{"Type": "fixed-response", "FixedResponseConfig": answer}],
    }


def test_a_rule_of_another_kind_is_refused() -> None:
    with pytest.raises(UnknownSettingError, match="ListenerRule 2"):
        read_load_balancer(BALANCER, GROUP, [{"Priority": 2, "Conditions": [], "Actions": [{"Type": "forward"}]}])


LISTS = {
    "Priority": 2,
    "Conditions": [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/slurm/*/jobs", "/slurm/*/jobs/"]}}],
    "Actions": [{"Type": "forward", "TargetGroupArn": "lists"}],
}


def test_a_rule_may_send_paths_to_another_target_group() -> None:
    balancer = read_load_balancer(BALANCER, GROUP, [LISTS])

    made = configuration(balancer, "h", 1, [("h", 6830)], {"lists": [("h", 6831)]})

    assert r"use_backend forward1 if { path -m reg '^/slurm/.*/jobs$' '^/slurm/.*/jobs/$' }" in made
    assert "server target1 h:6831" in made.partition("backend forward1\n")[2].partition("backend")[0]
    # A rule comes before the listener's own action.
    assert made.index("use_backend forward1") < made.index("default_backend all")
