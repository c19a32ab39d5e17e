"""``local/aws``: the AWS CLI with the local stack's endpoint and one principal's credentials."""

from __future__ import annotations

import os
import sys

from local import aws_emulator, principals


def main(arguments: list[str]) -> int:
    """Become the AWS CLI.

    Takes its arguments, perhaps with ``--as NAME`` before them. Returns an exit status, on errors only.
    """
    who = principals.ADMINISTRATOR
    if arguments[:1] == ["--as"]:
        if len(arguments) < 2:
            print("local/aws: --as takes a name, for example: local/aws --as alice s3 ls", file=sys.stderr)
            return 2
        who, arguments = arguments[1], arguments[2:]
    if not aws_emulator.is_healthy():
        print("local/aws: the AWS emulator does not answer; run: make up", file=sys.stderr)
        return 1
    try:
        credentials = principals.credentials(who)
    except principals.PrincipalError as exc:
        print(f"local/aws: {exc}", file=sys.stderr)
        return 2
    # Nothing of the caller's own AWS settings may pass: neither a profile nor a real account's keys.
    own = {key: value for key, value in os.environ.items() if not key.startswith("AWS_") and key != "PYTHONPATH"}
    environment = {
        **own,
        **credentials.environment(),
        "AWS_ENDPOINT_URL": aws_emulator.endpoint(),
        "AWS_REGION": aws_emulator.REGION,
        "AWS_DEFAULT_REGION": aws_emulator.REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
    }
    # `awscli` is a package of the same Python; run as a module it works from any folder.
    # It takes SQS's endpoint from nowhere but its command line.
    command = [sys.executable, "-P", "-m", "awscli", "--endpoint-url", aws_emulator.endpoint(), *arguments]
    return os.execve(sys.executable, command, environment)  # noqa: S606 (no shell is meant)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
