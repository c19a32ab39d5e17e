"""`python -m slurm_gateway.access`: checks an access document before it is put, and explains what it decides.

    check FILE
    explain --principal ARN [--user USER] FILE
    explain --claims CLAIMS.json [--user USER] FILE

FILE is the document; `-` is standard input. CLAIMS.json is an ID token's payload. Both read as the functions read it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .access import choose
from .access_reader import parse
from .errors import AccessDocumentError
from .oidc import OidcPrincipal
from .principals import IamPrincipal
from .users import forbidden_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .access import Access, Principal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if the document is valid (and the principal gets a token), 1 if not, 2 for misuse."""
    given = _parser().parse_args(arguments)
    forbidden = forbidden_names(default_user_sudo=given.default_user_sudo == "true")
    try:
        text = sys.stdin.read() if given.document == "-" else Path(given.document).read_text(encoding="utf-8")
        access = parse(text, forbidden=forbidden)
    except AccessDocumentError as exc:
        for problem in exc.problems:
            _say(f"{given.document}: {problem}")
        return 1
    except (OSError, UnicodeDecodeError) as exc:
        _say(f"{given.document}: cannot be read: {exc}")
        return 2
    if given.command == "check":
        _say(f"{given.document}: valid: {_count(access)}")
        return 0
    try:
        who = _principal(given)
    except (OSError, ValueError) as exc:
        _say(str(exc) if given.claims is None else f"{given.claims}: cannot be read: {exc}")
        return 2
    lines, gets_token = explain(access, who, given.user)
    _say("\n".join(lines))
    return 0 if gets_token else 1


def explain(access: Access, who: Principal, user: str | None) -> tuple[list[str], bool]:
    """Return what becomes of a principal that asks for a user (None: the default), line by line.

    Also return whether it gets a token by the document. The head node's list of users is not asked here.
    """
    lines = [str(who)]
    for rule in access.rules:
        mismatch = rule.principal.mismatch(who)
        if not mismatch and user is not None and user not in rule.users:
            mismatch = f"it means the principal, and gives it {', '.join(rule.users)}, not {user}"
        lines.append(f"  rule {rule.name}: {mismatch or 'it fits'}")
        if not mismatch:
            break
    chosen = choose(access.rules_for(who), user)
    if chosen is None:
        return [*lines, "no token: no rule fits"], False
    rule, chosen_user = chosen
    seen = "; it shows everyone's jobs" if rule.sees_everyones_jobs else ""
    lines.append(
        f"a token for {chosen_user}, by the rule {rule.name}: {rule.default_lifespan} s, "
        f"up to {rule.longest_lifespan} s if asked for{seen}"
    )
    return lines, True


def _count(access: Access) -> str:
    users = {user for rule in access.rules for user in rule.users}
    return f"{len(access.rules)} rules for {len(users)} users, {len(access.inbox)} entries of inbox"


def _principal(given: argparse.Namespace) -> Principal:
    if given.principal is not None:
        who = IamPrincipal(given.principal)
        if not who.user and not who.role:
            raise ValueError(
                f"{given.principal}: should be an IAM user's ARN, or a role session's as `aws sts get-caller-identity` "
                "gives it, such as arn:aws:sts::123456789012:assumed-role/Researcher/x"
            )
        return who
    claims: Any = json.loads(Path(given.claims).read_text(encoding="utf-8"))
    if not isinstance(claims, dict) or not isinstance(claims.get("iss"), str):
        raise ValueError("it should be a JSON object of claims, with iss among them")
    return OidcPrincipal(claims["iss"], {name: _as_text(value) for name, value in claims.items()})


def _as_text(value: object) -> str:
    """Return a claim as API Gateway hands it on."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{' '.join(map(_as_text, value))}]" if isinstance(value, list) else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slurm_gateway.access", description="Access documents.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="say whether a document is valid, and what is wrong on which line")
    explaining = commands.add_parser("explain", help="say which rule decides about a principal, and why")
    who = explaining.add_mutually_exclusive_group(required=True)
    who.add_argument("--principal", metavar="ARN", help="an IAM user's ARN, or a role session's (as STS gives it)")
    who.add_argument("--claims", metavar="FILE", help="the claims of an ID token, as JSON")
    explaining.add_argument("--user", help="the Slurm user that is asked for (default: the rule's first)")
    for command in (check, explaining):
        command.add_argument("document", metavar="FILE", help="the document; - for standard input")
        command.add_argument(
            "--default-user-sudo", choices=("true", "false"), default="true",
            help="the stack's parameter DefaultUserSudo (default: true)",
        )  # fmt: skip
    return parser


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
