"""Train a policy of `mini-or` on three rewards: ``python -m tools.mini_or.study POLICY --out DIR``.

The policy is a folder that `tools.mini_or.train` wrote. Each reward's training is a `cat-bench
train` by the recipe `cat-rl`, on the same problems, measured before and after on other ones. The
anchor is the task's scripted model, which takes each part of a formulation from most drafts.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click
import pandas as pd

from cat_bench.bundled.tally.problems import drop_repeats
from cat_bench.report.rounding import percent
from cat_bench.training.fresh import fresh_seed, write_rows
from cat_bench.training.recipes import recipe
from cat_bench.types.calls import JSON
from tools.mini_or.rows import Modelling

REWARDS = ("gold", "equivalence{estimator=majority}", "equivalence{estimator=cat}")
"""The solver's verdict on the target, and its equality with an estimate's objective."""
LONGEST = 200
"""Tokens of a formulation, which has 177 at most."""


@click.command()
@click.argument("policy", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=40, show_default=True)
@click.option("--questions", default=60, show_default=True, help="Measured on.")
def main(policy: Path, out: Path, steps: int, questions: int) -> None:
    """Train on each reward in turn, write `summary.csv`, and skip finished trainings."""
    settings = [f"max_completion_length={LONGEST}", f"max_steps={steps}"]
    chosen = recipe("cat-rl", scale="small", changes=settings)
    seed = fresh_seed(policy)
    write_rows(out / "train.jsonl", draw_rows(chosen.questions(1), seed=seed))
    write_rows(out / "exam.jsonl", draw_rows(questions, seed=seed + 1))
    for reward in REWARDS:
        folder = out / _name(reward)
        if not (folder / "train.json").is_file():
            options = [option for setting in settings for option in ("--set", setting)]
            command = [
                "train", "mini-or", "--model", str(policy), "--anchor", "mini-or", "--scale",
                "small", "--reward", reward, "--data", str(out / "train.jsonl"), "--exam",
                str(out / "exam.jsonl"), "--out", str(folder), *options,
            ]  # fmt: skip
            program = "from cat_bench.cli import main; main()"
            subprocess.run([sys.executable, "-c", program, *command], check=True)
        done = [reward for reward in REWARDS if (out / _name(reward) / "train.json").is_file()]
        table = pd.DataFrame([summarize(reward, out / _name(reward)) for reward in done])
        table.to_csv(out / "summary.csv", index=False, lineterminator="\n")
    click.echo(table.to_string(index=False))


def draw_rows(count: int, *, seed: int) -> Iterator[dict[str, JSON]]:
    """Yield distinct problems as rows of the task's data file."""
    rng = random.Random(seed)
    for number, problem in enumerate(islice(drop_repeats(Modelling().problems(rng)), count), 1):
        row = {"id": f"fresh-{number}", "problem": problem.text, "answer": problem.optimum}
        yield {**row, "kind": problem.kind}


def summarize(reward: str, folder: Path) -> dict[str, JSON]:
    """Return one training's scores before and after, in percent, and its labels' accuracy."""
    record = json.loads((folder / "train.json").read_text())
    before, after = record["outcome"]["before"], record["outcome"]["after"]
    steps = pd.read_json(folder / "metrics.jsonl", lines=True)
    row: dict[str, JSON] = {"reward": reward, "steps": len(steps)}
    for method in ("single", "greedy", "majority", "cat"):
        row |= {f"{method} before": percent(before[method]["score"])}
        row |= {f"{method} after": percent(after[method]["score"])}
    gain = after["single"]
    row["gain"] = percent(gain["diff"])
    row["gain, 95 %"] = f"{percent(gain['diff_low'])} to {percent(gain['diff_high'])}"
    for name in ("reference_accuracy", "reward_accuracy"):
        known = steps[name].dropna() if name in steps else steps.iloc[:0, 0]
        row[name.replace("_", " ")] = percent(known.mean()) if len(known) else ""
    return row


def _name(reward: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in reward).strip("-")


if __name__ == "__main__":
    main()
