"""template.yaml as CloudFormation gets it: what the linters cannot see, above all inside the OpenAPI document."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any
from unittest.mock import ANY

import pytest
from aiopenapi3.v30.root import Root as OpenApiDocument
from templates_under_test import (
    ACCOUNT,
    API_STACK,
    API_TEMPLATE,
    ISSUERS,
    REGION,
    REQUIREMENTS_TEMPLATE,
    api_body,
    api_resource,
    integration_name,
    of_type,
    operations,
    requirements,
    translated,
)

from local.address import CHECKOUT
from local.template import load
from slurm_gateway import metrics
from slurm_gateway.settings import (
    AuthorizerSettings,
    CanarySettings,
    HealthSettings,
    InboxSettings,
    JobsSettings,
    JwksSettings,
    RecorderSettings,
    TokenSettings,
)

OIDC_ROUTES = {
    "POST /token/oidc/github": "GithubIdToken",
    "POST /token/oidc/gitlab": "GitlabIdToken",
    "POST /token/oidc/own": "OwnIdToken",
}
PUBLIC_ROUTES = {"GET /.well-known/jwks.json", "GET /health"}
NATIVE_ROUTES = {
    "GET /slurm/{version}/jobs",
    "GET /slurm/{version}/jobs/state",
    "GET /slurm/{version}/jobs/{proxy+}",
    "ANY /slurm/{version}/{proxy+}",
    "ANY /slurmdb/{version}/{proxy+}",
    "GET /openapi",
    "GET /openapi/{proxy+}",
}
RS256 = "RSASSA_PKCS1_V1_5_SHA_256"
FUNCTIONS = {
    "EdgeAuthorizerFunction", "TokenFunction", "JwksFunction", "JobsFunction", "RecorderFunction", "HealthFunction",
    "InboxFunction", "CanaryFunction",
}  # fmt: skip

# What API Gateway knows, from its developer guide: "OpenAPI extensions" and "Access logging variables for HTTP APIs".
EXTENSIONS = {
    "x-amazon-apigateway-any-method",
    "x-amazon-apigateway-authorizer",
    "x-amazon-apigateway-authtype",
    "x-amazon-apigateway-integration",
    "x-amazon-apigateway-integrations",
    "x-amazon-apigateway-tag-value",
}
FUNCTION_INTEGRATION = {"type", "httpMethod", "uri", "payloadFormatVersion", "timeoutInMillis"}
PRIVATE_INTEGRATION = FUNCTION_INTEGRATION | {"connectionType", "connectionId", "requestParameters"}
AUTHORIZER = {
    "type",
    "identitySource",
    "authorizerUri",
    "authorizerPayloadFormatVersion",
    "enableSimpleResponses",
    "authorizerResultTtlInSeconds",
}
CONTEXT_VARIABLES = {
    "authorizer.error",
    "authorizer.jti",
    "authorizer.user",  # this and jti are what the edge authorizer puts in its answer's context
    "error.message",
    "httpMethod",
    "identity.sourceIp",
    "identity.userArn",
    "integration.error",
    "integration.latency",
    "integration.status",
    "path",
    "protocol",
    "requestId",
    "requestTime",
    "responseLatency",
    "responseLength",
    "routeKey",
    "status",
}


def integrations(**parameters: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = api_body(**parameters)["components"]["x-amazon-apigateway-integrations"]
    return found


def schemes() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = api_body()["components"]["securitySchemes"]
    return found


def stage() -> dict[str, Any]:
    properties: dict[str, Any] = api_resource("ApiApiGatewayDefaultStage")["Properties"]
    return properties


def function(name: str, **parameters: str) -> dict[str, Any]:
    properties: dict[str, Any] = api_resource(name, **parameters)["Properties"]
    return properties


def statements(role: str, **parameters: str) -> dict[str, dict[str, Any]]:
    policies = api_resource(role, **parameters)["Properties"]["Policies"]
    return {each["Sid"]: each for policy in policies for each in policy["PolicyDocument"]["Statement"]}


# ---- routes ------------------------------------------------------------------------------------------------------


def test_every_route_but_the_public_ones_has_an_authorizer() -> None:
    open_routes = {route for route, operation in operations().items() if not operation.get("security")}

    assert open_routes == PUBLIC_ROUTES


def test_every_authorizer_of_a_route_is_declared() -> None:
    named = {name for operation in operations().values() for item in operation.get("security", []) for name in item}

    assert named == set(schemes())


def test_the_token_route_takes_signed_requests_only() -> None:
    assert operations()["POST /token"]["security"] == [{"AwsIam": []}]
    assert schemes()["AwsIam"]["x-amazon-apigateway-authtype"] == "awsSigv4"


def test_without_an_issuer_there_is_no_route_for_id_tokens() -> None:
    assert [route for route in operations() if "oidc" in route] == []
    assert set(schemes()) == {"AwsIam", "EdgeAuthorizer"}
    assert translated()["Resources"]["TokenOidcPermission"]["Condition"] == "HasAnyIssuer"


@pytest.mark.parametrize("parameter", ISSUERS)
def test_each_issuer_has_a_route_and_an_authorizer_of_its_own(parameter: str) -> None:
    body = api_body(**{parameter: ISSUERS[parameter], "OidcAudiences": "a,b"})
    [route] = [path for path in body["paths"] if "oidc" in path]
    [security] = body["paths"][route]["post"]["security"]
    [scheme] = security

    assert OIDC_ROUTES[f"POST {route}"] == scheme
    assert body["components"]["securitySchemes"][scheme]["x-amazon-apigateway-authorizer"] == {
        "type": "jwt",
        "identitySource": "$request.header.Authorization",
        "jwtConfiguration": {"issuer": ISSUERS[parameter], "audience": ["a", "b"]},
    }
    assert set(body["components"]["securitySchemes"]) == {"AwsIam", "EdgeAuthorizer", scheme}


def test_every_route_but_the_public_ones_has_an_authorizer_also_with_every_issuer() -> None:
    everything = operations(**ISSUERS)

    assert {route for route, operation in everything.items() if not operation.get("security")} == PUBLIC_ROUTES
    assert set(everything) - set(operations()) == set(OIDC_ROUTES)
    assert {integration_name(everything[route]) for route in OIDC_ROUTES} == {"Token"}


def test_every_native_route_passes_the_edge_authorizer_and_the_vpc_link() -> None:
    native = {
        route: operation["security"]
        for route, operation in operations().items()
        if integration_name(operation) == "Slurmrestd"
    }

    assert native == {route: [{"EdgeAuthorizer": []}] for route in NATIVE_ROUTES}


def test_every_integration_is_declared_and_used() -> None:
    assert {integration_name(operation) for operation in operations().values()} == set(integrations())


def test_no_route_ends_with_a_slash_for_http_apis_take_none() -> None:
    assert [route for route in operations() if route.endswith("/")] == []


def test_every_path_parameter_is_declared() -> None:
    for route, operation in operations().items():
        declared = [item["name"] for item in operation.get("parameters", [])]
        assert declared == re.findall(r"\{(.*?)\}", route), route


# ---- the OpenAPI document's own spelling --------------------------------------------------------------------------


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(keys(item) for item in value.values()))
    return set().union(*(keys(item) for item in value)) if isinstance(value, list) else set()


def test_every_extension_is_one_that_api_gateway_knows() -> None:
    assert {key for key in keys(api_body()) if key.startswith("x-")} == EXTENSIONS


def test_the_integrations_have_the_keys_that_api_gateway_knows() -> None:
    assert {name: set(item) for name, item in integrations().items()} == {
        "Token": FUNCTION_INTEGRATION,
        "Jwks": FUNCTION_INTEGRATION,
        "Health": FUNCTION_INTEGRATION,
        "Jobs": FUNCTION_INTEGRATION,
        "Slurmrestd": PRIVATE_INTEGRATION,
    }


def test_the_edge_authorizer_has_the_keys_that_api_gateway_knows() -> None:
    assert set(schemes()["EdgeAuthorizer"]["x-amazon-apigateway-authorizer"]) == AUTHORIZER


def test_the_import_fails_rather_than_to_drop_what_it_does_not_know() -> None:
    assert api_resource("Api")["Properties"]["FailOnWarnings"] is True


# ---- integrations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"Accounting": "true", **ISSUERS}], ids=["as it is", "with every route"])
def test_the_document_lacks_nothing_that_openapi_requires(parameters: dict[str, str]) -> None:
    body = api_body(**parameters)

    # It takes what it reads apart.
    OpenApiDocument.model_validate(deepcopy(body))
    # What stands below an extension is nobody's to miss, but reads the same.
    assert all("responses" in operation for path in body["paths"].values() for operation in path.values())


def test_every_integration_has_a_time_out_that_an_http_api_can_keep() -> None:
    for name, integration in integrations().items():
        assert 50 <= integration["timeoutInMillis"] <= 30_000, name


@pytest.mark.parametrize(
    ("integration", "name"),
    [("Token", "TokenFunction"), ("Jwks", "JwksFunction"), ("Jobs", "JobsFunction")],
)
def test_a_function_gives_up_before_its_integration(integration: str, name: str) -> None:
    assert function(name)["Timeout"] * 1000 < integrations()[integration]["timeoutInMillis"]
    assert f"functions/{name}.Arn/invocations" in integrations()[integration]["uri"]


def test_the_edge_authorizer_gives_up_before_api_gateway() -> None:
    assert function("EdgeAuthorizerFunction")["Timeout"] < 10


def test_the_native_routes_name_the_verified_user_whatever_the_client_wrote() -> None:
    assert integrations()["Slurmrestd"]["requestParameters"] == {
        "overwrite:header.X-SLURM-USER-NAME": "$context.authorizer.user",
        "overwrite:header.X-Request-ID": "$context.requestId",
    }


def test_the_native_routes_go_through_the_vpc_link_to_the_listener() -> None:
    native = integrations()["Slurmrestd"]

    assert native["type"] == "http_proxy"
    assert native["connectionType"] == "VPC_LINK"
    assert native["connectionId"] == "VpcLink"
    assert native["uri"] == "LoadBalancerListener"


def test_with_a_certificate_the_vpc_link_verifies_its_name_and_the_listener_speaks_https() -> None:
    certificate = {
        "CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0a1b2c3d-0000-4000-8000-000000000000",
        "CertificateDomainName": "slurm.example.org",
    }

    listener = api_resource("LoadBalancerListener", **certificate)["Properties"]

    assert integrations(**certificate)["Slurmrestd"]["tlsConfig"] == {"serverNameToVerify": "slurm.example.org"}
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
    assert listener["Certificates"] == [{"CertificateArn": certificate["CertificateArn"]}]


def test_without_a_certificate_the_listener_speaks_http() -> None:
    listener = api_resource("LoadBalancerListener")["Properties"]

    assert (listener["Protocol"], listener["Port"]) == ("HTTP", 80)
    assert not {"Certificates", "SslPolicy"} & set(listener)


def test_the_load_balancer_is_internal_and_idles_longer_than_the_api_waits() -> None:
    balancer = api_resource("LoadBalancer")["Properties"]
    attributes = {item["Key"]: item["Value"] for item in balancer["LoadBalancerAttributes"]}

    assert balancer["Scheme"] == "internal"
    assert attributes == {
        "idle_timeout.timeout_seconds": "40",
        "routing.http.drop_invalid_header_fields.enabled": "true",
        "routing.http.desync_mitigation_mode": "defensive",
        "deletion_protection.enabled": "false",
    }


# ---- mapped variables ---------------------------------------------------------------------------------------------


def test_every_mapped_variable_exists() -> None:
    mapped = json.dumps([api_body(), stage()["AccessLogSettings"]])

    found = set(re.findall(r"\$context\.([A-Za-z.]*[A-Za-z])", mapped))
    requested = set(re.findall(r"\$request\.[A-Za-z.]+[-A-Za-z]*", mapped))

    assert found == CONTEXT_VARIABLES
    assert requested == {"$request.header.X-SLURM-USER-NAME", "$request.header.X-SLURM-USER-TOKEN"}


def test_the_access_log_is_json_with_the_user_and_without_anything_the_client_sent_in_a_header() -> None:
    log = json.loads(stage()["AccessLogSettings"]["Format"])

    assert (log["user"], log["status"], log["routeKey"]) == (
        "$context.authorizer.user",
        "$context.status",
        "$context.routeKey",
    )
    assert "header" not in stage()["AccessLogSettings"]["Format"]


def test_an_allow_is_cached_for_one_user_token_and_route_and_for_30_seconds_at_most() -> None:
    authorizer = schemes()["EdgeAuthorizer"]["x-amazon-apigateway-authorizer"]

    assert authorizer["identitySource"].split(", ") == [
        "$request.header.X-SLURM-USER-NAME",
        "$request.header.X-SLURM-USER-TOKEN",
        "$context.routeKey",
    ]
    assert authorizer["authorizerResultTtlInSeconds"] <= 30
    assert (authorizer["authorizerPayloadFormatVersion"], authorizer["enableSimpleResponses"]) == ("2.0", True)


# ---- the stage ----------------------------------------------------------------------------------------------------


def test_the_stage_is_the_one_that_is_not_put_in_front_of_paths() -> None:
    assert stage()["StageName"] == "$default"


def test_route_settings_name_existing_routes() -> None:
    assert set(stage()["RouteSettings"]) - set(operations()) == set()


def test_job_lists_and_public_routes_are_throttled_tighter_than_the_rest() -> None:
    lists = {"GET /slurm/{version}/jobs", "GET /slurm/{version}/jobs/{proxy+}"}

    assert set(stage()["RouteSettings"]) == lists | PUBLIC_ROUTES
    for route, settings in stage()["RouteSettings"].items():
        for limit, value in settings.items():
            assert float(value) < float(stage()["DefaultRouteSettings"][limit]), route


# ---- functions ----------------------------------------------------------------------------------------------------


def test_there_are_no_other_functions() -> None:
    assert set(of_type(translated(), "AWS::Lambda::Function")) == FUNCTIONS


@pytest.mark.parametrize("level", load(API_TEMPLATE)["Parameters"]["LogLevel"]["AllowedValues"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("EdgeAuthorizerFunction", AuthorizerSettings),
        ("TokenFunction", TokenSettings),
        ("RecorderFunction", RecorderSettings),
        ("HealthFunction", HealthSettings),
        ("JwksFunction", JwksSettings),
        ("JobsFunction", JobsSettings),
        ("CanaryFunction", CanarySettings),
        ("InboxFunction", InboxSettings),
    ],
)
def test_a_function_is_given_the_settings_it_reads_and_no_other(
    name: str,
    settings: type[AuthorizerSettings | TokenSettings | JwksSettings | JobsSettings | InboxSettings | CanarySettings],
    level: str,
) -> None:
    variables = function(name, LogLevel=level)["Environment"]["Variables"]
    # Imported values stand for themselves as import:NAME; parameter names have no colon.
    slash = {key: "/" if key.endswith("PARAMETER") else "" for key in variables}
    # CloudFormation makes small letters of a bucket's name, and a URL of a queue.
    queue = "https://sqs.us-east-1.amazonaws.com/123456789012/queue"
    made = {"BUCKET": "bucket", "HEAD_NODE_QUEUE_URL": queue, "INBOX_QUEUE_URL": queue, "DEAD_LETTERS_URL": queue}
    environ = {key: made.get(key, value.replace("import:", slash[key])) for key, value in variables.items()}

    # Lambda itself sets the region; metrics read the stack's name.
    read = settings.from_environ({"AWS_REGION": REGION, **environ})

    assert {key.lower() for key in variables} - {"api_stack"} == set(settings.__slots__) - {"region"}
    assert variables["API_STACK"] == API_STACK
    assert level == read.log_level


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_runs_a_module_that_exists(name: str) -> None:
    package, module, attribute = function(name)["Handler"].split(".")

    assert (CHECKOUT / "src" / package / f"{module}.py").is_file()
    assert attribute == "handler"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_logs_json_to_a_group_that_forgets(name: str) -> None:
    logging = function(name)["LoggingConfig"]

    assert logging["LogFormat"] == "JSON"
    # Else Lambda drops what LogLevel=DEBUG asks for.
    assert logging["ApplicationLogLevel"] == "DEBUG"
    assert int(api_resource(logging["LogGroup"])["Properties"]["RetentionInDays"]) == 90


def test_only_the_api_for_its_routes_and_the_schedule_may_invoke_a_function() -> None:
    api = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:Api"
    permissions = [api_resource(name)["Properties"] for name in of_type(translated(), "AWS::Lambda::Permission")]

    assert {(item["FunctionName"], item["Principal"], item["SourceArn"]) for item in permissions} == {
        ("EdgeAuthorizerFunction", "apigateway.amazonaws.com", f"{api}/authorizers/*"),
        ("TokenFunction", "apigateway.amazonaws.com", f"{api}/*/POST/token"),
        ("TokenFunction", "apigateway.amazonaws.com", f"{api}/*/POST/token/oidc/*"),
        ("JwksFunction", "apigateway.amazonaws.com", f"{api}/*/GET/.well-known/jwks.json"),
        ("HealthFunction", "apigateway.amazonaws.com", f"{api}/*/GET/health"),
        ("JobsFunction", "apigateway.amazonaws.com", f"{api}/*/*/jobs*"),
        ("JobsFunction", "apigateway.amazonaws.com", f"{api}/*/*/scripts*"),
        ("CanaryFunction", "events.amazonaws.com", "CanarySchedule.Arn"),
    }


@pytest.mark.parametrize(
    ("role", "name", "allowed"),
    [
        ("EdgeAuthorizerRole", "authorizer", {"ssm:GetParameter", "kms:GetPublicKey"}),
        ("TokenRole", "token", {"ssm:GetParameter", "s3:GetObject", "kms:Sign"}),
        ("JwksRole", "jwks", {"ssm:GetParameter", "kms:GetPublicKey"}),
        ("HealthRole", "health", {"dynamodb:GetItem"}),
        (
            "RecorderRole",
            "recorder",
            {
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "dynamodb:UpdateItem",
                "dynamodb:PutItem",
            },
        ),
        ("CanaryRole", "canary", {"execute-api:Invoke", "ssm:GetParameter", "kms:DescribeKey"}),
    ],
)
def test_a_role_has_a_name_of_its_own_and_allows_what_its_function_does(
    role: str, name: str, allowed: set[str]
) -> None:
    given = [item["Action"] for item in statements(role).values()]
    actions = {action for each in given for action in ([each] if isinstance(each, str) else each)}

    assert api_resource(role)["Properties"]["RoleName"] == f"{API_STACK}-{name}-{REGION}"
    assert actions == allowed | {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert "ManagedPolicyArns" not in api_resource(role)["Properties"]


@pytest.mark.parametrize("role", ["EdgeAuthorizerRole", "TokenRole", "JwksRole"])
def test_a_role_reaches_only_what_is_named_and_keys_only_by_their_tag(role: str) -> None:
    for statement in statements(role).values():
        if statement["Sid"] in {"Sign", "ReadPublicKeys"}:
            tag = "aws:ResourceTag/slurm-gateway:requirements-stack"
            assert statement["Condition"]["StringEquals"][tag] == "slurm-gateway-requirements"
        elif statement["Sid"] == "ReadItsEarlierVersions":
            assert statement["Resource"] == "import:AccessParameterArn:*"
        else:
            assert "*" not in json.dumps(statement["Resource"])


def test_the_jobs_role_reaches_its_tables_scripts_and_output_and_nothing_else() -> None:
    scripts = ["KeepScripts", "TellMissingObjectsFromForbiddenOnes"]
    given = statements("JobsRole")

    assert {sid: (item["Action"], item["Resource"]) for sid, item in given.items()} == {
        "WriteItsLog": (["logs:CreateLogStream", "logs:PutLogEvents"], "JobsLogGroup.Arn"),
        "KeepRecordsOfJobs": (
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query"],
            ["JobsTable.Arn", "JobsTable.Arn/index/by-user"],
        ),
        "SubmitOnce": (
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            "SubmissionsTable.Arn",
        ),
        scripts[0]: (["s3:GetObject", "s3:PutObject"], "import:BucketArn/scripts/*"),
        scripts[1]: ("s3:ListBucket", "import:BucketArn"),
        "ReadOutput": ("s3:GetObject", ["import:BucketArn/output/*", "import:BucketArn/live/*"]),
        "AskTheHeadNodeForWhatJobsPrint": ("sqs:SendMessage", "import:HeadNodeQueueArn"),
    }
    assert given[scripts[1]]["Condition"] == {"StringLike": {"s3:prefix": ["scripts/*", "output/*", "live/*"]}}
    assert api_resource("JobsRole")["Properties"]["RoleName"] == f"{API_STACK}-jobs-{REGION}"
    assert api_resource("JobsRole")["Properties"]["ManagedPolicyArns"] == [
        "arn:aws:iam::aws:policy/service-role/AWSLambdaENIManagementAccess"
    ]


def test_the_code_of_a_function_in_the_vpc_may_not_do_with_network_interfaces_what_lambda_may_in_its_role() -> None:
    in_the_vpc = [name for name in sorted(FUNCTIONS) if "VpcConfig" in function(name)]
    policy = api_resource("FunctionsInTheVpcPolicy")["Properties"]
    [statement] = policy["PolicyDocument"]["Statement"]

    assert sorted(policy["Roles"]) == sorted(function(name)["Role"].removesuffix(".Arn") for name in in_the_vpc)
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Deny", "ec2:*", "*")
    assert list(statement["Condition"]) == ["ArnEquals"]
    sources = statement["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"]
    assert sorted(sources) == [f"{name}.Arn" for name in in_the_vpc]


def test_the_jobs_function_lives_in_the_clusters_subnets_for_the_gateways_are_trusted_by_slurmrestd() -> None:
    assert function("JobsFunction")["VpcConfig"] == {
        "SubnetIds": ["import:ComputeSubnetId1", "import:ComputeSubnetId2"],
        "SecurityGroupIds": ["import:JobsFunctionSecurityGroupId"],
    }


def test_with_a_certificate_the_jobs_function_verifies_its_name() -> None:
    certificate = {
        "CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0a1b2c3d-0000-4000-8000-000000000000",
        "CertificateDomainName": "slurm.example.org",
    }

    variables = function("JobsFunction", **certificate)["Environment"]["Variables"]

    assert variables["SLURMRESTD_URL"] == "https://LoadBalancer.DNSName"
    assert variables["SLURMRESTD_TLS_NAME"] == "slurm.example.org"
    assert function("JobsFunction")["Environment"]["Variables"]["SLURMRESTD_TLS_NAME"] == ""


@pytest.mark.parametrize("name", sorted(of_type(translated(), "AWS::DynamoDB::Table")))
def test_a_table_forgets_by_itself_and_can_be_restored_and_is_encrypted(name: str) -> None:
    table = api_resource(name)["Properties"]

    # The last heartbeat of a cluster takes the place of the one before it.
    if name != "HeartbeatsTable":
        assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_the_recorder_takes_what_the_rule_sends_and_what_fails_is_kept() -> None:
    queue, mapping = (api_resource(name)["Properties"] for name in ("RecordsQueue", "RecordsToRecorder"))
    rule = api_resource("RecordWhatTheHeadNodeTells")["Properties"]

    assert rule["EventBusName"] == "import:EventBusName"
    assert rule["EventPattern"]["source"] == ["slurm-gateway"]
    assert [target["Arn"] for target in rule["Targets"]] == ["RecordsQueue.Arn"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "RecordsDeadLetterQueue.Arn"
    assert queue["VisibilityTimeout"] >= 6 * function("RecorderFunction")["Timeout"]


def test_the_token_function_signs_rs256_and_nothing_else() -> None:
    algorithm = statements("TokenRole")["Sign"]["Condition"]["StringEquals"]["kms:SigningAlgorithm"]

    assert algorithm == "RSASSA_PKCS1_V1_5_SHA_256"


def test_tracing_is_off_until_asked_for() -> None:
    traced = api_resource("TokenRole", TraceFunctions="true")["Properties"]

    assert function("TokenFunction")["TracingConfig"] == {"Mode": "PassThrough"}
    assert function("TokenFunction", TraceFunctions="true")["TracingConfig"] == {"Mode": "Active"}
    assert traced["ManagedPolicyArns"] == ["arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess"]


def test_sam_build_has_a_target_for_every_function_and_fetches_the_runtimes_wheels() -> None:
    makefile = (CHECKOUT / "src" / "Makefile").read_text()
    template = load(API_TEMPLATE)
    runtime = template["Globals"]["Function"]["Runtime"]

    listed = re.search(r"^FUNCTIONS := (.*)$", makefile, re.MULTILINE)

    assert listed is not None
    assert set(listed[1].split()) == FUNCTIONS
    assert f"--python-version {runtime.removeprefix('python')} " in makefile
    assert template["Globals"]["Function"]["Architectures"] == ["arm64"]
    assert "_aarch64" in makefile


# ---- parameters and outputs, of both templates --------------------------------------------------------------------

TEMPLATES = [API_TEMPLATE, REQUIREMENTS_TEMPLATE]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_parameter_is_described_and_constrained(path: Any) -> None:
    for name, parameter in load(path)["Parameters"].items():
        assert parameter["Description"].strip(), name
        assert parameter["ConstraintDescription"].strip(), name
        ranged = {"MinValue", "MaxValue"} <= set(parameter)
        assert ranged or {"AllowedPattern", "AllowedValues"} & set(parameter), name


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_parameter_has_a_label_and_stands_in_one_group(path: Any) -> None:
    template = load(path)
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]

    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]

    assert sorted(grouped) == sorted(template["Parameters"])
    assert set(interface["ParameterLabels"]) == set(template["Parameters"])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_output_is_described(path: Any) -> None:
    for name, output in load(path)["Outputs"].items():
        assert output["Description"].strip(), name


def test_every_import_is_an_export_of_the_requirements() -> None:
    imported = set(
        re.findall(
            r'\{"Fn::ImportValue": \{"Fn::Sub": "\$\{RequirementsStack\}-(\w+)"\}\}',
            json.dumps(translated()["Resources"]),
        )
    )

    assert json.dumps(translated()["Resources"]).count("Fn::ImportValue") > len(imported) > 0
    assert imported - set(requirements()["Outputs"]) == set()


# ---- the inbox ----------------------------------------------------------------------------------------------------


def test_the_inbox_hears_of_objects_that_are_written_under_its_prefix_in_its_bucket() -> None:
    assert api_resource("InboxRule")["Properties"]["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": ["import:BucketName"]}, "object": {"key": [{"prefix": "inbox/"}]}},
    }


def test_the_queue_waits_six_times_as_long_as_a_batch_may_take() -> None:
    assert api_resource("InboxQueue")["Properties"]["VisibilityTimeout"] == 6 * function("InboxFunction")["Timeout"]


def test_a_batch_fails_by_message_and_no_more_batches_run_than_the_parameter_says() -> None:
    mapping = api_resource("InboxEvents", InboxConcurrency="7")["Properties"]

    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": "7"}


@pytest.mark.parametrize(
    ("queue", "rule", "besides"),
    [
        ("InboxQueue", "InboxRule", "import:OperatorRoleArn"),
        ("InboxDeadLetterQueue", "InboxRule", "InboxRole.Arn"),
        ("RecordsQueue", "RecordWhatTheHeadNodeTells", "import:OperatorRoleArn"),
    ],
)
def test_only_the_rule_sends_to_a_queue_and_who_has_to_besides_and_by_tls(queue: str, rule: str, besides: str) -> None:
    policy = api_resource(f"{queue}Policy")["Properties"]
    source = {"aws:SourceArn": f"{rule}.Arn"}

    assert policy["Queues"] == [queue]
    assert {(each["Effect"], each["Action"]): each for each in policy["PolicyDocument"]["Statement"]} == {
        (effect, action): {
            "Sid": ANY, "Effect": effect, "Principal": principal, "Action": action, "Resource": f"{queue}.Arn",
            "Condition": condition,
        }
        for effect, action, principal, condition in (
            ("Allow", "sqs:SendMessage", {"Service": "events.amazonaws.com"}, {"ArnEquals": source}),
            ("Deny", "sqs:SendMessage", "*", {"ArnNotEquals": {**source, "aws:PrincipalArn": besides}}),
            ("Deny", "sqs:*", "*", {"Bool": {"aws:SecureTransport": "false"}}),
        )
    }  # fmt: skip


def test_nobody_sends_to_the_records_dead_letters_for_operators_send_back_what_is_there() -> None:
    policy = api_resource("RecordsDeadLetterQueuePolicy")["Properties"]
    denied = {"Effect": "Deny", "Principal": "*", "Resource": "RecordsDeadLetterQueue.Arn"}

    assert policy["Queues"] == ["RecordsDeadLetterQueue"]
    assert policy["PolicyDocument"]["Statement"] == [
        {"Sid": "NobodySends", **denied, "Action": "sqs:SendMessage"},
        {"Sid": "TlsOnly", **denied, "Action": "sqs:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    ]


def test_operators_may_move_what_was_not_recorded_back_and_nothing_more_of_it() -> None:
    policy = api_resource("RecordsOperatorPolicy")["Properties"]

    assert policy["Roles"] == ["import:OperatorRoleName"]
    assert {each["Resource"]: each["Action"] for each in policy["PolicyDocument"]["Statement"]} == {
        "RecordsDeadLetterQueue.Arn": [
            "sqs:StartMessageMoveTask", "sqs:ListMessageMoveTasks", "sqs:ReceiveMessage", "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
        ],
        "RecordsQueue.Arn": "sqs:SendMessage",
    }  # fmt: skip


def test_the_inbox_role_reaches_what_it_works_on_and_nothing_else() -> None:
    given = statements("InboxRole")
    bucket = "import:BucketArn"

    assert {sid: (item["Action"], item["Resource"]) for sid, item in given.items()} == {
        "WriteItsLog": (["logs:CreateLogStream", "logs:PutLogEvents"], "InboxLogGroup.Arn"),
        "TakeMessages": (
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"],
            "InboxQueue.Arn",
        ),
        "PutAsideWhatCannotBecomeAJob": ("sqs:SendMessage", "InboxDeadLetterQueue.Arn"),
        "OrderTheHeadNode": ("sqs:SendMessage", "import:HeadNodeQueueArn"),
        "ReadTheKeyListAndTheAccessDocument": (
            "ssm:GetParameter",
            ["import:KeysParameterArn", "import:AccessParameterArn"],
        ),
        "ReadItsEarlierVersions": ("ssm:GetParameter", "import:AccessParameterArn:*"),
        "Sign": ("kms:Sign", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*"),
        "ReadRulesAndWhichUsersTheHeadNodeKnows": (
            "s3:GetObject",
            [f"{bucket}/rules/*", f"{bucket}/headnode-state/users.json"],
        ),
        "LookUpObjects": (["s3:GetObject", "s3:GetObjectVersion"], f"{bucket}/inbox/*"),
        "KeepScripts": (["s3:GetObject", "s3:PutObject"], f"{bucket}/scripts/*"),
        "ListRulesAndTellMissingObjectsFromForbiddenOnes": ("s3:ListBucket", bucket),
        "SubmitOnce": (
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            "InboxTable.Arn",
        ),
        "KeepRecordsOfJobs": ("dynamodb:UpdateItem", "JobsTable.Arn"),
    }
    assert given["Sign"]["Condition"]["StringEquals"] == {
        "aws:ResourceTag/slurm-gateway:requirements-stack": "slurm-gateway-requirements",
        "kms:SigningAlgorithm": RS256,
    }
    assert api_resource("InboxRole")["Properties"]["RoleName"] == f"{API_STACK}-inbox-{REGION}"


def test_an_alarm_looks_at_the_count_of_dead_letters_that_the_function_writes() -> None:
    alarm = api_resource("InboxDeadLettersAlarm")["Properties"]

    assert (alarm["Namespace"], alarm["Dimensions"]) == (
        metrics.NAMESPACE,
        [{"Name": "Api", "Value": API_STACK}],
    )
    assert alarm["MetricName"] in (CHECKOUT / "src/slurm_gateway/inbox_batch.py").read_text()
