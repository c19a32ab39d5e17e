"""The command `slurm-gateway`: its commands, each imported when it is used, and how it ends."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from .errors import ClientError, Interrupt

COMMANDS = {
    "login": "Get a token, keep it, and say whose it is",
    "logout": "Forget the tokens that are kept",
    "token": "Print a Slurm token",
    "submit": "Submit batch scripts, and with --wait end as they end",
    "wait": "Wait for jobs, and end as they end",
    "jobs": "List your jobs",
    "show": "Show a job",
    "logs": "Print what a job printed",
    "cancel": "Cancel jobs, or send them a signal",
    "hold": "Keep waiting jobs from starting",
    "release": "Let held jobs start",
    "partitions": "List the cluster's partitions",
    "nodes": "List the cluster's nodes",
}
_MODULES = {
    "login": "login", "logout": "login", "token": "login", "submit": "submit", "wait": "wait", "jobs": "jobs",
    "show": "jobs", "logs": "logs", "cancel": "changes", "hold": "changes", "release": "changes",
    "partitions": "cluster", "nodes": "cluster",
}  # fmt: skip

_EPILOG = """\
Where the gateway is: SLURM_GATEWAY_URL. A token is had by your AWS credentials, by the OIDC token of a GitHub or
GitLab job, or given in SLURM_JWT. Exit statuses: slurm-gateway submit --help.
"""


class Commands(click.Group):
    """A group whose commands are imported when they are used: the help lists them without."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the commands' names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Return a command by its name."""
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f".commands.{_MODULES[name]}", __package__), name)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands into the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(package_name="slurm-gateway", prog_name="slurm-gateway")
def cli() -> None:
    """Slurm over HTTPS: submit batch scripts, follow them, and fail as they fail."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: with its status, or with an error on one screen."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A name may have letters that the terminal's encoding lacks, or be no text at all.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: Any = cli.main(args=arguments, prog_name="slurm-gateway", standalone_mode=False)
        _flush()
    except click.exceptions.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except Interrupt as exc:
        sys.exit(128 + exc.number)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except ClientError as exc:
        from . import exit_status
        from .screen import Screen

        Screen().error(exc)
        sys.exit(exit_status.of_error(exc))
    except BrokenPipeError:
        _drop_stdout()
        sys.exit(141)
    except OSError as exc:
        from . import exit_status
        from .screen import Screen

        happened = f"{exc.filename or 'A file'}: {(exc.strerror or str(exc)).lower()}."
        means = "This machine could not read or write it. Jobs that were submitted go on."
        Screen().error(ClientError(happened, means=means, todo="Mend that; `slurm-gateway jobs` lists your jobs."))
        sys.exit(exit_status.ERROR)
    sys.exit(status if isinstance(status, int) else 0)


def program() -> NoReturn:
    """Be the console script: `main`, after which nothing is waited for.

    Python ends when all threads have. One that was left at an interruption may wait 40 s for an answer that nobody
    wants any more, and another Ctrl-C meanwhile would end in a traceback.
    """
    try:
        main()
    except SystemExit as exc:
        import threading

        if threading.active_count() == 1:
            raise
        status = exc.code if isinstance(exc.code, int) else 1
    except KeyboardInterrupt:
        status = 130
    import os

    for stream in (sys.stdout, sys.stderr):
        # Who does not read any more cannot be told.
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def _flush() -> None:
    """Write what is left now, while a closed pipe can still be told from an error."""
    sys.stdout.flush()


def _drop_stdout() -> None:
    """Let Python find nothing to flush at its end: whoever read the output has left."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
