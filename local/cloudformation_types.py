"""The resource types that ministack 1.5.33's CloudFormation lacks and this project's templates use.

ministack refuses a whole template for one unknown type. Registering what is missing keeps the templates
whole: what is deployed here is what is deployed on AWS. Each entry is a record in ministack's own store where
its EC2 API has one, and an identifier of the right shape where nothing of it can be emulated on one machine.

    AWS::EC2::EIP                    ministack's API has addresses, its CloudFormation does not
    AWS::EC2::NatGateway             the same
    AWS::EC2::SecurityGroupIngress   the same, for rules outside their group
    AWS::EC2::SecurityGroupEgress    the same
    AWS::ApiGatewayV2::VpcLink       nowhere in ministack; the local gateway goes to the balancer itself

One type is there and changed: a load balancer gets the name under which this checkout's stand-in answers, for a
function in the VPC goes to it by that name.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from ministack.core.responses import now_iso
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from local.address import LOAD_BALANCER_PORT, address

if TYPE_CHECKING:
    from collections.abc import Callable

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]


def register() -> None:
    """Add the missing types to ministack's table, in this process.

    Raises RuntimeError when ministack has one by now: then it should be taken out here.
    """
    table = provisioners._RESOURCE_HANDLERS
    known = sorted(set(_TYPES) & set(table))
    if known:
        raise RuntimeError(f"ministack knows {', '.join(known)} itself now; remove them from {__name__}")
    table.update(_TYPES)
    balancer = table["AWS::ElasticLoadBalancingV2::LoadBalancer"]
    balancer["create"] = _named_here(balancer["create"])
    balancer["update"] = _named_here(balancer["update"])


def _named_here(provision: Callable[..., Created]) -> Callable[..., Created]:
    def provisioned(*arguments: Any, **named: Any) -> Created:  # noqa: ANN401 (ministack's own, passed on)
        arn, attributes = provision(*arguments, **named)
        # With its port: the listener's own, 80, may be taken on a machine.
        return arn, {**attributes, "DNSName": f"{address()}:{LOAD_BALANCER_PORT}"}

    return provisioned


def _elastic_ip(_logical_id: str, properties: Properties, _stack: str) -> Created:
    allocation = "eipalloc-" + secrets.token_hex(8) + "0"
    # 198.51.100.0/24 is for documentation (RFC 5737): no request can go astray.
    public_ip = f"198.51.100.{1 + secrets.randbelow(254)}"
    ec2._addresses[allocation] = {
        "AllocationId": allocation,
        "PublicIp": public_ip,
        "Domain": properties.get("Domain", "vpc"),
        "AssociationId": None,
        "InstanceId": None,
        "NetworkInterfaceId": None,
        "PrivateIpAddress": None,
    }
    # Ref gives the address, and so it is the physical id.
    return public_ip, {"AllocationId": allocation, "PublicIp": public_ip}


def _release_elastic_ip(physical_id: str, _properties: Properties) -> None:
    for allocation, record in list(ec2._addresses.items()):
        if record["PublicIp"] == physical_id:
            del ec2._addresses[allocation]


def _nat_gateway(_logical_id: str, properties: Properties, _stack: str) -> Created:
    subnet = ec2._subnets.get(properties["SubnetId"])
    if subnet is None:
        raise ValueError(f"The subnet ID '{properties['SubnetId']}' does not exist")
    gateway = "nat-" + secrets.token_hex(8) + "0"
    ec2._nat_gateways[gateway] = {
        "NatGatewayId": gateway,
        "SubnetId": properties["SubnetId"],
        "VpcId": subnet["VpcId"],
        "AllocationId": properties.get("AllocationId", ""),
        "ConnectivityType": properties.get("ConnectivityType", "public"),
        "State": "available",
        "CreateTime": now_iso(),
        "Tags": properties.get("Tags", []),
    }
    return gateway, {"NatGatewayId": gateway}


def _delete_nat_gateway(physical_id: str, _properties: Properties) -> None:
    ec2._nat_gateways.pop(physical_id, None)


def _rule(properties: Properties, key: str) -> dict[str, Any]:
    parsed = provisioners._ec2_sg_permissions([properties])
    group = ec2._security_groups.get(properties["GroupId"])
    if group is None:
        raise ValueError(f"The security group '{properties['GroupId']}' does not exist")
    rule: dict[str, Any] = parsed[0]
    group[key].append(rule)
    return rule


def _ingress(_logical_id: str, properties: Properties, _stack: str) -> Created:
    _rule(properties, "IpPermissions")
    rule_id = "sgr-" + secrets.token_hex(8) + "0"
    return rule_id, {"Id": rule_id}


def _egress(_logical_id: str, properties: Properties, _stack: str) -> Created:
    _rule(properties, "IpPermissionsEgress")
    rule_id = "sgr-" + secrets.token_hex(8) + "0"
    return rule_id, {"Id": rule_id}


def _remove_rule(properties: Properties, key: str) -> None:
    group = ec2._security_groups.get(properties.get("GroupId"))
    unwanted = provisioners._ec2_sg_permissions([properties])[0]
    if group is not None:
        group[key] = [rule for rule in group[key] if rule != unwanted]


def _delete_ingress(_physical_id: str, properties: Properties) -> None:
    _remove_rule(properties, "IpPermissions")


def _delete_egress(_physical_id: str, properties: Properties) -> None:
    _remove_rule(properties, "IpPermissionsEgress")


def _vpc_link(_logical_id: str, _properties: Properties, _stack: str) -> Created:
    link = secrets.token_hex(5)
    return link, {"VpcLinkId": link}


def _delete_vpc_link(_physical_id: str, _properties: Properties) -> None:
    """Nothing was made."""


_TYPES: dict[str, dict[str, Any]] = {
    "AWS::EC2::EIP": {"create": _elastic_ip, "delete": _release_elastic_ip},
    "AWS::EC2::NatGateway": {"create": _nat_gateway, "delete": _delete_nat_gateway},
    "AWS::EC2::SecurityGroupIngress": {"create": _ingress, "delete": _delete_ingress},
    "AWS::EC2::SecurityGroupEgress": {"create": _egress, "delete": _delete_egress},
    "AWS::ApiGatewayV2::VpcLink": {"create": _vpc_link, "delete": _delete_vpc_link},
}
