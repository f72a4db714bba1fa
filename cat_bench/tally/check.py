"""The headline measurement of the bundled model: fresh problems, run once through the harness.

Their seed is the digest of the committed weights, so nobody can tune a model on its own check.
"""

import asyncio
import hashlib
import json
import os
from pathlib import Path

import click

from cat_bench import report
from cat_bench.config import RunConfig
from cat_bench.session import results_root, run
from cat_bench.tally import MODEL
from cat_bench.tally.problems import Split, problems

QUESTIONS = 1000


def fresh_seed(model: Path = MODEL) -> int:
    """Return a 32-bit seed from the SHA-256 of the model's weights."""
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).digest()
    return int.from_bytes(digest[:4], "big")


def write_problems(path: Path, *, count: int, seed: int, split: Split = "test") -> None:
    """Write `count` fresh problems of a split as rows of the task's data file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for each in problems(count, seed=seed, split=split):
            row = {"id": each.id, "problem": each.text, "answer": each.answer, "level": each.level}
            file.write(json.dumps(row) + "\n")


@click.command()
@click.option("--questions", default=QUESTIONS, show_default=True)
@click.option("--pool", default=16, show_default=True, help="Rollouts per question.")
def main(questions: int, pool: int) -> None:
    """Measure the bundled model on fresh problems with every method it can play."""
    folder = results_root().parent / "tally-check"
    data = folder / "problems.jsonl"
    write_problems(data, count=questions, seed=fresh_seed())
    config = RunConfig(task="tally", model="tally", data=data, pool=pool, out=folder / "run")
    outcome = asyncio.run(run(config, command=["tally-check"]))
    report.write(outcome.folder)
    click.echo(report.in_short(outcome.folder))
    click.echo(f"Run: {os.path.relpath(outcome.folder)}", err=True)


if __name__ == "__main__":
    main()
