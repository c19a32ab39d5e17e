"""Intrinsic functions and conditions, evaluated as CloudFormation does, refused where they are not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.intrinsics import References, TemplateError, evaluate_conditions, resolve
from local.template import parameter_values, pseudo_parameters, translate

if TYPE_CHECKING:
    from pathlib import Path

REFERENCES = References(
    refs={
        **pseudo_parameters("gateway", region="us-east-1", account="000000000000"),
        "Listener": "arn:listener",
        "Name": "alice",
        "Subnets": ["subnet-1", "subnet-2"],
        "Rate": 5,
    },
    attributes={"TokenFunction": {"Arn": "arn:token"}, "Key": {"Meta.Id": "k-1"}},
    exports={"requirements-VpcId": "vpc-1"},
    mappings={"Sizes": {"small": {"Memory": 128}}},
    conditions={"HasCertificate": False, "IsLocal": True},
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ({"$ref": "#/x", "n": [1, None, True]}, {"$ref": "#/x", "n": [1, None, True]}),
        ({"Ref": "Listener"}, "arn:listener"),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Fn::GetAtt": ["TokenFunction", "Arn"]}, "arn:token"),
        ({"Fn::GetAtt": "TokenFunction.Arn"}, "arn:token"),
        ({"Fn::GetAtt": "Key.Meta.Id"}, "k-1"),
        ({"Fn::Sub": "${AWS::StackName}-token-${Name}"}, "gateway-token-alice"),
        ({"Fn::Sub": "${TokenFunction.Arn}/x"}, "arn:token/x"),
        ({"Fn::Sub": "${!request.path.proxy} ${Rate}"}, "${request.path.proxy} 5"),
        (
            {"Fn::Sub": ["${Name}-${Other}", {"Name": "bob", "Other": {"Ref": "Listener"}}]},
            "bob-arn:listener",
        ),
        (
            "$context.authorizer.user and ${request.path.proxy}",
            "$context.authorizer.user and ${request.path.proxy}",
        ),
        ({"Fn::Join": ["/", ["a", {"Ref": "Name"}, 3]]}, "a/alice/3"),
        ({"Fn::Join": [",", {"Ref": "Subnets"}]}, "subnet-1,subnet-2"),
        ({"Fn::Select": [1, {"Ref": "Subnets"}]}, "subnet-2"),
        ({"Fn::Select": ["0", {"Fn::Split": [",", "x,y"]}]}, "x"),
        ({"Fn::ImportValue": {"Fn::Sub": "requirements-VpcId"}}, "vpc-1"),
        ({"Fn::FindInMap": ["Sizes", "small", "Memory"]}, 128),
        ({"Fn::If": ["IsLocal", "yes", {"Ref": "Absent"}]}, "yes"),
        ({"Fn::If": ["HasCertificate", {"Ref": "Absent"}, "no"]}, "no"),
        ({"a": 1, "b": {"Ref": "AWS::NoValue"}}, {"a": 1}),
        (["a", {"Fn::If": ["IsLocal", {"Ref": "AWS::NoValue"}, "b"]}], ["a"]),
    ],
)
def test_an_intrinsic_function_gives_what_cloudformation_gives(value: object, expected: object) -> None:
    assert expected == resolve(value, REFERENCES)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"paths": {"/x": {"Ref": "Absent"}}}, r"^Api/paths//x/Ref: nothing is known of 'Absent'$"),
        ({"a": [{"Fn::GetAtt": ["TokenFunction", "Name"]}]}, r"^Api/a/0/Fn::GetAtt/TokenFunction: .*'Name'$"),
        ({"Fn::GetAtt": ["Absent", "Arn"]}, r"nothing is known of 'Absent'"),
        ({"Fn::Sub": "${Absent}"}, r"nothing is known of 'Absent'"),
        ({"Fn::Sub": "${Subnets}"}, r"text is wanted, not list"),
        ({"Fn::ImportValue": "requirements-Absent"}, r"nothing is known of 'requirements-Absent'"),
        ({"Fn::If": ["Absent", 1, 2]}, r"nothing is known of 'Absent'"),
        ({"Fn::If": ["IsLocal", 1]}, r"it takes a condition and two values"),
        ({"Fn::Select": [2, {"Ref": "Subnets"}]}, r"there is no item 2 among 2"),
        ({"Fn::FindInMap": ["Sizes", "large", "Memory"]}, r"nothing is known of 'large'"),
        ({"Fn::Join": [",", "text"]}, r"a list is wanted, not str"),
        ({"x": {"Fn::Base64": "aGk="}}, r"^Api/x: Fn::Base64 is not known; known are "),
        ({"Fn::Transform": {"Name": "AWS::Include"}}, r"Fn::Transform is not known"),
        ({"Ref": "Name", "Also": 1}, r"^Api: an intrinsic function stands alone"),
        ({"Ref": "AWS::NoValue"}, r"leaves nothing"),
    ],
)
def test_what_is_not_known_is_an_error_that_names_the_place(value: object, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        resolve(value, REFERENCES, "Api")


def conditions(**definitions: object) -> dict[str, bool]:
    return evaluate_conditions({"Conditions": definitions}, References(refs={"Certificate": "", "Stage": "prod"}))


def test_conditions_may_name_one_another() -> None:
    expected = {"Tls": False, "Plain": True, "Prod": True, "Both": True, "Either": True, "Same": True}

    assert expected == conditions(
        Tls={"Fn::Not": [{"Condition": "Plain"}]},
        Plain={"Fn::Equals": [{"Ref": "Certificate"}, ""]},
        Prod={"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
        Both={"Fn::And": [{"Condition": "Plain"}, {"Condition": "Prod"}]},
        Either={"Fn::Or": [{"Condition": "Tls"}, {"Condition": "Prod"}]},
        Same={"Condition": "Prod"},
    )


@pytest.mark.parametrize(
    ("definitions", "message"),
    [
        ({"A": {"Condition": "B"}, "B": {"Condition": "A"}}, r"the conditions A -> B -> A go in a circle"),
        ({"A": {"Condition": "B"}}, r"^Conditions/A: there is no condition 'B'"),
        ({"A": {"Fn::Contains": [["x"], "x"]}}, r"^Conditions/A: Fn::Contains is not known in a condition"),
        ({"A": {"Fn::And": [{"Fn::Equals": ["x", "x"]}]}}, r"it takes 2 to 10 conditions"),
    ],
)
def test_a_condition_that_cannot_be_evaluated_is_an_error(definitions: dict[str, object], message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        conditions(**definitions)


def test_parameters_take_their_defaults_and_lists_become_lists() -> None:
    template = {
        "Parameters": {
            "Ttl": {"Type": "Number", "Default": 30},
            "Zones": {"Type": "CommaDelimitedList"},
            "Sudo": {"Type": "String", "Default": "true", "AllowedValues": ["true", "false"]},
        }
    }

    assert parameter_values(template, {"Zones": "a, b", "Sudo": "false"}) == {
        "Ttl": "30",
        "Zones": ["a", "b"],
        "Sudo": "false",
    }


@pytest.mark.parametrize(
    ("rules", "given", "message"),
    [
        ({}, {}, r"^Parameters/P: no value given"),
        ({}, {"P": "x", "Q": "y"}, r"the template has no Q"),
        ({"AllowedValues": ["a"]}, {"P": "b"}, r"'b' is none of"),
        ({"AllowedPattern": "[a-z]+"}, {"P": "B"}, r"'B' does not match"),
        ({"Type": "Number"}, {"P": "many"}, r"'many' is not a number"),
        ({"Type": "Number", "MinValue": 1, "MaxValue": 30}, {"P": "31"}, r"31 is not within 1 to 30"),
    ],
)
def test_a_parameter_outside_its_constraints_is_an_error(
    rules: dict[str, object], given: dict[str, str], message: str
) -> None:
    with pytest.raises(TemplateError, match=message):
        parameter_values({"Parameters": {"P": {"Type": "String", **rules}}}, given)


def test_a_sam_template_is_translated_offline_with_its_intrinsics_kept(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(
        """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Level: {Type: String, Default: INFO}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile}
    Properties:
      CodeUri: src/
      Handler: hello.handler
      Runtime: python3.13
      Environment: {Variables: {LEVEL: !Ref Level}}
"""
    )

    translated = translate(path, {}, code_uri={"Bucket": "artifacts", "Key": "code.zip"})

    function = translated["Resources"]["Hello"]
    assert function["Type"] == "AWS::Lambda::Function"
    assert function["Properties"]["Code"] == {"S3Bucket": "artifacts", "S3Key": "code.zip"}
    assert function["Properties"]["Environment"] == {"Variables": {"LEVEL": {"Ref": "Level"}}}
    assert translated["Resources"]["HelloRole"]["Type"] == "AWS::IAM::Role"


def test_a_template_that_sam_refuses_is_an_error_with_sams_words(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(
        "Transform: AWS::Serverless-2016-10-31\n"
        "Resources: {F: {Type: AWS::Serverless::Function, Properties: {Handler: x.y, Nonsense: 1}}}\n"
    )

    with pytest.raises(TemplateError, match=r"F.*Nonsense"):
        translate(path, {})
