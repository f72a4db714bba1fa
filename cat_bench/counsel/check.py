"""The headline measurement of `counsel`: fresh journeys, through the harness and by the yardstick.

Their seed is the digest of the committed weights, so nobody can tune a model on its own check.
"""

from functools import partial
from pathlib import Path

import click

from cat_bench.counsel import MODEL
from cat_bench.counsel.assess import figures
from cat_bench.counsel.journeys import journey_rows, journeys
from cat_bench.session import results_root
from cat_bench.tally import check
from cat_bench.tally.check import measure, write_rows
from cat_bench.tally.problems import Split

fresh_seed = partial(check.fresh_seed, MODEL)


def write_problems(path: Path, *, count: int, seed: int, split: Split = "test") -> None:
    """Write `count` fresh journeys of a split as rows of the task's data file."""
    write_rows(path, journey_rows(count, seed=seed, split=split))


@click.command()
@click.option("--questions", default=200, show_default=True)
@click.option("--pool", default=16, show_default=True, help="Rollouts per question.")
def main(questions: int, pool: int) -> None:
    """Measure the bundled model on fresh journeys: every method, its rubrics and its verdicts."""
    data = results_root().parent / "counsel-check" / "journeys.jsonl"
    write_problems(data, count=questions, seed=fresh_seed())
    measure("counsel", data, pool=pool)
    for line in figures(MODEL, list(journeys(questions, seed=fresh_seed())), seed=fresh_seed()):
        click.echo(line)


if __name__ == "__main__":
    main()
