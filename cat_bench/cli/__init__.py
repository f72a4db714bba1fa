"""The command line, one file per command: each parses options, calls the package and prints.

Results go to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed or incomplete, 2
wrong usage, 130 interrupted. Nothing is computed here, and nothing is printed elsewhere.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

import click

from cat_bench.errors import CatBenchError, UsageError, printable, suggest
from cat_bench.system.signals import ended_as_interrupted

_NO_ROOM = {
    errno.ENOSPC: "; free some space and run again: the samples so far are in the cache",
    errno.EDQUOT: "; free some quota and run again: the samples so far are in the cache",
    errno.EMFILE: "; raise the limit of open files (ulimit -n) and run again",
    errno.EPIPE: "; the reader of the output has ended",
    errno.ENOENT: "; was the folder deleted while it was in use?",
}
"""What to do about an error of the system."""
_NO_MEMORY = "memory is short, or too many processes run; the samples so far are in the cache"
_SIGNS_OF_NO_MEMORY = ("start new thread", "failed to map segment", "cannot allocate memory")
COMMANDS = {
    "audit": "compare estimators and rewards, before any training",
    "batch": "sample rollouts through a batch endpoint: submit, status, collect, cancel",
    "cache": "inspect, verify, copy, prune the cache; export and import pools",
    "check": "find faults of a task and its scorer, without a model",
    "claims": "check a paper's claims against a run",
    "compare": "compare several runs in one paired table",
    "ensemble": "vote over several models' pools of one task",
    "judge": "compare a judge with people's labels, or two judges",
    "leaderboard": "add, check and print rows that others can recompute",
    "list": "list tasks, methods, plug-ins, pools or runs",
    "new": "write the folder of a new task",
    "plan": "count the calls, tokens and cost of a run, before it is paid for",
    "report": "write a run's tables and figures again",
    "run": "sample rollouts, aggregate, score and report",
    "show": "show a task, a method, a run, or one question of a run",
    "train": "train a policy on rewards from estimates",
}


class Lazy(click.Group):
    """A group whose commands are imported when they are called, so that --help costs nothing."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with, or suggest the nearest name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(error.message + suggest(args[0], COMMANDS), ctx) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return the command of that name."""
        if name not in COMMANDS:
            return None
        command: click.Command = next(
            member
            for member in vars(import_module(f"cat_bench.cli.{name}")).values()
            if isinstance(member, click.Command) and member.name == name
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line per command without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cat-bench")
def commands() -> None:
    """Sample rollouts once; compare every way of aggregating them."""


def main() -> None:
    """The entry point: errors become one line and an exit status.

    Arrow allocates from the system, which returns memory: Arrow's own pool would keep tens of
    megabytes for each table that a report reads.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a lone surrogate must not end the command
            stream.reconfigure(errors="backslashreplace")
    try:
        with ended_as_interrupted():
            sys.exit(commands(prog_name="cat-bench", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except (Exception, KeyboardInterrupt) as error:
        if (ending := _explain(error)) is None:
            raise
        problem, status = ending
        _fail(problem, status=status)


def _open_closed_streams() -> None:
    """Open the null device for an input, output or error that the caller closed.

    Otherwise the next file that is opened gets its number, and what any process prints goes there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - no name
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _explain(error: BaseException) -> tuple[str, int] | None:
    """Return an error in words with its exit status; None for a bug."""
    if few := _few_files(error):
        return f"the system refused: {few.strerror}{_NO_ROOM[errno.EMFILE]}", 1
    match error:
        case click.ClickException():
            return error.format_message(), error.exit_code
        case CatBenchError():
            return str(error), 2 if isinstance(error, UsageError) else 1
        case KeyboardInterrupt() | click.Abort():
            return "interrupted; the samples so far are in the cache.", 130
        case OSError():
            return f"the system refused: {error}{_NO_ROOM.get(error.errno or 0, '')}", 1
        case MemoryError():
            return _NO_MEMORY, 1
        case ImportError() | RuntimeError():  # a library that got no memory, or no thread
            problem = str(error)
            if any(sign in problem.lower() for sign in _SIGNS_OF_NO_MEMORY):
                return f"{_NO_MEMORY} ({problem})", 1
    return None


def _few_files(error: BaseException | None) -> OSError | None:
    """Return the refusal to open one more file that caused an error; None if none did."""
    while error:
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            return error
        error = error.__cause__ or error.__context__
    return None


def _fail(problem: str, *, status: int) -> NoReturn:
    sys.unraisablehook = lambda _: None  # an event loop that was never opened cannot be closed
    warnings.simplefilter("ignore")
    with suppress(OSError):
        click.echo(f"cat-bench: {printable(' '.join(problem.split()))}", err=True)
    for stream in (sys.stdout, sys.stderr):  # what is left in them would fail again at the exit
        try:
            stream.flush()
        except (AttributeError, OSError):
            with suppress(AttributeError, OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)
