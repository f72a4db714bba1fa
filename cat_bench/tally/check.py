"""The headline measurement of the bundled model: fresh problems, run once through the harness.

Their seed is the digest of the committed weights, so nobody can tune a model on its own check.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import click

from cat_bench import report
from cat_bench.config import RunConfig
from cat_bench.files import write_atomic
from cat_bench.session import results_root, run
from cat_bench.tally import MODEL
from cat_bench.tally.problems import Split, problem_rows
from cat_bench.types import JSON

QUESTIONS = 1000


def fresh_seed(model: Path = MODEL) -> int:
    """Return a 32-bit seed from the SHA-256 of the model's weights."""
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).digest()
    return int.from_bytes(digest[:4], "big")


def write_problems(path: Path, *, count: int, seed: int, split: Split = "test") -> None:
    """Write `count` fresh problems of a split as rows of the task's data file."""
    write_rows(path, problem_rows(count, seed=seed, split=split))


def write_rows(path: Path, rows: Iterable[dict[str, JSON]]) -> None:
    """Write the rows of a data file; raises UsageError where that cannot be."""
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def measure(task: str, data: Path, *, pool: int) -> None:
    """Run a task with the bundled model of its name on a data file, and print the table."""
    config = RunConfig(task=task, model=task, data=data, pool=pool, out=data.parent / "run")
    outcome = asyncio.run(run(config, command=[f"{task}-check"]))
    report.write(outcome.folder)
    click.echo(report.in_short(outcome.folder))
    click.echo(f"Run: {os.path.relpath(outcome.folder)}", err=True)


@click.command()
@click.option("--questions", default=QUESTIONS, show_default=True)
@click.option("--pool", default=16, show_default=True, help="Rollouts per question.")
def main(questions: int, pool: int) -> None:
    """Measure the bundled model on fresh problems with every method it can play."""
    data = results_root().parent / "tally-check" / "problems.jsonl"
    write_problems(data, count=questions, seed=fresh_seed())
    measure("tally", data, pool=pool)


if __name__ == "__main__":
    main()
