"""`cat-bench new`: write the folder of a new task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from cat_bench.cli.options import PATH
from cat_bench.cli.output import print_record
from cat_bench.loading.options import AnswerBy

if TYPE_CHECKING:
    from cat_bench.loading.new_task import NewTask


@click.group(name="new")
def commands() -> None:
    """Write the folder of a new task."""


@commands.command(name="task")
@click.argument("folder", type=PATH)
@click.option("--data", type=PATH, help="The questions: .jsonl, .json, .csv or .parquet.")
@click.option("--scorer", help="The scorer.  [default: guessed from the answers]")
@click.option("--problem", metavar="COLUMN", help="The column with the question.")
@click.option("--answer", metavar="COLUMN", help="The column with the right answer.")
@click.option(
    "--answer-by",
    type=click.Choice(get_args(AnswerBy)),
    help="How an answer names the right option.",
)
@click.option("--unlabelled", is_flag=True, help="The rows have no answers, or they are not read.")
def task(
    folder: Path,
    *,
    data: Path | None,
    scorer: str | None,
    problem: str | None,
    answer: str | None,
    answer_by: AnswerBy | None,
    unlabelled: bool,
) -> None:
    """Write FOLDER with a task that runs: task.yaml, the prompt text, the data and a README.

    The columns are guessed from their names and the scorer from the answers; the guesses are
    printed and written to task.yaml. Without --data, the task has three example questions.
    """
    from cat_bench.loading.new_task import describe, write_task

    written = write_task(
        folder,
        data=data,
        scorer=scorer,
        problem=problem,
        answer=answer,
        answer_by=answer_by,
        unlabelled=unlabelled,
    )
    click.echo(f"{folder}: a task of {written.questions:,} questions. It reads the data like this:")
    print_record(describe(written), as_json=False)
    click.echo(f"Run it: cat-bench run {_path_of(written)} --model MODEL")


def _path_of(written: NewTask) -> str:
    """Return the folder with `./` in front, so that `run` reads it as a path, not as a name."""
    path = written.folder
    return str(path) if path.is_absolute() or path.parts[0] == ".." else f"./{path}"
