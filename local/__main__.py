"""The commands of the local stack, as make calls them: ``python -m local up|down|status|token``."""

from __future__ import annotations

import argparse
import os
import sys

from local import cluster, stack
from local.aws_emulator import EmulatorError
from local.cluster import ClusterError
from local.function_package import PackageError
from local.nspawn import MachineError
from local.process import ProcessError
from local.rootfs import RootfsError
from local.stacks import StackError
from local.template import TemplateError
from local.token import TokenError, mint

EXPECTED_ERRORS = (
    ClusterError, EmulatorError, MachineError, PackageError, ProcessError, RootfsError, StackError, TemplateError,
    TokenError,
)  # fmt: skip


def main() -> int:
    """Run one command; give the exit status: 0, or 1 with a message on standard error."""
    arguments = _parser().parse_args()
    if arguments.command in ("up", "down") and os.geteuid() != 0:
        print("the local stack needs root: run this with sudo", file=sys.stderr)
        return 1
    try:
        return _run(arguments)
    except EXPECTED_ERRORS as exc:
        print(f"{arguments.command}: {exc}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            stack.up(arguments.release, dict(arguments.parameter))
        case "down":
            stack.down()
        case "status":
            parts = stack.status()
            for name, answers, where in parts:
                print(f"{name:<28} {'up' if answers else 'DOWN':<5} {where}".rstrip())
            return 0 if all(answers for _, answers, _ in parts) else 1
        case "token":
            print(mint(arguments.principal))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the stack, or heal it")
    up.add_argument("--release", default=os.environ.get("SLURM", cluster.DEFAULT_RELEASE), help="24.11 or 26.05")
    up.add_argument(
        "--parameter", action="append", default=[], type=_assignment, metavar="NAME=VALUE",
        help="a parameter of template.yaml; may be given again",
    )  # fmt: skip
    commands.add_parser("down", help="stop all of it")
    commands.add_parser("status", help="what runs, and where")
    token = commands.add_parser("token", help="print a Slurm token")
    token.add_argument("principal", help="alice, bob or mallory")
    return parser


def _assignment(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
