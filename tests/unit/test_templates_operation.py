"""template.yaml and requirements-stack.yaml as operators deploy them: options, names, alarms and the dashboard."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from templates_under_test import (
    ACCOUNT,
    API_STACK,
    REGION,
    REQUIREMENTS_STACK,
    api_body,
    api_resource,
    of_type,
    references,
    requirements,
    requirements_resource,
    translated,
)

from local.address import CHECKOUT
from local.intrinsics import resolve
from slurm_gateway import metrics

RUNBOOK = (CHECKOUT / "docs" / "runbook.md").read_text()
# What AWS itself counts, from its user guides: by namespace, each metric with the dimensions it has.
AWS_METRICS = {
    "AWS/ApiGateway": ({"Count", "4xx", "5xx", "Latency", "IntegrationLatency"}, [{"ApiId"}]),
    "AWS/ApplicationELB": (
        {"HealthyHostCount", "TargetResponseTime"},
        [{"LoadBalancer"}, {"LoadBalancer", "TargetGroup"}],
    ),
    "AWS/SQS": ({"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"}, [{"QueueName"}]),
    "AWS/Lambda": ({"Errors", "ConcurrentExecutions"}, [{"FunctionName"}]),
}
# Whose names the whole account shares, and not a region of it.
GLOBAL_NAMES = {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::CloudWatch::Dashboard", "AWS::S3::Bucket"}
NAMES = {
    "AlarmName",
    "AliasName",
    "DashboardName",
    "FunctionName",
    "GroupName",
    "LogGroupName",
    "ManagedPolicyName",
    "QueueName",
    "RoleName",
    "TableName",
    "TopicName",
}
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0a1b2c3d-0000-4000-8000-000000000000"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:night-shift"
EXISTING = {
    "ExistingVpcId": "vpc-0123456789abcdef0",
    "ExistingClusterSubnet1Id": "subnet-0123456789abcdef1",
    "ExistingClusterSubnet2Id": "subnet-0123456789abcdef2",
    "ExistingGatewaySubnet1Id": "subnet-0123456789abcdef3",
    "ExistingGatewaySubnet2Id": "subnet-0123456789abcdef4",
}

ALARMS = sorted(of_type(translated(), "AWS::CloudWatch::Alarm"))


def alarm(name: str, **parameters: str) -> dict[str, Any]:
    properties: dict[str, Any] = api_resource(name, **parameters)["Properties"]
    return properties


def is_made(template: dict[str, Any], stack: str, name: str, **parameters: str) -> bool:
    condition = template["Resources"][name].get("Condition")
    return condition is None or references(template, stack, parameters).conditions[condition]


# ---- several stacks in one account --------------------------------------------------------------------------------


def explicit_names(template: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Give resource, type and text of each name that a template gives, as it stands in the template."""
    found = []
    for logical_id, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        # A parameter's Name, a link's Name; elsewhere Name is a tag's or a rule's.
        keys = NAMES | ({"Name"} if resource["Type"] in {"AWS::SSM::Parameter", "AWS::Events::EventBus"} else set())
        for key in keys & set(properties):
            text = json.dumps(properties[key])
            # To name another resource of the stack is not to give a name.
            if not re.fullmatch(r'\{"Ref": "\w+"\}', text):
                found.append((logical_id, resource["Type"], text))
    return found


@pytest.mark.parametrize("template", [translated(), requirements()], ids=["api", "requirements"])
def test_every_explicit_name_holds_the_stacks_and_where_it_is_global_the_regions(template: dict[str, Any]) -> None:
    names = explicit_names(template)

    assert [name for name in names if "${AWS::StackName}" not in name[2]] == []
    assert [name for name in names if name[1] in GLOBAL_NAMES and "${AWS::Region}" not in name[2]] == []
    assert len(names) > 1


# ---- options ------------------------------------------------------------------------------------------------------


def test_without_accounting_there_is_no_slurmdb_route() -> None:
    assert [path for path in api_body() if path.startswith("/slurmdb")] == []
    assert [path for path in api_body()["paths"] if "slurmdb" in path] == []
    assert [path for path in api_body(Accounting="true")["paths"] if "slurmdb" in path] == [
        "/slurmdb/{version}/{proxy+}"
    ]


def test_a_domain_name_leads_to_the_api_and_has_a_record_where_the_zone_is_ours() -> None:
    domain = {"DomainName": "slurm.example.org", "DomainCertificateArn": CERTIFICATE}
    made = [
        name
        for name in ("DomainNameOfApi", "DomainNameLeadsToApi", "DomainRecord")
        if is_made(translated(), API_STACK, name, **domain)
    ]

    assert made == ["DomainNameOfApi", "DomainNameLeadsToApi"]
    assert is_made(translated(), API_STACK, "DomainRecord", **domain, HostedZoneId="Z0123456789")
    assert not is_made(translated(), API_STACK, "DomainNameOfApi")
    mapping = api_resource("DomainNameLeadsToApi", **domain)["Properties"]
    assert (mapping["ApiId"], mapping["Stage"]) == ("Api", "ApiApiGatewayDefaultStage")


def test_the_jobs_function_is_limited_where_it_is_asked_for() -> None:
    assert "ReservedConcurrentExecutions" not in api_resource("JobsFunction")["Properties"]
    limited = api_resource("JobsFunction", JobsConcurrency="20")["Properties"]
    assert limited["ReservedConcurrentExecutions"] == "20"


def test_an_existing_network_is_used_and_none_is_made() -> None:
    made = [
        name
        for name, resource in requirements()["Resources"].items()
        if resource["Type"].startswith("AWS::EC2::") and is_made(requirements(), REQUIREMENTS_STACK, name, **EXISTING)
    ]
    kinds = {requirements()["Resources"][name]["Type"] for name in made}
    outputs = resolve(
        {
            name: output["Value"]
            for name, output in requirements()["Outputs"].items()
            if output.get("Condition") != "MakesNetwork"
        },
        references(requirements(), REQUIREMENTS_STACK, EXISTING),
        "Outputs",
    )

    assert kinds == {
        "AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress"
    }  # fmt: skip
    assert requirements_resource("TargetGroup", **EXISTING)["Properties"]["VpcId"] == EXISTING["ExistingVpcId"]
    assert outputs["VpcId"] == EXISTING["ExistingVpcId"]
    assert [outputs[name] for name in ("HeadNodeSubnetId", "ComputeSubnetId2", "GatewaySubnetId1")] == [
        EXISTING["ExistingClusterSubnet1Id"],
        EXISTING["ExistingClusterSubnet2Id"],
        EXISTING["ExistingGatewaySubnet1Id"],
    ]


# ---- alarms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_leads_to_its_section_of_the_runbook(name: str) -> None:
    section = alarm(name)["AlarmDescription"].rpartition("#")[2]

    assert alarm(name)["AlarmName"] == f"{API_STACK}-{section}"
    assert re.search(rf"^## {section}$", RUNBOOK, re.MULTILINE), section
    body = RUNBOOK.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    for part in ("What it means", "Look at", "Do"):
        assert f"**{part}**" in body, (section, part)


def test_the_runbook_has_no_section_of_an_alarm_that_is_gone() -> None:
    sections = set(re.findall(r"^## ([a-z-]+)$", RUNBOOK, re.MULTILINE))

    assert sections == {alarm(name)["AlarmName"].removeprefix(f"{API_STACK}-") for name in ALARMS}


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_the_topic_of_its_beginning_and_its_end(name: str) -> None:
    assert {"AlarmActions", "OKActions"} & set(alarm(name)) == set()
    told = alarm(name, AlarmTopicArn=TOPIC)
    assert told["AlarmActions"] == told["OKActions"] == [TOPIC]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_asks_for_a_metric_that_there_is(name: str) -> None:
    asked = alarm(name)

    check_metric(asked["Namespace"], asked["MetricName"], {item["Name"] for item in asked["Dimensions"]})
    assert asked["DatapointsToAlarm"] <= asked["EvaluationPeriods"]


def check_metric(namespace: str, name: str, dimensions: set[str]) -> None:
    if namespace == metrics.NAMESPACE:
        assert name in metrics.UNITS, name
        assert dimensions in ({"Api"}, {"Api", "Reason"}, {"Api", "Step"}, {"Api", "State"}), name
    else:
        known, shapes = AWS_METRICS[namespace]
        assert name in known, name
        assert dimensions in shapes, name


# ---- dashboard ----------------------------------------------------------------------------------------------------


def dashboard() -> dict[str, Any]:
    body: dict[str, Any] = json.loads(api_resource("OperationDashboard")["Properties"]["DashboardBody"])
    return body


def dashboard_metrics() -> list[tuple[str, str, dict[str, str]]]:
    """Give namespace, name and dimensions of each metric on the dashboard, its abbreviations written out."""
    found = []
    for widget in dashboard()["widgets"]:
        before: list[str] = []
        for line in widget["properties"].get("metrics", []):
            words = [word for word in line if isinstance(word, str)]
            if not words:
                # A namespace that is not letters and digits alone stands in double quotes.
                namespace, dimensions, name = re.findall(
                    r"^SEARCH\('\{(\"[^\",]+\"|\w+),([\w,]+)\} MetricName=\"(\w+)\"", line[0]["expression"]
                )[0]
                found.append((namespace.strip('"'), name, dict.fromkeys(dimensions.split(","), "*")))
                continue
            if words[0] == "...":
                words = before[: len(before) - len(words) + 1] + words[1:]
            words = [before[place] if word == "." else word for place, word in enumerate(words)]
            found.append((words[0], words[1], dict(zip(words[2::2], words[3::2], strict=True))))
            before = words
    return found


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    for namespace, name, dimensions in dashboard_metrics():
        check_metric(namespace, name, set(dimensions))
    assert {dimensions["Api"] for namespace, _, dimensions in dashboard_metrics() if "Api" in dimensions} == {
        API_STACK, "*",
    }  # fmt: skip


def test_the_dashboard_shows_every_metric_of_our_own_that_an_alarm_watches() -> None:
    shown = {name for namespace, name, _ in dashboard_metrics()}

    assert {alarm(name)["MetricName"] for name in ALARMS} - shown == set()


def test_the_dashboards_widgets_lie_side_by_side() -> None:
    places = [
        (widget["x"] + right, widget["y"] + down)
        for widget in dashboard()["widgets"]
        for right in range(widget["width"])
        for down in range(widget["height"])
    ]

    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


def test_every_variable_of_the_apis_document_is_one_that_there_is() -> None:
    used = set(re.findall(r"\$\{?(?:context|request)\.[A-Za-z._-]+", json.dumps(api_body(Accounting="true"))))

    assert used == {
        # What edge.py puts into its answer's context, and API Gateway's own.
        "$context.authorizer.user",
        "$context.requestId",
        "$context.routeKey",
        "$request.header.X-SLURM-USER-NAME",
        "$request.header.X-SLURM-USER-TOKEN",
    }
