"""Who calls: the administrator, the principals alice, bob and mallory, and roles to assume.

Their access keys lie under ``.local/state/aws/keys``, readable by their owner only. A key that the emulator
no longer knows is made anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import yaml
from botocore.exceptions import ClientError

from local import aws_emulator
from local.aws_emulator import ACCOUNT, REGION, Credentials
from local.rootfs import CANARY_USER

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMINISTRATOR = "administrator"
NAMES = ("alice", "bob", "mallory")
RESEARCHER_ROLE = "researcher"
PIPELINE_ROLE = "pipeline"
OPERATOR = "operator"
_OPERATOR_ROLE = f"slurm-gateway-requirements-operator-{REGION}"
KEYS = aws_emulator.DIRECTORY / "keys"
WRITTEN_ACCESS_DOCUMENT = aws_emulator.DIRECTORY / "access.yaml"

_EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
_CALL_TOKEN = {
    "Effect": "Allow",
    "Action": "execute-api:Invoke",
    "Resource": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:*/*/POST/token",
}

ACCESS_DOCUMENT = f"""\
version: 1
inbox:
  - {{rule: "alice-*", users: [alice]}}
  - {{rule: "bob-*", users: [bob]}}
rules:
  - name: alice
    principal: {{iam_user: "arn:aws:iam::{ACCOUNT}:user/alice"}}
    users: [alice]
  - name: bob
    principal: {{iam_user: "arn:aws:iam::{ACCOUNT}:user/bob"}}
    users: [bob]
  - name: researcher
    principal: {{iam_role: "arn:aws:iam::{ACCOUNT}:role/{RESEARCHER_ROLE}"}}
    users: [bob]
  - name: canary
    principal: {{iam_role: "arn:aws:iam::{ACCOUNT}:role/slurm-gateway-canary-{REGION}"}}
    users: [{CANARY_USER}]
"""


class PrincipalError(Exception):
    """A principal that does not exist; the message says which do."""


def administrator() -> Credentials:
    """Give the administrator's access key; IAM user and key are made where they are missing.

    Whoever sets up the stack is this user and not root, because policies bind it: it may do everything in
    IAM, yet cannot sign with the signing key, since the key's own policy denies it.
    """
    return _user(ADMINISTRATOR, _EVERYTHING, aws_emulator.client("iam"))


def ensure(outputs: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Make the IAM users alice, bob and mallory, and give each one's access key id and secret.

    They may call POST /token of any API of this account, and nothing else of AWS. With the requirements
    stack's outputs it also writes the access document, unless an operator wrote another. The role
    ``researcher``, which is mapped to bob, is made too, and ``pipeline``, which may write the inbox.
    """
    iam = aws_emulator.client("iam", administrator())
    keys = {name: _user(name, _CALL_TOKEN, iam) for name in NAMES}
    ensure_role(RESEARCHER_ROLE, iam)
    iam.put_role_policy(RoleName=RESEARCHER_ROLE, PolicyName="own", PolicyDocument=_policy(_CALL_TOKEN))
    if outputs is not None:
        ensure_role(PIPELINE_ROLE, iam)
        iam.attach_role_policy(RoleName=PIPELINE_ROLE, PolicyArn=outputs["InboxWriterPolicyArn"])
        write_access_document(outputs["AccessParameterName"])
    aws_emulator.save()
    return {name: (key.access_key_id, key.secret_access_key) for name, key in keys.items()}


def credentials(name: str) -> Credentials:
    """Give credentials by name.

    ``administrator``, ``alice``, ``bob`` and ``mallory`` have access keys; ``researcher``, ``pipeline`` and
    ``operator`` are roles, whose session it gives. Raises PrincipalError for another name.
    """
    if name == ADMINISTRATOR:
        return administrator()
    roles = {RESEARCHER_ROLE: RESEARCHER_ROLE, PIPELINE_ROLE: PIPELINE_ROLE, OPERATOR: _OPERATOR_ROLE}
    if name in roles:
        return assume(roles[name], "local")
    if name not in NAMES:
        known = ", ".join((ADMINISTRATOR, *NAMES, *roles))
        raise PrincipalError(f"there is no principal {name!r}; there are {known}")
    return _user(name, _CALL_TOKEN, aws_emulator.client("iam", administrator()))


def ensure_role(name: str, iam: Any) -> None:  # noqa: ANN401 (boto3 has no types)
    """Make an IAM role that this account's principals, policies permitting, may assume."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
    }
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))
    except ClientError as exc:
        if exc.response["Error"]["Code"] != "EntityAlreadyExists":
            raise


def assume(role: str, session: str, seconds: int = 3600) -> Credentials:
    """Assume a role as the administrator. Takes its name, the session's name and its life in seconds."""
    answer = aws_emulator.client("sts", administrator()).assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName=session, DurationSeconds=seconds
    )
    given = answer["Credentials"]
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def write_access_document(parameter: str) -> bool:
    """Write the access document as an operator does, with ``ssm put-parameter``; tell whether it was needed.

    Takes the parameter's name. It is left alone when it holds rules that this function did not write.
    """
    ssm = aws_emulator.client("ssm", administrator())
    present = ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    written = WRITTEN_ACCESS_DOCUMENT.read_text() if WRITTEN_ACCESS_DOCUMENT.exists() else None
    # What the stack itself writes into it is the canary's rule, and no operator's.
    operators = [rule for rule in yaml.safe_load(present).get("rules") or () if rule.get("users") != [CANARY_USER]]
    if present == ACCESS_DOCUMENT or (present != written and operators):
        return False
    ssm.put_parameter(Name=parameter, Value=ACCESS_DOCUMENT, Overwrite=True)
    aws_emulator.write_private(WRITTEN_ACCESS_DOCUMENT, ACCESS_DOCUMENT)
    return True


def _user(name: str, statement: Mapping[str, str], iam: Any) -> Credentials:  # noqa: ANN401
    file = KEYS / f"{name}.json"
    try:
        # ministack gives a user that does not exist an empty list of keys, not an error.
        iam.get_user(UserName=name)
    except ClientError as exc:
        if exc.response["Error"]["Code"] != "NoSuchEntity":
            raise
        iam.create_user(UserName=name)
    active = {key["AccessKeyId"] for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]}
    if file.exists():
        kept = Credentials(**json.loads(file.read_text()))
        if kept.access_key_id in active:
            return kept
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=_policy(statement))
    for stale in active:
        iam.delete_access_key(UserName=name, AccessKeyId=stale)
    given = iam.create_access_key(UserName=name)["AccessKey"]
    made = Credentials(given["AccessKeyId"], given["SecretAccessKey"])
    KEYS.mkdir(parents=True, exist_ok=True)
    aws_emulator.write_private(file, json.dumps(asdict(made)))
    return made


def _policy(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
