"""`cat-bench ensemble RUN RUN ...`: several models' votes together."""

from __future__ import annotations

from pathlib import Path

import click

from cat_bench.cli.options import read_budgets
from cat_bench.cli.output import json_option

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=PATH)
@click.option("--n", "budgets", default="8", show_default=True, help="Samples in all, as 8,40.")
@click.option("--csv", "table_file", type=PATH, help="Also write the table to this CSV.")
@json_option
def ensemble(
    folders: tuple[Path, ...], budgets: str, table_file: Path | None, *, as_json: bool
) -> None:
    """Vote over the pools of several runs of one task, one run for each model.

    Each model gives its share of n samples, and each sample has one vote. Weights of the models are
    equal, or learnt on other questions. No model is called.
    """
    from cat_bench.cache import Cache
    from cat_bench.report.ensemble import ensemble_table, render_ensemble
    from cat_bench.runs.ensemble import make_method_rows, read_ensemble
    from cat_bench.system.files import write_atomic
    from cat_bench.system.spreadsheet import csv_of
    from cat_bench.system.waiting import wait

    with Cache() as cache:
        members = wait(read_ensemble(folders, cache=cache))
    table = ensemble_table(make_method_rows(members, read_budgets(budgets)))
    if table_file:
        write_atomic(table_file, csv_of(table))
        click.echo(f"wrote {table_file}", err=True)
    click.echo(table.to_json(orient="records", indent=2) if as_json else render_ensemble(table))
