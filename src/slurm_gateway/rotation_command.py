"""`python -m slurm_gateway.rotation`: rotates the signing key, one step a call.

    status        say where the rotation is
    next          take the next step; with --wait, wait until its time has come
    drop KEY      an emergency: take a key out of use at once, with all its tokens

Exit status 0 when it is done, 3 when it is too early, 1 when it cannot be done. AWS credentials are an operator's, by
the usual variables or profile; docs/rotation.md lists the calls.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from . import aws
from .rotation import Rotation, RotationError, TooEarlyError, longest_lifespan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TOO_EARLY = 3
_PHASES = {
    "steady": "one key signs; next: publish a new one",
    "published": "the new key is published; next: sign with it",
    "signing": "the new key signs; next: retire the old one",
    "odd": "more keys than a rotation leaves: drop those that are too many",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = _parser().parse_args(arguments)
    try:
        rotation = of_stack(given.stack)
        match given.command:
            case "status":
                _say(status(rotation))
            case "drop":
                _say(rotation.drop(given.key))
            case _:
                _say(_next(rotation, wait=given.wait))
    except TooEarlyError as exc:
        _say(str(exc), sys.stderr.write)
        return TOO_EARLY
    except RotationError as exc:
        _say(str(exc), sys.stderr.write)
        return 1
    except (ClientError, BotoCoreError) as exc:
        _say(f"AWS: {exc}; nothing is lost: run it again", sys.stderr.write)
        return 1
    return 0


def of_stack(stack: str) -> Rotation:
    """Return the rotation of a requirements stack that is deployed; RotationError if it is not."""
    session = aws.session()
    described = aws.client(session, "cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
    wanted = ("KeysParameterName", "AccessParameterName", "SigningKeyArn")
    if missing := [name for name in wanted if name not in outputs]:
        raise RotationError(f"{stack} has no output {', '.join(missing)}: is it the requirements stack?")
    ssm = aws.client(session, "ssm")
    return Rotation(
        ssm,
        aws.client(session, "kms"),
        stack=stack,
        keys_parameter=outputs["KeysParameterName"],
        own_key=outputs["SigningKeyArn"],
        longest_lifespan=lambda: longest_lifespan(ssm, outputs["AccessParameterName"]),
    )


def status(rotation: Rotation) -> str:
    """Return where a rotation is: its keys, what comes next and when."""
    state = rotation.state()
    lines = [f"{key}  {'signs' if number == 0 else 'is accepted'}" for number, key in enumerate(state.keys)]
    due = rotation.due_in(state)
    when = f", in {due:.0f} s" if due else ", now" if state.phase != "odd" else ""
    return "\n".join([*lines, _PHASES[state.phase] + when])


def _next(rotation: Rotation, *, wait: bool) -> str:
    while True:
        try:
            return rotation.next()
        except TooEarlyError as exc:
            if not wait:
                raise
            _say(str(exc), sys.stderr.write)
            time.sleep(exc.seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slurm_gateway.rotation", description="Rotates the signing key.")
    parser.add_argument("--stack", default="slurm-gateway-requirements", help="the requirements stack's name")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="say where the rotation is")
    step = commands.add_parser("next", help="take the next step, refused before its time")
    step.add_argument("--wait", action="store_true", help="wait until its time has come")
    drop = commands.add_parser("drop", help="take a key out of use at once, with all its tokens")
    drop.add_argument("key", help="the key's id")
    return parser


def _say(text: str, write: Callable[[str], object] | None = None) -> None:
    (write or sys.stdout.write)(text + "\n")
