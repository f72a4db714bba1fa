"""What training on estimates brings the bundled model: ``python -m cat_bench.tally.study``.

Each recipe with several seeds, one `cat-bench train` after another (or side by side), measured
before and after on fresh problems whose seed is the digest of the initial weights. A training that
is there is not repeated, one that was cut goes on; the summary is written after each.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click

from cat_bench.report.files import place
from cat_bench.session import results_root
from cat_bench.tally.study_lines import Training
from cat_bench.tally.study_summary import summary

RECIPES = "cat-rl,ttrl,scrl,gold,sft"
SEEDS = "1,2,3"
STEPS = 60
QUESTIONS = 500


@click.command()
@click.option("--recipes", default=RECIPES, show_default=True)
@click.option("--seeds", default=SEEDS, show_default=True)
@click.option("--steps", default=STEPS, show_default=True)
@click.option("--questions", default=QUESTIONS, show_default=True, help="Measured on.")
@click.option("--side-by-side", default=1, show_default=True, help="Trainings at once.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the summary goes.")
def main(
    recipes: str, seeds: str, steps: int, questions: int, side_by_side: int, out: Path | None
) -> None:
    """Train and measure every recipe with every seed; the first seed of each comes first."""
    folder = results_root().parent / "training"
    trainings = [
        Training(name, int(seed), folder / f"{name}-{seed}")
        for seed in seeds.split(",")
        for name in recipes.split(",")
    ]
    with ThreadPoolExecutor(side_by_side) as pool:
        under_way = [pool.submit(_train, each, steps, questions) for each in trainings]
        for done in as_completed(under_way):
            click.echo(done.result(), err=True)
            for name, data in summary(trainings).items():
                (out or folder).mkdir(parents=True, exist_ok=True)
                place((out or folder) / name, data)
    failed = [each.folder for each in trainings if not each.done]
    click.echo((out or folder) / "README.md")
    sys.exit(f"incomplete: {', '.join(map(str, failed))}" if failed else 0)


def _train(training: Training, steps: int, questions: int) -> str:
    """Run one training to its end; what became of it."""
    name = f"{training.recipe}, seed {training.seed}"
    if training.done:
        return f"{name}: there already"
    training.folder.mkdir(parents=True, exist_ok=True)
    command = ["train", "tally", "--recipe", training.recipe, "--seed", str(training.seed)]
    command += ["--steps", str(steps), "--questions", str(questions), "--out", str(training.folder)]
    with (training.folder / "log.txt").open("a") as log:
        program = "from cat_bench.cli import main; main()"
        ended = subprocess.run([sys.executable, "-c", program, *command], stdout=log, stderr=log)
    return f"{name}: {'done' if ended.returncode == 0 else f'failed, see {log.name}'}"


if __name__ == "__main__":
    main()
