"""Train on every reward that has a forecast: ``python -m tools.forecast.train``.

A finished training is not repeated, an interrupted one is resumed. The score of the rollouts in
each step, which are of problems that were not seen before, is added to `steps.csv`.
"""

import subprocess
import sys
from pathlib import Path

import click
import pandas as pd

from cat_bench.bundled.tally.problems import problem_rows
from cat_bench.runs.places import results_root
from cat_bench.system.files import write_atomic
from cat_bench.training.fresh import write_rows
from cat_bench.training.journal import read
from tools.forecast.predict import SETTINGS, Setting

FILE = Path("results/forecast/steps.csv")
STEPS = 30
POOL = 5000
"""Problems from which those of one level are taken."""
KEYS = ["setting", "recipe", "seed", "step"]


@click.command()
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--collect", is_flag=True, help="Train nothing; read the trainings that there are.")
@click.option("--out", type=click.Path(path_type=Path), default=FILE, show_default=True)
def main(seeds: str, collect: bool, out: Path) -> None:
    """Train by every recipe of every setting with every seed, and collect the steps."""
    for seed in map(int, seeds.split(",")):
        for setting in SETTINGS:
            for recipe in setting.recipes:
                folder = folder_of(setting, recipe, seed)
                if not collect and not (folder / "train.json").is_file():
                    _train(setting, recipe, seed, folder)
                if (folder / "metrics.jsonl").is_file():
                    _add(out, setting, recipe, seed, folder)
    click.echo(out)


def folder_of(setting: Setting, recipe: str, seed: int) -> Path:
    """Return where a training is kept."""
    name = setting.name.replace(", ", "-")
    return results_root().parent / "forecast" / "trainings" / f"{name}-{recipe}-{seed}"


def _train(setting: Setting, recipe: str, seed: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["train", setting.task, "--recipe", recipe, "--seed", str(seed), "--questions", "0"]
    command += ["--steps", str(STEPS), "--out", str(folder)]
    if setting.level is not None:
        data = folder / "problems.jsonl"
        rows = problem_rows(POOL, seed=seed, split="train")
        write_rows(data, (row for row in rows if row["level"] == setting.level))
        command += ["--data", str(data)]
    with (folder / "log.txt").open("a") as log:
        program = "from cat_bench.cli import main; main()"
        run = [sys.executable, "-c", program, *command]
        subprocess.run(run, stdout=log, stderr=log, check=True)


def _add(out: Path, setting: Setting, recipe: str, seed: int, folder: Path) -> None:
    """Add the steps of a training to the file, in place of those that it has."""
    rows = [
        {"setting": setting.name, "recipe": recipe, "seed": seed, "step": row["step"]}
        | {name: row.get(name) for name in ("rollout_accuracy", "no_advantage")}
        for row in read(folder / "metrics.jsonl")
        if row["step"] <= STEPS
    ]
    known = pd.read_csv(out) if out.is_file() else pd.DataFrame(columns=KEYS)
    same = (
        (known["setting"] == setting.name) & (known["recipe"] == recipe) & (known["seed"] == seed)
    )
    whole = pd.concat([known[~same], pd.DataFrame(rows)]).sort_values(KEYS)
    write_atomic(out, whole.to_csv(index=False, float_format="%.4f").encode())


if __name__ == "__main__":
    main()
