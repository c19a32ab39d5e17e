"""The project's own templates, deployed into the AWS emulator as ``sam deploy`` deploys them to AWS.

Deploying again changes what changed and nothing else. The functions' code is packed and uploaded by this
module, as ``sam deploy`` does, into a bucket of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from botocore.exceptions import ClientError

from local import aws_emulator, cloudformation, function_package, intrinsics, principals, template
from local.address import CHECKOUT, GATEWAY_PORT, SLURMRESTD_PORT, address, url
from local.aws_emulator import ACCOUNT, REGION, Credentials
from local.cloudformation import ARTIFACTS_BUCKET, StackError, outputs_of
from local.intrinsics import References

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DeployedApi",
    "StackError",
    "deploy_api",
    "deploy_requirements",
    "function_credentials",
    "head_node_environment",
    "head_node_instance_id",
    "outputs_of",
    "targets",
]

REQUIREMENTS_STACK = "slurm-gateway-requirements"
API_STACK = "slurm-gateway"
HEAD_NODE_ROLE = "slurm-gateway-cluster-head-node"
HEAD_NODE_NAME = "HeadNode"

HEAD_NODE_SESSION_SECONDS = 365 * 24 * 3600

_REQUIREMENTS_PARAMETERS = {"SlurmrestdPort": str(SLURMRESTD_PORT), "HeadNodeRole": HEAD_NODE_ROLE}
# The local cluster has accounting, and its own name in slurm.conf.
_API_PARAMETERS = {"Accounting": "true", "ClusterName": "parallelcluster"}
_URL_OF_API = "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}"


@dataclass(frozen=True)
class DeployedApi:
    """The API's stack as deployed.

    ``template`` is the translated one, ``references`` what its references stand for, so that
    ``intrinsics.resolve(value, references)`` resolves any part of it. Of that, resolved: ``body`` is the HTTP
    API's OpenAPI document; ``stage``, ``load_balancer`` and ``listener_rules`` are the properties of those.
    ``functions`` gives the ARN by logical id.
    """

    api_id: str
    body: dict[str, Any]
    stage: dict[str, Any]
    functions: dict[str, str]
    listener_arn: str
    load_balancer: dict[str, Any]
    listener_rules: list[dict[str, Any]]
    outputs: dict[str, str]
    template: dict[str, Any]
    references: References


def deploy_requirements(parameters: Mapping[str, str] | None = None) -> dict[str, str]:
    """Deploy requirements-stack.yaml and give its outputs; takes its parameters, where not the defaults."""
    body = (CHECKOUT / "requirements-stack.yaml").read_text()
    given = {**_REQUIREMENTS_PARAMETERS, **(parameters or {})}
    outputs = cloudformation.deploy(REQUIREMENTS_STACK, body, given)
    aws_emulator.save()
    return outputs


def deploy_api(parameters: Mapping[str, str] | None = None) -> DeployedApi:
    """Deploy template.yaml with the code as it is now; takes its parameters, where not the defaults.

    Raises StackError, TemplateError or function_package.PackageError.
    """
    given = {**_API_PARAMETERS, **(parameters or {})}
    translated = template.translate(CHECKOUT / "template.yaml", given, code_uri=_upload_code(), region=REGION)
    # The API's own name leads to AWS; here its gateway answers elsewhere.
    translated = json.loads(json.dumps(translated, default=str).replace(_URL_OF_API, url(GATEWAY_PORT)))
    outputs = cloudformation.deploy(API_STACK, json.dumps(translated, default=str), given)
    aws_emulator.save()
    return _deployed_api(translated, given, outputs)


def head_node_environment(outputs: Mapping[str, str]) -> dict[str, str]:
    """Give the environment by which the head node's AWS CLI reaches the emulator as the head node.

    Takes the requirements stack's outputs. It is a session of a role that has the head node's policy and
    nothing else, as ParallelCluster's AdditionalIamPolicies gives it. The session lives for a year, which AWS
    would not grant, so that a cluster outlives a day; it is kept and used again while the emulator knows it.
    """
    iam = aws_emulator.client("iam", principals.administrator())
    principals.ensure_role(HEAD_NODE_ROLE, iam)
    attached = iam.list_attached_role_policies(RoleName=HEAD_NODE_ROLE)["AttachedPolicies"]
    policies = {policy["PolicyArn"] for policy in attached}
    for outdated in policies - {outputs["HeadNodePolicyArn"]}:
        iam.detach_role_policy(RoleName=HEAD_NODE_ROLE, PolicyArn=outdated)
    if outputs["HeadNodePolicyArn"] not in policies:
        iam.attach_role_policy(RoleName=HEAD_NODE_ROLE, PolicyArn=outputs["HeadNodePolicyArn"])
    session = _kept_head_node_session()
    if session is None:
        session = principals.assume(HEAD_NODE_ROLE, head_node_instance_id(outputs), HEAD_NODE_SESSION_SECONDS)
        principals.KEYS.mkdir(parents=True, exist_ok=True)
        aws_emulator.write_private(_HEAD_NODE_SESSION, json.dumps(session.environment()))
        aws_emulator.save()
    return {
        "AWS_ENDPOINT_URL": aws_emulator.endpoint(),
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        **session.environment(),
    }


def function_credentials(function_arn: str) -> Credentials:
    """Give the credentials that a deployed function itself runs with: a session of its role."""
    name = function_arn.rpartition(":")[2]
    return Credentials(**aws_emulator.ask("GET", f"/_local/functions/{quote(name)}", timeout=5.0))


_HEAD_NODE_SESSION = principals.KEYS / "head-node.json"


def _kept_head_node_session() -> Credentials | None:
    if not _HEAD_NODE_SESSION.exists():
        return None
    kept = json.loads(_HEAD_NODE_SESSION.read_text())
    session = Credentials(kept["AWS_ACCESS_KEY_ID"], kept["AWS_SECRET_ACCESS_KEY"], kept["AWS_SESSION_TOKEN"])
    try:
        aws_emulator.client("sts", session).get_caller_identity()
    except ClientError:
        # A killed emulator knows only what it had written.
        return None
    return session


def head_node_instance_id(outputs: Mapping[str, str]) -> str:
    """Give the id of the EC2 instance that stands for the head node; takes the requirements stack's outputs.

    Its private address is this checkout's own, so a target group's member leads to the local slurmrestd.
    """
    ec2 = aws_emulator.client("ec2", principals.administrator())
    wanted = [
        {"Name": "tag:Name", "Values": [HEAD_NODE_NAME]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    for reservation in ec2.describe_instances(Filters=wanted)["Reservations"]:
        for instance in reservation["Instances"]:
            if instance.get("PrivateIpAddress") == address():
                return str(instance["InstanceId"])
    made = ec2.run_instances(
        ImageId="ami-00000000",
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        SubnetId=outputs["HeadNodeSubnetId"],
        SecurityGroupIds=[outputs["HeadNodeSecurityGroupId"]],
        PrivateIpAddress=address(),
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": HEAD_NODE_NAME}]}],
    )
    return str(made["Instances"][0]["InstanceId"])


def targets(target_group_arn: str) -> list[tuple[str, int]]:
    """Give host and port of every target registered in a target group, healthy or not.

    A target that is an instance leads to the instance's private address; one that is an address, to itself.
    """
    administrator = principals.administrator()
    elb = aws_emulator.client("elbv2", administrator)
    answer = elb.describe_target_health(TargetGroupArn=target_group_arn)
    registered = [
        (str(health["Target"]["Id"]), int(health["Target"]["Port"]))
        for health in answer["TargetHealthDescriptions"]
        if health["TargetHealth"]["State"] != "draining"
    ]
    instances = [target for target, _ in registered if target.startswith("i-")]
    hosts: dict[str, str] = {}
    if instances:
        # By a filter: an instance that is gone is no error, and on AWS no target either.
        wanted = [{"Name": "instance-id", "Values": instances}, {"Name": "instance-state-name", "Values": ["running"]}]
        found = aws_emulator.client("ec2", administrator).describe_instances(Filters=wanted)
        for reservation in found["Reservations"]:
            hosts |= {item["InstanceId"]: item["PrivateIpAddress"] for item in reservation["Instances"]}
    return [
        (hosts.get(target, target), port)
        for target, port in registered
        if target in hosts or not target.startswith("i-")
    ]


def target_group() -> dict[str, Any]:
    """Give the resolved properties of the requirements stack's target group, as deployed."""
    definition = template.load(CHECKOUT / "requirements-stack.yaml")
    references, _ = _references(REQUIREMENTS_STACK, definition, _REQUIREMENTS_PARAMETERS)
    return _properties(definition, references, "TargetGroup")


def _deployed_api(translated: dict[str, Any], parameters: Mapping[str, str], outputs: dict[str, str]) -> DeployedApi:
    references, resources = _references(API_STACK, translated, parameters)
    api, stage = (_only(resources, kind) for kind in ("AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage"))
    listener = _only(resources, "AWS::ElasticLoadBalancingV2::Listener")
    balancer = _only(resources, "AWS::ElasticLoadBalancingV2::LoadBalancer")
    functions = {
        name: str(resource["attributes"]["Arn"])
        for name, resource in resources.items()
        if resource["type"] == "AWS::Lambda::Function"
    }
    return DeployedApi(
        api_id=str(resources[api]["ref"]),
        body=_properties(translated, references, api)["Body"],
        stage=_properties(translated, references, stage),
        functions=functions,
        listener_arn=str(resources[listener]["ref"]),
        load_balancer=_properties(translated, references, balancer),
        listener_rules=[
            _properties(translated, references, name)
            for name, resource in resources.items()
            if resource["type"] == "AWS::ElasticLoadBalancingV2::ListenerRule"
        ],
        outputs=outputs,
        template=translated,
        references=references,
    )


def _references(
    stack: str, definition: dict[str, Any], parameters: Mapping[str, str]
) -> tuple[References, dict[str, Any]]:
    """Give what a deployed template's references stand for, and its resources as the emulator recorded them."""
    recorded = aws_emulator.ask("GET", f"/_local/stacks/{quote(stack)}", timeout=10.0)
    resources: dict[str, Any] = recorded["resources"]
    pseudo = template.pseudo_parameters(stack, region=REGION, account=ACCOUNT)
    values = template.parameter_values(definition, parameters)
    before = References(refs={**pseudo, **values}, exports=recorded["exports"])
    references = References(
        refs={**pseudo, **values, **{name: resource["ref"] for name, resource in resources.items()}},
        attributes={name: resource["attributes"] for name, resource in resources.items()},
        exports=recorded["exports"],
        mappings=definition.get("Mappings", {}),
        conditions=intrinsics.evaluate_conditions(definition, before),
    )
    return references, resources


def _properties(definition: Mapping[str, Any], references: References, logical_id: str) -> dict[str, Any]:
    properties = definition["Resources"][logical_id]["Properties"]
    return dict(intrinsics.resolve(properties, references, f"Resources/{logical_id}/Properties"))


def _only(resources: Mapping[str, Any], kind: str) -> str:
    names = [name for name, resource in resources.items() if resource["type"] == kind]
    if len(names) != 1:
        raise StackError(f"the local stack expects one {kind} in the API's template; there are {names}")
    return names[0]


def _upload_code() -> dict[str, str]:
    package = function_package.build()
    s3 = aws_emulator.client("s3", principals.administrator())
    # In us-east-1, where this stack always is, creating one's own bucket again is no error.
    s3.create_bucket(Bucket=ARTIFACTS_BUCKET)
    if s3.list_objects_v2(Bucket=ARTIFACTS_BUCKET, Prefix=package.name).get("KeyCount", 0) == 0:
        s3.upload_file(str(package), ARTIFACTS_BUCKET, package.name)
    return {"Bucket": ARTIFACTS_BUCKET, "Key": package.name}
