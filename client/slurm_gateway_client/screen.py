"""What a person sees: tables, a line for what goes on, errors. Colours only at a terminal that wants them."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rich.console import Console
    from rich.status import Status
    from rich.table import Table

    from .errors import ClientError

_STYLES = {
    "COMPLETED": "green", "RUNNING": "cyan", "PENDING": "yellow", "SUSPENDED": "yellow", "CANCELLED": "magenta",
    "IDLE": "green", "UP": "green", "MIXED": "cyan", "ALLOCATED": "cyan", "UNKNOWN": "magenta",
}  # fmt: skip
_WORST = "red"
_NARROW = 100


def style_of(state: str) -> str:
    """Return the style of a job's, a node's or a partition's state."""
    return _STYLES.get(state.partition("+")[0].partition(" ")[0], _WORST)


def plain(text: object) -> str:
    """Return text without control characters: a job's name must not move the cursor."""
    if os.environ.get("GITHUB_ACTIONS"):
        # What GitHub's runner reads in a log as a command to itself.
        text = str(text).replace("::", ": :").replace("##[", "# # [")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))


class Screen:
    """Standard output for what was asked for, standard error for what goes on. Any thread may say something.

    `colour` is `auto`, `always` or `never`; NO_COLOR holds where it is `auto`. `quiet` leaves errors only.
    """

    def __init__(self, *, colour: str = "auto", quiet: bool = False) -> None:
        self._colour = colour
        self._quiet = quiet
        self._status: Status | None = None
        # Threads that finish at once would each begin a line of their own, and one would stay.
        self._lock = threading.Lock()
        self._is_over = False
        self._consoles: dict[str, Console] = {}

    @property
    def is_live(self) -> bool:
        """Whether somebody looks at standard error as it is written."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        stated: int,
        cut: Collection[int],
        left_out: Collection[int] = (),
    ) -> None:
        """Print a table.

        `stated` is the column with a state, in the state's colour. In a narrow terminal the columns `left_out` are
        not shown, and those of `cut` are cut.
        """
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        narrow = self._console("out").width < _NARROW
        places = [place for place in range(len(columns)) if not (narrow and place in left_out)]
        for place in places:
            longest = max(len(text) for text in (columns[place], *(row[place] for row in rows)))
            least = None if place in cut else longest
            shown.add_column(columns[place], no_wrap=True, overflow="ellipsis", min_width=least)
        for row in rows:
            shown.add_row(*(
                Text(plain(row[place]), style=style_of(row[place]) if place == stated else "") for place in places
            ))  # fmt: skip
        self._print(shown)

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values, one below the other."""
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        shown.add_column(style="bold", no_wrap=True)
        shown.add_column(overflow="fold")
        for name, value in pairs:
            shown.add_row(name, Text(plain(value), style=style_of(value) if name == "state" else ""))
        self._print(shown)

    def json(self, document: object) -> None:
        """Print JSON, for a program to read."""
        self.line(json.dumps(document, indent=2))

    def line(self, text: str) -> None:
        """Print a line to standard output, as it is."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def note(self, text: str, style: str = "") -> None:
        """Say what goes on, on standard error."""
        if self._quiet:
            return
        from rich.text import Text

        self._console("err").print(Text(plain(text), style=style), soft_wrap=True)

    def progress(self, text: str) -> None:
        """Say what goes on now, in a line that the next one replaces; only where somebody looks."""
        if self._quiet or not self.is_live:
            return
        from rich.text import Text

        shown = Text(plain(text))
        with self._lock:
            if self._is_over:
                return
            if self._status is None:
                self._status = self._console("err").status(shown, spinner="line")
                self._status.start()
            else:
                self._status.update(shown)

    def end_progress(self, *, for_good: bool = False) -> None:
        """Take that line away; `for_good`, whatever threads that go on have to say."""
        with self._lock:
            self._is_over = self._is_over or for_good
            if self._status is not None:
                self._status.stop()
                self._status = None

    def error(self, error: ClientError) -> None:
        """Say what happened, what it means and what to do, on one screen."""
        from rich.text import Text

        self.end_progress()
        err = self._console("err")
        width = max(min(err.width, 120), 40)
        parts = (("error", error.happened, "bold red"), ("means", error.means, "bold"), ("to do", error.todo, "bold"))
        for label, text, style in parts:
            if not text:
                continue
            lines = [line for part in str(text).splitlines() for line in _wrapped(plain(part), width - 7) or [""]]
            for place, line in enumerate(lines[:12]):
                head = Text(f"{label}: " if place == 0 else " " * 7, style=style)
                err.print(head + Text(line), soft_wrap=True)

    def ask(self, question: str) -> bool:
        """Ask a question that is answered with y or n; no answer is no."""
        import click

        self.end_progress()
        try:
            return click.confirm(question, default=False, err=True)
        except click.Abort:
            return False

    def _print(self, shown: Table) -> None:
        """Print a table without the blanks that fill its last column."""
        out = self._console("out")
        with out.capture() as captured:
            out.print(shown)
        for line in captured.get().splitlines():
            self.line(line.rstrip())

    def _console(self, which: str) -> Console:
        if which not in self._consoles:
            from rich.console import Console

            stream = sys.stdout if which == "out" else sys.stderr
            forced = {"always": True, "never": False}.get(self._colour)
            console = Console(
                file=stream, stderr=which == "err", highlight=False, markup=False, emoji=False,
                force_terminal=forced if forced else None, no_color=True if forced is False else None,
                # What a program reads is not cut to a width.
                width=None if stream.isatty() or which == "err" else 10_000,
            )  # fmt: skip
            # Another thread's may be there by now.
            self._consoles.setdefault(which, console)
        return self._consoles[which]


def _wrapped(text: str, width: int) -> list[str]:
    # What is to be copied, a key or an option, stays in one piece.
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def job_rows(jobs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the rows of a table of jobs."""
    from . import times

    return [
        [
            str(job["id"]), str(job["name"]), str(job["partition"]), state_of(job), times.span(job),
            str(job["nodes"] or ""), str(job["node_list"] or reason_of(job)), times.local(job["submit_time"]),
        ]
        for job in jobs
    ]  # fmt: skip


JOB_COLUMNS = ("ID", "NAME", "PARTITION", "STATE", "TIME", "NODES", "NODES OR REASON", "SUBMITTED")


def state_of(job: Mapping[str, Any]) -> str:
    """Return a job's state with its flags, as Slurm writes them."""
    return "+".join([job["state"], *job["state_flags"]])


def reason_of(job: Mapping[str, Any]) -> str:
    """Return why a job is in its state, in parentheses, or nothing."""
    return f"({job['state_reason']})" if job["state_reason"] else ""
