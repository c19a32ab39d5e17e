"""An Application Load Balancer's properties as a configuration of HAProxy, which stands for it here.

Sources are the Elastic Load Balancing guide for Application Load Balancers ("ELB guide"):
application-load-balancers (attributes), x-forwarded-headers, load-balancer-request-tracing,
target-group-health-checks and load-balancer-troubleshooting (which error is whose). HAProxy 2.6 and later
know every directive used here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

CONNECT_TIMEOUT = 10
"""Seconds. Source: ELB guide, load-balancer-troubleshooting, HTTP 504."""

SERVER = "awselb/2.0"

_ERROR_PAGES = {
    400: "400 Bad Request",
    408: "408 Request Time-out",
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}
_CODES = re.compile(r"\d{3}(-\d{3})?(,\d{3}(-\d{3})?)*")

# Of a listener rule, and what a value consists of that is no regular expression: of a path's and a query's signs.
_VALUES = 5
_VALUES_OF_A_CONDITION = 3
_WILDCARDS = 5
_LONGEST_VALUE = 128
_VALUE = re.compile(r"""[-\w.$/~"'@:+&()!,;=*?]+""", re.ASCII)

# Attributes and properties that change nothing here, because this balancer has one listener on loopback.
_IGNORED_ATTRIBUTES = frozenset(
    {
        "access_logs.s3.enabled",
        "access_logs.s3.bucket",
        "access_logs.s3.prefix",
        "deletion_protection.enabled",
        "routing.http.desync_mitigation_mode",
        "routing.http2.enabled",
        "waf.fail_open.enabled",
    }
)


class UnknownSettingError(Exception):
    """The template sets what this stand-in does not know; the message names it."""


@dataclass(frozen=True)
class HealthCheck:
    """How a target group checks its targets; times are in seconds, ``codes`` is a list like ``200-499``."""

    path: str
    codes: str
    interval: int
    timeout: int
    healthy: int
    unhealthy: int


@dataclass(frozen=True)
class Refusal:
    """A listener rule that answers itself, with what, and when: expressions of HAProxy's that must all hold."""

    status: int
    content_type: str
    text: str
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Forward:
    """A listener rule that sends requests to another target group, by its ARN, and when, as a refusal says it."""

    target_group_arn: str
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class LoadBalancer:
    """What of a load balancer, its listener with the rules and its target group concerns HTTP."""

    idle_timeout: int
    drop_invalid_headers: bool
    health_check: HealthCheck
    refusals: tuple[Refusal, ...] = ()
    forwards: tuple[Forward, ...] = ()


def read_load_balancer(
    balancer: Mapping[str, Any], group: Mapping[str, Any], rules: Iterable[Mapping[str, Any]] = ()
) -> LoadBalancer:
    """Read the resolved properties of a LoadBalancer, a TargetGroup and the ListenerRules of ElasticLoadBalancingV2.

    Raises UnknownSettingError for an attribute, a protocol or a rule that this stand-in does not know.
    """
    attributes = {one["Key"]: str(one["Value"]) for one in balancer.get("LoadBalancerAttributes", [])}
    idle_timeout = int(attributes.pop("idle_timeout.timeout_seconds", "60"))
    drop = attributes.pop("routing.http.drop_invalid_header_fields.enabled", "false") == "true"
    for key in attributes:
        if key not in _IGNORED_ATTRIBUTES:
            raise UnknownSettingError(f"LoadBalancerAttributes: the load balancer's stand-in does not know {key}")
    for key in ("Protocol", "HealthCheckProtocol"):
        if group.get(key, "HTTP") != "HTTP":
            raise UnknownSettingError(f"TargetGroup.{key}: the load balancer's stand-in knows HTTP only")
    codes = str(group.get("Matcher", {}).get("HttpCode", "200"))
    if not _CODES.fullmatch(codes):
        raise UnknownSettingError(f"TargetGroup.Matcher.HttpCode: {codes!r} is no list of codes and ranges")
    path = str(group.get("HealthCheckPath", "/"))
    if not re.fullmatch(r"/[!-~]*", path) or set(path) & set("\\\"'#"):
        raise UnknownSettingError(f"TargetGroup.HealthCheckPath: {path!r} is no plain path")
    read = [_rule(rule) for rule in sorted(rules, key=_priority)]
    return LoadBalancer(
        idle_timeout=idle_timeout,
        drop_invalid_headers=drop,
        health_check=HealthCheck(
            path=path,
            codes=codes,
            interval=int(group.get("HealthCheckIntervalSeconds", 30)),
            timeout=int(group.get("HealthCheckTimeoutSeconds", 5)),
            healthy=int(group.get("HealthyThresholdCount", 5)),
            unhealthy=int(group.get("UnhealthyThresholdCount", 2)),
        ),
        refusals=tuple(rule for rule in read if isinstance(rule, Refusal)),
        forwards=tuple(rule for rule in read if isinstance(rule, Forward)),
    )


def _priority(rule: Mapping[str, Any]) -> int:
    return int(rule["Priority"])


def _rule(rule: Mapping[str, Any]) -> Refusal | Forward:
    """Read a rule of one fixed response or one target group; no other action is known here.

    Refusals are looked at first, which is so only where their priorities are the lower numbers.
    """
    _check_limits(rule)
    match rule:
        case {
            "Conditions": [_, *_] as conditions,
            "Actions": [{"Type": "fixed-response", "FixedResponseConfig": dict(answer)}],
        }:
            return Refusal(
                status=int(answer["StatusCode"]),
                content_type=str(answer["ContentType"]),
                text=str(answer["MessageBody"]),
                conditions=tuple(_condition(rule, condition) for condition in conditions),
            )
        case {
            "Conditions": [_, *_] as conditions,
            "Actions": [{"Type": "forward", "TargetGroupArn": str(group)}],
        }:
            return Forward(
                target_group_arn=group,
                conditions=tuple(_condition(rule, condition) for condition in conditions),
            )
    raise UnknownSettingError(
        f"ListenerRule {rule.get('Priority')}: only conditions with a fixed-response or one target group are known"
    )


def _check_limits(rule: Mapping[str, Any]) -> None:
    """Refuse a rule that AWS would not create. Source: ELB guide, rule condition types and quotas.

    Whether the wildcards of regular expressions count, the guide does not say; here they do.
    """
    compared = [list(_compared(condition)) for condition in rule.get("Conditions", [])]
    every = [value for values in compared for value in values]
    wildcards = sum(value.count("*") + value.count("?") for value in every)
    if len(every) > _VALUES or any(len(values) > _VALUES_OF_A_CONDITION for values in compared):
        problem = f"a rule has {_VALUES} values at most, and a condition {_VALUES_OF_A_CONDITION}"
    elif wildcards > _WILDCARDS:
        problem = f"a rule has {_WILDCARDS} wildcards at most, and here are {wildcards}"
    elif odd := [value for value in every if len(value) > _LONGEST_VALUE]:
        problem = f"{odd[0]!r} is longer than {_LONGEST_VALUE} characters"
    elif odd := [
        value for each in rule.get("Conditions", []) for value in _literal(each) if not _VALUE.fullmatch(value)
    ]:
        problem = f"{odd[0]!r} has a character that no value may have; a regular expression may"
    else:
        return
    raise UnknownSettingError(f"ListenerRule {rule.get('Priority')}: {problem}")


def _compared(condition: Mapping[str, Any]) -> Iterator[str]:
    """Give all that a condition compares with."""
    yield from _literal(condition)
    yield from condition.get("PathPatternConfig", {}).get("RegexValues", [])


def _literal(condition: Mapping[str, Any]) -> Iterator[str]:
    """Give the values of a condition that are no regular expressions."""
    for kind in ("PathPatternConfig", "HttpHeaderConfig", "HttpRequestMethodConfig"):
        yield from condition.get(kind, {}).get("Values", [])
    for pair in condition.get("QueryStringConfig", {}).get("Values", []):
        yield from pair.values()


def _condition(rule: Mapping[str, Any], condition: Mapping[str, Any]) -> str:
    """Give a condition as an expression of HAProxy's. Source: ELB guide, rule condition types."""
    match condition:
        case {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": [*expressions], **others}} if not others:
            return "path -m reg " + " ".join(f"'{_quotable(rule, str(each))}'" for each in expressions)
        case {"Field": "path-pattern", "PathPatternConfig": {"Values": [*paths], **others}} if not others:
            return "path -m reg " + " ".join(f"'^{_pattern(str(path))}$'" for path in paths)
        case {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": str(name), "Values": ["*"]}}:
            return f"req.fhdr({name}) -m found"
        case {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": [*methods]}}:
            return "method " + " ".join(map(str, methods))
        case {"Field": "query-string", "QueryStringConfig": {"Values": [*pairs]}} if all(
            set(pair) == {"Value"} for pair in pairs
        ):
            # Without a key the value of any parameter counts, in small letters or capitals.
            values = (_pattern(str(pair["Value"]), anything="[^&]*") for pair in pairs)
            return "query -i -m reg " + " ".join(f"'(^|&)[^=&]*={value}(&|$)'" for value in values)
    raise UnknownSettingError(
        f"ListenerRule {rule.get('Priority')}: known are path-pattern, http-request-method, query-string without a Key "
        "and http-header with any value"
    )


def _quotable(rule: Mapping[str, Any], expression: str) -> str:
    """Give a regular expression of a rule, if HAProxy's file can hold it and both understand it alike."""
    if not re.fullmatch(r"\^[^'\\]*\$", expression):
        raise UnknownSettingError(
            f"ListenerRule {rule.get('Priority')}: {expression!r} must be of the form ^...$, without ' and \\"
        )
    return expression


def _pattern(pattern: str, *, anything: str = ".*") -> str:
    """Give a pattern as a regular expression. Source: ELB guide, rule condition types, wildcards."""
    return "".join({"*": anything, "?": "."}.get(character, re.escape(character)) for character in pattern)


def configuration(
    balancer: LoadBalancer,
    host: str,
    port: int,
    targets: Iterable[tuple[str, int]],
    forwarded: Mapping[str, Iterable[tuple[str, int]]] | None = None,
) -> str:
    """Give HAProxy's configuration.

    Takes the address and port to listen on and the targets' hosts and ports, of the groups that rules forward to by
    ARN. Requests are logged to
    standard output, one line each: time, method, path, status, milliseconds and target; never a header or a
    query.
    """
    servers = sorted(set(targets))
    sections = [_global(), _defaults(balancer), _frontend(balancer, host, port, has_targets=bool(servers))]
    for number, forward in enumerate(balancer.forwards, 1):
        others = sorted(set((forwarded or {}).get(forward.target_group_arn, ())))
        lines = [f"backend forward{number}", *_refused(), *_servers(others)]
        sections.append("\n".join(lines) + "\n")
    if servers:
        sections += [_checked(balancer.health_check, servers), _unchecked(servers)]
    return "\n".join(sections)


def _global() -> str:
    return "global\n    maxconn 4096\n    user haproxy\n    group haproxy\n    hard-stop-after 40s\n"


def _defaults(balancer: LoadBalancer) -> str:
    errors = "".join(f"    {_error(status, _page(status))}\n" for status in _ERROR_PAGES)
    return (
        "defaults\n"
        "    mode http\n"
        "    retries 0\n"
        f"    timeout connect {CONNECT_TIMEOUT}s\n"
        f"    timeout client {balancer.idle_timeout}s\n"
        f"    timeout server {balancer.idle_timeout}s\n"
        f"    timeout http-keep-alive {balancer.idle_timeout}s\n"
        f"    timeout http-request {balancer.idle_timeout}s\n"
        f"{errors}"
    )


def _frontend(balancer: LoadBalancer, host: str, port: int, *, has_targets: bool) -> str:
    lines = [
        "frontend listener",
        f"    bind {host}:{port}",
        "    log fd@1 format raw local0",
        "    option dontlognull",
        r'    log-format "%tr %HM %{+Q}HP %ST %Ta %si:%sp"',
    ]
    if balancer.drop_invalid_headers:
        # A name with anything but letters, digits and hyphens is dropped (ELB guide,
        # application-load-balancers).
        lines.append("    http-request del-header [^A-Za-z0-9-] -m reg")
    lines += [
        "    http-request set-var(txn.for) req.fhdr(x-forwarded-for)",
        '    http-request set-header X-Forwarded-For "%[var(txn.for)], %[src]" if { var(txn.for) -m found }',
        '    http-request set-header X-Forwarded-For "%[src]" unless { var(txn.for) -m found }',
        "    http-request set-header X-Forwarded-Proto http",
        "    http-request set-header X-Forwarded-Port %[dst_port]",
        "    http-request set-var(txn.trace) req.fhdr(x-amzn-trace-id)",
        "    http-request set-var-fmt(txn.hop) 1-%{+X}Ts-%[uuid(),regsub(-,,g),bytes(0,24)]",
        (
            '    http-request set-header X-Amzn-Trace-Id "Self=%[var(txn.hop)];%[var(txn.trace)]"'
            " if { var(txn.trace) -m found }"
        ),
        '    http-request set-header X-Amzn-Trace-Id "Root=%[var(txn.hop)]" unless { var(txn.trace) -m found }',
    ]
    for refusal in balancer.refusals:
        concerned = " ".join(f"{{ {condition} }}" for condition in refusal.conditions)
        lines.append(
            f"    http-request return status {refusal.status} content-type {refusal.content_type}"
            f' string "{refusal.text}" hdr Server {SERVER} if {concerned}'
        )
    for number, forward in enumerate(balancer.forwards, 1):
        concerned = " ".join(f"{{ {condition} }}" for condition in forward.conditions)
        lines.append(f"    use_backend forward{number} if {concerned}")
    if has_targets:
        # Without a healthy target requests go to all of them: the target group fails open.
        lines += ["    use_backend healthy if { nbsrv(healthy) gt 0 }", "    default_backend all"]
    else:
        page = f'content-type text/html string "{_page(503)}" hdr Server {SERVER}'
        lines.append(f"    http-request return status 503 {page}")
    return "\n".join(lines) + "\n"


def _checked(check: HealthCheck, servers: list[tuple[str, int]]) -> str:
    lines = [
        "backend healthy",
        *_refused(),
        "    option httpchk",
        (
            f"    http-check send meth GET uri {check.path} ver HTTP/1.1 hdr Host localhost"
            " hdr User-Agent ELB-HealthChecker/2.0 hdr Connection close"
        ),
        f"    http-check expect status {check.codes}",
        f"    timeout check {check.timeout}s",
        f"    default-server check inter {check.interval}s rise {check.healthy} fall {check.unhealthy}",
        *_servers(servers),
    ]
    return "\n".join(lines) + "\n"


def _unchecked(servers: list[tuple[str, int]]) -> str:
    return "\n".join(["backend all", *_refused(), *_servers(servers)]) + "\n"


def _refused() -> list[str]:
    """Give the lines that make 502 of a connection that could not be opened, which HAProxy calls 503.

    Source: ELB guide, load-balancer-troubleshooting, HTTP 502. A 503 of the target itself stays one.
    """
    own = f"{{ status 503 }} {{ res.hdr(server) {SERVER} }}"
    return [
        f"    {_error(503, _page(502))}",
        f'    http-after-response set-status 502 reason "Bad Gateway" if {own}',
    ]


def _error(status: int, page: str) -> str:
    return f'http-error status {status} content-type text/html string "{page}" hdr Server {SERVER}'


def _servers(servers: list[tuple[str, int]]) -> list[str]:
    return [f"    server target{number} {host}:{port}" for number, (host, port) in enumerate(servers, 1)]


def _page(status: int) -> str:
    title = _ERROR_PAGES[status]
    lines = [
        "<html>",
        f"<head><title>{title}</title></head>",
        "<body>",
        f"<center><h1>{title}</h1></center>",
        "</body>",
        "</html>",
        "",
    ]
    return r"\r\n".join(lines)
