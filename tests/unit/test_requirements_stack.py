"""requirements-stack.yaml: who may talk to whom, who may sign, and what the head node may do."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from templates_under_test import (
    ACCOUNT,
    API_STACK,
    REGION,
    REQUIREMENTS_STACK,
    api_resource,
    of_type,
    requirements,
    requirements_resource,
)

from local.intrinsics import TemplateError
from slurm_gateway.access_reader import parse

SIGNERS = [f"arn:aws:iam::{ACCOUNT}:role/{API_STACK}-{name}-{REGION}" for name in ("token", "inbox")]
TAG = "slurm-gateway:requirements-stack"


def key_policy() -> dict[str, dict[str, Any]]:
    policy = requirements_resource("SigningKey")["Properties"]["KeyPolicy"]
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def head_node_policy() -> dict[str, dict[str, Any]]:
    policy = requirements_resource("HeadNodePolicy")["Properties"]["PolicyDocument"]
    return {statement["Sid"]: statement for statement in policy["Statement"]}


# ---- network -------------------------------------------------------------------------------------------------------


def test_the_gateway_subnets_have_no_way_out() -> None:
    routes = {
        item["Properties"]["RouteTableId"]["Ref"]: name
        for name, item in of_type(requirements(), "AWS::EC2::Route").items()
    }
    tables = {
        item["Properties"]["SubnetId"]["Ref"]: item["Properties"]["RouteTableId"]["Ref"]
        for item in of_type(requirements(), "AWS::EC2::SubnetRouteTableAssociation").values()
    }
    endpoints = of_type(requirements(), "AWS::EC2::VPCEndpoint").values()

    assert tables == {
        "PublicSubnet": "PublicRouteTable",
        "ClusterSubnet1": "ClusterRouteTable",
        "ClusterSubnet2": "ClusterRouteTable",
        "GatewaySubnet1": "GatewayRouteTable",
        "GatewaySubnet2": "GatewayRouteTable",
    }
    assert routes == {
        "PublicRouteTable": "PublicRouteToInternet",
        "ClusterRouteTable": "ClusterRouteThroughNat",
    }
    assert [item["Properties"]["RouteTableIds"] for item in endpoints] == [[{"Ref": "ClusterRouteTable"}]] * 2


def test_only_vpc_link_and_jobs_function_to_load_balancer_to_head_node_may_talk() -> None:
    def rules(kind: str, other: str) -> set[tuple[str, str, int, int]]:
        found = [requirements_resource(name)["Properties"] for name in of_type(requirements(), kind)]
        return {(rule["GroupId"], rule[other], int(rule["FromPort"]), int(rule["ToPort"])) for rule in found}

    names = ("VpcLink", "LoadBalancer", "HeadNode", "JobsFunction")
    link, balancer, head_node, jobs = (f"{name}SecurityGroup.GroupId" for name in names)

    assert rules("AWS::EC2::SecurityGroupEgress", "DestinationSecurityGroupId") == {
        (link, balancer, 80, 80),
        (link, balancer, 443, 443),
        (jobs, balancer, 80, 80),
        (balancer, head_node, 6830, 6831),
    }
    assert rules("AWS::EC2::SecurityGroupIngress", "SourceSecurityGroupId") == {
        (balancer, link, 80, 80),
        (balancer, link, 443, 443),
        (balancer, jobs, 80, 80),
        (balancer, jobs, 443, 443),
        (head_node, balancer, 6830, 6831),
    }


def test_no_security_group_gets_the_open_egress_of_a_group_without_rules() -> None:
    for name, group in of_type(requirements(), "AWS::EC2::SecurityGroup").items():
        [rule] = group["Properties"]["SecurityGroupEgress"]
        if name == "JobsFunctionSecurityGroup":
            assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)
        else:
            assert rule["CidrIp"] == "127.0.0.1/32", name
        assert "SecurityGroupIngress" not in group["Properties"], name


def test_slurmrestd_is_told_the_gateway_subnets_and_no_other() -> None:
    cidrs = requirements()["Outputs"]["GatewaySubnetCidrs"]["Value"]["Fn::Sub"]
    subnets = {requirements_resource(f"GatewaySubnet{number}", **ZONES)["Properties"]["CidrBlock"] for number in (1, 2)}

    assert cidrs == "${GatewaySubnetCidr1},${GatewaySubnetCidr2}"
    assert subnets == {"10.0.1.0/27", "10.0.1.32/27"}


ZONES = {"AvailabilityZone1": "us-east-1a", "AvailabilityZone2": "us-east-1b"}


# ---- signing -------------------------------------------------------------------------------------------------------


def test_only_the_token_and_inbox_functions_may_sign_and_only_rs256() -> None:
    allowing = {
        sid: statement
        for sid, statement in key_policy().items()
        if statement["Effect"] == "Allow"
        and any(verb in json.dumps(statement["Action"]) for verb in ("kms:Sign", "kms:*", '"*"'))
    }

    assert set(allowing) == {"TokenAndInboxFunctionsSign"}
    assert allowing["TokenAndInboxFunctionsSign"]["Condition"] == {
        "ArnEquals": {"aws:PrincipalArn": SIGNERS},
        "StringEquals": {"kms:SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"},
    }


def test_everyone_else_is_denied_to_sign_whatever_another_policy_says() -> None:
    statement = key_policy()["NobodyElseSigns"]

    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "kms:Sign")
    assert statement["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": SIGNERS}}


def test_the_account_administers_the_key_without_grants() -> None:
    actions = key_policy()["AccountAdministers"]["Action"]

    assert {"kms:Put*", "kms:ScheduleKeyDeletion", "kms:Get*", "kms:TagResource"} <= set(actions)
    assert not {"kms:Sign", "kms:*", "kms:CreateGrant", "kms:Create*"} & set(actions)


def test_the_role_that_signs_is_the_one_the_apis_stack_makes() -> None:
    role = api_resource("TokenRole")["Properties"]["RoleName"]

    assert SIGNERS[0] == f"arn:aws:iam::{ACCOUNT}:role/{role}"


def test_the_key_carries_the_tag_by_which_it_is_known() -> None:
    key = requirements_resource("SigningKey")["Properties"]

    assert key["Tags"] == [{"Key": TAG, "Value": REQUIREMENTS_STACK}]
    assert (key["KeySpec"], key["KeyUsage"]) == ("RSA_2048", "SIGN_VERIFY")


def test_the_key_list_begins_with_the_stacks_key() -> None:
    parameter = requirements_resource("KeysParameter")["Properties"]

    assert (parameter["Type"], parameter["Value"]) == ("StringList", "SigningKey")
    assert parameter["Name"] == f"/slurm-gateway/{REQUIREMENTS_STACK}/signing-keys"


def test_the_access_document_begins_with_nobody_but_the_canary() -> None:
    parameter = requirements_resource("AccessParameter")["Properties"]

    [rule] = parse(parameter["Value"], forbidden=frozenset()).rules
    canary = api_resource("CanaryRole")["Properties"]["RoleName"]
    assert yaml.safe_load(parameter["Value"])["rules"][0]["principal"] == {
        "iam_role": f"arn:aws:iam::{ACCOUNT}:role/{canary}"
    }
    assert rule.users == ("slurm-canary",)
    assert parameter["Name"] == f"/slurm-gateway/{REQUIREMENTS_STACK}/access"


def test_the_canarys_user_is_the_one_that_the_cluster_makes() -> None:
    [rule] = yaml.safe_load(requirements_resource("AccessParameter")["Properties"]["Value"])["rules"]
    made = requirements()["Outputs"]["HeadNodeArguments"]["Value"]["Fn::Sub"].partition("--canary-user ")[2].split()[0]

    assert rule["users"] == [made]


# ---- bucket --------------------------------------------------------------------------------------------------------


def test_the_bucket_is_encrypted_versioned_and_closed() -> None:
    bucket = requirements_resource("Bucket")
    properties = bucket["Properties"]
    [encryption] = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_the_bucket_takes_tls_only() -> None:
    policy = requirements_resource("BucketPolicy")["Properties"]["PolicyDocument"]
    of_all = [item for item in policy["Statement"] if item["Action"] == "s3:*"]

    assert [(item["Effect"], item["Principal"], item["Condition"]) for item in of_all] == [
        ("Deny", "*", {"Bool": {"aws:SecureTransport": "false"}}),
        ("Deny", "*", {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
    ]
    for statement in of_all:
        assert statement["Resource"] == ["Bucket.Arn", "Bucket.Arn/*"]


# ---- head node -----------------------------------------------------------------------------------------------------


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_the_head_node_may_do_what_its_scripts_and_services_do_and_nothing_else() -> None:
    allowed = {
        (action, resource)
        for statement in head_node_policy().values()
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }

    assert allowed == {
        ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameterKeysParameter"),
        ("kms:GetPublicKey", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*"),
        ("elasticloadbalancing:RegisterTargets", "TargetGroup"),
        ("elasticloadbalancing:RegisterTargets", "ListsTargetGroup"),
        ("s3:GetObject", "Bucket.Arn/headnode/*"),
        ("events:PutEvents", "EventBus.Arn"),
        ("sqs:ReceiveMessage", "HeadNodeQueue.Arn"),
        ("sqs:DeleteMessage", "HeadNodeQueue.Arn"),
        ("sqs:ChangeMessageVisibility", "HeadNodeQueue.Arn"),
        ("s3:GetObject", "Bucket.Arn/inbox/*"),
        ("s3:GetObjectVersion", "Bucket.Arn/inbox/*"),
        ("s3:PutObject", "Bucket.Arn/output/*"),
        ("s3:AbortMultipartUpload", "Bucket.Arn/output/*"),
        ("s3:PutObject", "Bucket.Arn/live/*"),
        ("s3:AbortMultipartUpload", "Bucket.Arn/live/*"),
        ("s3:PutObject", "Bucket.Arn/headnode-state/users.json"),
    }


def test_only_the_inbox_and_jobs_functions_give_the_head_node_orders() -> None:
    policy = requirements_resource("HeadNodeQueuePolicy")["Properties"]["PolicyDocument"]["Statement"]
    [ordering] = [statement for statement in policy if statement["Action"] == "sqs:SendMessage"]

    assert (ordering["Effect"], ordering["Principal"], ordering["Resource"]) == ("Deny", "*", "HeadNodeQueue.Arn")
    assert ordering["Condition"] == {
        "ArnNotEquals": {
            "aws:PrincipalArn": [
                f"arn:aws:iam::{ACCOUNT}:role/{API_STACK}-{name}-{REGION}" for name in ("inbox", "jobs")
            ]
        }
    }


@pytest.mark.parametrize("queue", sorted(of_type(requirements(), "AWS::SQS::Queue")))
def test_a_queue_takes_tls_only(queue: str) -> None:
    policy = requirements_resource(f"{queue}Policy")["Properties"]
    of_all = [each for each in policy["PolicyDocument"]["Statement"] if each["Action"] == "sqs:*"]

    assert policy["Queues"] == [queue]
    assert [{name: value for name, value in each.items() if name != "Sid"} for each in of_all] == [
        {
            "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": f"{queue}.Arn",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]  # fmt: skip


def test_an_order_that_cannot_be_carried_out_is_kept_aside() -> None:
    queue = requirements_resource("HeadNodeQueue")["Properties"]

    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": "HeadNodeDeadLetterQueue.Arn", "maxReceiveCount": 20}


def test_the_head_node_reads_the_public_keys_of_this_gateway_only() -> None:
    condition = head_node_policy()["ReadPublicKeys"]["Condition"]

    assert condition == {"StringEquals": {f"aws:ResourceTag/{TAG}": REQUIREMENTS_STACK}}


def test_the_head_node_tells_in_its_own_name_only() -> None:
    assert head_node_policy()["TellOfJobs"]["Condition"] == {"StringEquals": {"events:source": "slurm-gateway"}}


def test_a_target_drains_as_long_as_a_request_may_take() -> None:
    group = requirements_resource("TargetGroup")["Properties"]

    assert group["TargetGroupAttributes"] == [{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}]
    assert (group["TargetType"], group["Protocol"], group["Port"]) == ("instance", "HTTP", "6830")
    assert group["Matcher"] == {"HttpCode": "200-499"}


# ---- parameters and outputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "wrong"),
    [
        ("ApiStackName", "1st"),
        ("ApiStackName", "slurm_gateway"),
        ("VpcCidr", "10.0.0.0"),
        ("VpcCidr", "10.0.0.0/8"),
        ("GatewaySubnetCidr1", "10.0.1.0/28"),
        ("AvailabilityZone1", "us-east-1"),
        ("SlurmrestdPort", "6820"),
        ("SlurmrestdPort", "many"),
        ("NoncurrentVersionDays", "0"),
    ],
)
def test_a_wrong_parameter_is_refused(parameter: str, wrong: str) -> None:
    with pytest.raises(TemplateError, match=parameter):
        requirements_resource("TargetGroup", **{parameter: wrong})


def test_the_longest_stack_name_makes_no_role_name_longer_than_iam_takes() -> None:
    longest = requirements()["Parameters"]["ApiStackName"]["MaxLength"]

    assert longest + len("-authorizer-ap-southeast-1") <= 64


def test_every_output_for_another_stack_is_exported_under_its_own_name() -> None:
    outputs = {name: output for name, output in requirements()["Outputs"].items() if name != "HeadNodeArguments"}
    exports = {name: output["Export"]["Name"]["Fn::Sub"] for name, output in outputs.items()}

    assert exports == {name: f"${{AWS::StackName}}-{name}" for name in exports}


@pytest.mark.parametrize(
    ("rule_id", "parameter", "prefix"),
    [
        ("forget-job-scripts", "ScriptDays", "scripts/"),
        ("forget-inbox", "InboxDays", "inbox/"),
        ("forget-job-output", "OutputDays", "output/"),
    ],
)
def test_objects_are_forgotten_after_the_days_that_their_parameter_says(
    rule_id: str, parameter: str, prefix: str
) -> None:
    bucket = requirements_resource("Bucket", **{parameter: "7"})["Properties"]

    [rule] = [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if rule["Id"] == rule_id]

    assert (rule["Prefix"], int(rule["ExpirationInDays"])) == (prefix, 7)


def test_what_running_jobs_print_is_forgotten_with_all_its_versions_after_a_day() -> None:
    rules = requirements_resource("Bucket")["Properties"]["LifecycleConfiguration"]["Rules"]

    [rule] = [rule for rule in rules if rule.get("Prefix") == "live/"]

    assert (rule["ExpirationInDays"], rule["NoncurrentVersionExpiration"]) == (1, {"NoncurrentDays": 1})


# ---- the inbox -----------------------------------------------------------------------------------------------------


def test_the_bucket_tells_eventbridge_of_its_objects() -> None:
    told = requirements_resource("Bucket")["Properties"]["NotificationConfiguration"]

    assert told == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_who_writes_one_prefix_of_the_bucket_writes_no_other() -> None:
    def role(name: str) -> str:
        return f"arn:aws:iam::{ACCOUNT}:role/{name}"

    operator = role(f"slurm-gateway-requirements-operator-{REGION}")
    jobs, inbox = (role(f"{API_STACK}-{name}-{REGION}") for name in ("jobs", "inbox"))
    head_node = role("parallelcluster/*/*-RoleHeadNode-*")
    found = requirements_resource("BucketPolicy")["Properties"]["PolicyDocument"]["Statement"]
    kept_out = {
        resource.removeprefix("Bucket.Arn/"): each["Condition"]
        for each in found
        for resource in listed(each["Resource"])
        if "s3:PutObject" in listed(each["Action"]) and (each["Effect"], each["Principal"]) == ("Deny", "*")
    }

    assert kept_out == {
        "rules/*": {"ArnNotEquals": {"aws:PrincipalArn": operator}},
        "scripts/*": {"ArnNotEquals": {"aws:PrincipalArn": [jobs, inbox]}},
        "output/*": {"ArnNotLike": {"aws:PrincipalArn": head_node}},
        "live/*": {"ArnNotLike": {"aws:PrincipalArn": head_node}},
        "headnode-state/*": {"ArnNotLike": {"aws:PrincipalArn": head_node}},
        "inbox/*": {"ArnLike": {"aws:PrincipalArn": [operator, jobs, inbox, head_node]}},
        # Whoever deploys writes it, with credentials of any kind.
        "headnode/*": {"ArnLike": {"aws:PrincipalArn": [jobs, inbox, head_node]}},
    }
    # Replication writes by an action of its own.
    assert all("s3:ReplicateObject" in each["Action"] for each in found if "s3:PutObject" in listed(each["Action"]))


def test_a_pipeline_may_write_objects_into_the_inbox_and_nothing_else() -> None:
    [statement] = requirements_resource("InboxWriterPolicy")["Properties"]["PolicyDocument"]["Statement"]

    assert (statement["Action"], statement["Resource"]) == (
        ["s3:PutObject", "s3:AbortMultipartUpload"],
        "Bucket.Arn/inbox/*",
    )
