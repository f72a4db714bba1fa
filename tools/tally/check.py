"""Measure the bundled model on fresh problems with one run of the harness.

Their seed is the digest of the committed weights, so a model cannot be tuned on its check.
"""

import asyncio
import os
from pathlib import Path

import click

from cat_bench import report
from cat_bench.bundled.tally import MODEL
from cat_bench.runs.config import RunConfig
from cat_bench.runs.opening import run
from cat_bench.runs.places import results_root
from cat_bench.training.fresh import fresh_seed, write_fresh_rows

QUESTIONS = 1000


def measure(task: str, data: Path, *, pool: int, model: str) -> None:
    """Run a task with a model on a data file, and print the table."""
    config = RunConfig(task=task, model=model, data=data, pool=pool, out=data.parent / "run")
    outcome = asyncio.run(run(config, command=[f"{task}-check"]))
    rendered = report.make_report(outcome.folder)
    rendered.write()
    click.echo(rendered.in_short)
    click.echo(f"Run: {os.path.relpath(outcome.folder)}", err=True)


@click.command()
@click.option("--questions", default=QUESTIONS, show_default=True)
@click.option("--pool", default=16, show_default=True, help="Rollouts per question.")
@click.option("--model", default="tally", show_default=True, help="Another one: hf:FOLDER.")
def main(questions: int, pool: int, model: str) -> None:
    """Measure a model on fresh problems with every method that it supports."""
    data = results_root().parent / "tally-check" / "problems.jsonl"
    write_fresh_rows(data, task="tally", count=questions, seed=fresh_seed(MODEL))
    measure("tally", data, pool=pool, model=model)


if __name__ == "__main__":
    main()
