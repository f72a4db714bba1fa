"""Measure the `counsel` model on fresh journeys, by the harness and by the exact parser.

Their seed is the digest of the committed weights, so a model cannot be tuned on its check.
"""

import click

from cat_bench.bundled.counsel import MODEL
from cat_bench.bundled.counsel.journeys import journeys
from cat_bench.runs.places import results_root
from cat_bench.training.fresh import fresh_seed, write_fresh_rows
from tools.counsel.assess import figures
from tools.tally.check import measure


@click.command()
@click.option("--questions", default=200, show_default=True)
@click.option("--pool", default=16, show_default=True, help="Rollouts per question.")
def main(questions: int, pool: int) -> None:
    """Measure the bundled model on fresh journeys: every method, its rubrics and its verdicts."""
    data = results_root().parent / "counsel-check" / "journeys.jsonl"
    seed = fresh_seed(MODEL)
    write_fresh_rows(data, task="counsel", count=questions, seed=seed)
    measure("counsel", data, pool=pool, model="counsel")
    for line in figures(MODEL, list(journeys(questions, seed=seed)), seed=seed):
        click.echo(line)


if __name__ == "__main__":
    main()
