"""Study the effect of training on estimates: ``python -m tools.tally.study``.

Each recipe is trained with several seeds, one `cat-bench train` after another (or side by side),
and measured before and after on fresh problems. Their seed is the digest of the initial weights. A
finished training is not repeated, and an interrupted one resumes. The summary is written after each
training; a recipe of which no training is there keeps its published row.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click

from cat_bench.bundled.tally.problems import problem_rows
from cat_bench.runs.places import results_root
from cat_bench.system.files import write_atomic
from cat_bench.training.fresh import write_rows
from tools.tally.study_lines import Training
from tools.tally.study_summary import summary

RECIPES = {
    "tally": "cat-rl,ttrl,scrl,gold,sft,random,negative-entropy",
    "counsel": "cat-rl-rubric,judge,gold,random,negative-entropy",
}
SEEDS = "1,2,3"
STEPS = 60
QUESTIONS = 500
POOL = 5000
"""Problems from which those of one level are taken."""


@click.command()
@click.option("--task", type=click.Choice(list(RECIPES)), default="tally", show_default=True)
@click.option("--recipes", help="By commas; the first is what others are held to.  [the task's]")
@click.option("--seeds", default=SEEDS, show_default=True)
@click.option("--steps", default=STEPS, show_default=True)
@click.option("--questions", default=QUESTIONS, show_default=True, help="Measured on.")
@click.option("--level", type=int, help="Train on tally's problems of this level alone, 0 to 4.")
@click.option("--side-by-side", default=1, show_default=True, help="Trainings at once.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the summary goes.")
def main(
    task: str,
    recipes: str | None,
    seeds: str,
    steps: int,
    questions: int,
    level: int | None,
    side_by_side: int,
    out: Path | None,
) -> None:
    """Train and measure every recipe with every seed; the first seed of each comes first.

    All trainings are measured on the same problems.
    """
    if level is not None and task != "tally":
        raise click.UsageError("--level is about tally's problems.")
    kind = "" if task == "tally" else f"-{task}"
    kind += "" if level is None else f"-level-{level}"
    folder = results_root().parent / f"training{kind}"
    trainings = [
        Training(name, int(seed), folder / f"{name}-{seed}", task)
        for seed in seeds.split(",")
        for name in (recipes or RECIPES[task]).split(",")
    ]
    with ThreadPoolExecutor(side_by_side) as pool:
        under_way = [
            pool.submit(_train, training, steps, questions, level) for training in trainings
        ]
        for done in as_completed(under_way):
            click.echo(done.result(), err=True)
            for name, data in summary(trainings, level=level, before=out or folder).items():
                write_atomic((out or folder) / name, data)
    failed = [training.folder for training in trainings if not training.done]
    click.echo((out or folder) / "README.md")
    sys.exit(f"incomplete: {', '.join(map(str, failed))}" if failed else 0)


def _train(training: Training, steps: int, questions: int, level: int | None) -> str:
    """Run one training to its end and return its outcome in words."""
    name = f"{training.recipe}, seed {training.seed}"
    if training.done:
        return f"{name}: there already"
    training.folder.mkdir(parents=True, exist_ok=True)
    command = ["train", training.task, "--recipe", training.recipe, "--seed", str(training.seed)]
    command += ["--steps", str(steps), "--questions", str(questions), "--out", str(training.folder)]
    if level is not None:
        data = training.folder / f"level-{level}.jsonl"
        rows = problem_rows(POOL, seed=training.seed, split="train")
        write_rows(data, (row for row in rows if row["level"] == level))
        command += ["--data", str(data)]
    with (training.folder / "log.txt").open("a") as log:
        program = "from cat_bench.cli import main; main()"
        ended = subprocess.run([sys.executable, "-c", program, *command], stdout=log, stderr=log)
    return f"{name}: {'done' if ended.returncode == 0 else f'failed, see {log.name}'}"


if __name__ == "__main__":
    main()
