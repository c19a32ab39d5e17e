"""submit: sbatch over HTTPS, for people and for CI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import exit_status, sbatch_arguments
from ..errors import AuthenticationError, ClientError, Interrupt, UnreachableError
from .session import command

if TYPE_CHECKING:
    from ..submitting import Outcome, Submission
    from .session import Session

_VARIABLE = "SLURM_GATEWAY_OPTIONS"
_SHOWN = 20  # ids that a sentence has at most


class SubmitCommand(click.Command):
    """A command that reads sbatch's options as sbatch does, and leaves its own to click."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Tell the words apart; click reads this command's own."""
        own = {
            option.removeprefix("--"): not parameter.is_flag
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option)
            for option in parameter.opts
            if option.startswith("--")
        }
        before = sbatch_arguments.split(os.environ.get(_VARIABLE, ""), _VARIABLE)
        # Each by itself: a `--` of the variable's ends its own options only.
        words = sbatch_arguments.parse(before, own) + sbatch_arguments.parse(args, own)
        rest = super().parse_args(ctx, words.own)
        words.scripts[:0] = ctx.params.pop("script")
        ctx.params["words"] = words
        return rest

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit statuses into the help."""
        with formatter.section("Exit status"):
            formatter.write_dl(list(exit_status.MEANINGS))

    def collect_usage_pieces(self, _ctx: click.Context) -> list[str]:
        """Return the usage line."""
        return ["SCRIPT...", "[OPTIONS, AND SBATCH'S]", "[-- ARGUMENTS OF THE SCRIPT]"]


@click.command(cls=SubmitCommand, context_settings={"help_option_names": ["--help"]})
@click.option("--wait", is_flag=True, help="Wait for the jobs to end, and end with their exit status (also -W).")
@click.option("--follow", is_flag=True, help="Print what the jobs print, as they print it; waits too.")
@click.option(
    "--output-dir",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Wait, and put what the jobs printed, and the files that they give back, into DIR.",
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Make one job of all submits with this key within 24 hours. In CI it is made of the run, the job "
    "and the step, and not of the attempt: a retried step joins its first job.",
)
@click.option("--cancel-on-interrupt", is_flag=True, help="Cancel the jobs at Ctrl-C or SIGTERM, without a question.")
@click.option("--script", metavar="FILE", multiple=True, help="A script, whatever its name begins with; repeatable.")
@click.option(
    "--parallel",
    metavar="NUMBER",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="How many scripts are submitted at a time.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be sent to Slurm, and send nothing.")
@click.option(
    "--outputs-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Append job_id, state and exit_code as NAME=VALUE lines: $GITHUB_OUTPUT, or a dotenv report.",
)
@click.option(
    "--summary-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Append states, times and the end of the output in Markdown: $GITHUB_STEP_SUMMARY.",
)
@click.option("--parsable", is_flag=True, help="Print the jobs' ids and nothing else.")
@click.option("--quiet", is_flag=True, help="Print errors only (also -Q).")
@command(json=True)
def submit(session: Session, *, words: sbatch_arguments.Words, **own: Any) -> int:  # noqa: ANN401 (click's values)
    """Submit batch scripts as sbatch does, each as a job.

    The options are sbatch's own, in the scripts or here, where they win: `submit job.sh --time=10`. The
    gateway carries each to Slurm, or says why it cannot; none is dropped. Options may stand in SLURM_GATEWAY_OPTIONS.
    """
    from ..submitting import Submission, check_key

    check_key(own["idempotency_key"])
    submission = Submission(words, os.environ, key=own["idempotency_key"])
    if own["dry_run"]:
        return _preview(session, submission)
    from ..gateway import PATIENCE
    from ..interrupts import Stop
    from ..watching import Watch

    stop = Stop()
    watch = Watch(session.screen, stop, **{name: own[name] for name in (
        "follow", "output_dir", "cancel_on_interrupt", "outputs_file", "summary_file", "as_json"
    )})  # fmt: skip
    waits = any(own[name] for name in ("wait", "follow", "output_dir"))
    with session.gateway(patience=PATIENCE, wait=stop.wait, connections=own["parallel"]) as gateway, stop.on_signals():
        printed = _Printed(session, own, waits=waits, several=len(submission.scripts) > 1)
        try:
            outcomes = submission.send(gateway, at_once=own["parallel"], done=printed.done)
        except Interrupt as exc:
            watch.leave(printed.ids, 128 + exc.number)
            keys = printed.unsettled(submission)
            alone = keys[0] if keys and len(submission.scripts) == 1 else ""
            return watch.interrupted(gateway, exc, printed.ids, unsettled=bool(keys), key=alone)
        except (AuthenticationError, UnreachableError) as exc:
            watch.leave(printed.ids, exit_status.of_error(exc))
            printed.cut_short(exc, submission)
            raise
        refused = printed.end(outcomes)
        submitted = [each.submitted for each in outcomes if each.submitted]
        if not waits or not submitted:
            trouble = watch.report(gateway, [each.job for each in submitted], status=refused or None)
            return refused or trouble
        joined = {each.id for each in submitted if each.joined}
        ids = [each.id for each in submitted]
        return max(refused, watch.run(gateway, ids, joined=joined, as_list=len(submission.scripts) > 1))


class _Printed:
    """Says what was submitted."""

    def __init__(self, session: Session, own: dict[str, Any], *, waits: bool, several: bool) -> None:
        self._screen = session.screen
        self._own = own
        self._waits = waits
        self._several = several
        self.ids: list[str] = []
        self.settled: set[str] = set()
        self._outcomes: list[Outcome] = []

    def done(self, outcome: Outcome) -> None:
        """Take note of one script. Called from any thread."""
        if outcome.submitted is not None:
            self.ids.append(outcome.submitted.id)
        self.settled.add(outcome.script.key)
        self._outcomes.append(outcome)
        if self._several:
            self._screen.progress(f"{len(self.ids)} submitted")

    def end(self, outcomes: list[Outcome]) -> int:
        """Print what became of all; return the greatest status of those that were refused, 0 for none."""
        self._screen.end_progress()
        status = 0
        for outcome in outcomes:
            if outcome.error is not None:
                self._screen.error(outcome.error)
                status = max(status, exit_status.of_error(outcome.error))
            elif outcome.submitted is not None:
                self._one(outcome.script.name, outcome.submitted)
        found = [each.submitted.job for each in outcomes if each.submitted]
        if self._own["as_json"] and not (self._waits and found):
            self._screen.json(found if self._several else next(iter(found), None))
        return status

    def unsettled(self, submission: Submission) -> list[str]:
        """Return the keys of what was sent and has no answer; of several scripts say which those are."""
        scripts = [each for each in submission.scripts if each.key in submission.begun - self.settled]
        for each in scripts if self._several else ():
            todo = f"To find out, submit it by itself, with the same options and --idempotency-key={each.key}"
            self._screen.error(ClientError(f"It is not known whether {each.name} is submitted.", todo=todo))
        return [each.key for each in scripts]

    def cut_short(self, error: ClientError, submission: Submission) -> None:
        """Print what became of those that are settled, and add to an error what became of the others.

        Without it whoever repeats the command would submit again what is a job already.
        """
        if not self._several:
            if isinstance(error, UnreachableError):
                error.todo += "".join(f" The key of {each.name}: {each.key}" for each in submission.scripts)
            return
        self.end(self._outcomes)
        self.unsettled(submission)
        left = [each.name for each in submission.scripts if each.key not in submission.begun]
        error.means += f" {len(self.ids)} of {len(submission.scripts)} scripts became jobs"
        error.means += f"; not sent: {len(left)}, from {left[0]} on." if left else "."
        if self._waits and self.ids:
            error.todo += f" Then: slurm-gateway wait {' '.join(self.ids[:_SHOWN])}"

    def _one(self, script: str, submitted: Any) -> None:  # noqa: ANN401 (a Submitted, whose import is slow)
        job = submitted.job
        for notice in job.get("notices", []):
            self._screen.note(f"{script}: {notice}", "dim")
        said = f"{'Joined' if submitted.joined else 'Submitted'} job {submitted.id}"
        about = f"{said} ({script})"
        if submitted.joined:
            about += ", which an earlier submit with this key made"
        if self._own["parsable"] and not self._own["as_json"]:
            self._screen.line(submitted.id)
        elif self._waits or self._own["as_json"]:
            self._screen.note(about)
        elif not self._own["quiet"]:
            self._screen.line(about)


def _preview(session: Session, submission: Submission) -> int:
    with session.gateway() as gateway:
        found = [
            gateway.preview(
                script.body, name=script.file_name, options=submission.options, arguments=submission.arguments,
                environment=submission.environment,
            )
            for script in submission.scripts
        ]  # fmt: skip
    session.screen.json(found if len(found) > 1 else found[0])
    return 0
