"""`cat-bench report RUN`: write a run's tables and figures again."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cat_bench.cli.options import PATH, add_options, parallel_option
from cat_bench.cli.output import print_report
from cat_bench.cli.progress import show_busy

if TYPE_CHECKING:
    from cat_bench.runs.tables import RunTables


@click.command()
@click.argument("folder", metavar="RUN", type=PATH)
@click.option(
    "--reference",
    metavar="METHOD[@N]",
    help="The reference.  [default: majority, else single]",
)
@click.option(
    "--parameters",
    type=click.FloatRange(min=0, min_open=True),
    help="The models' parameters, such as 0.6e9, to count FLOPs.",
)
@click.option(
    "--prices",
    type=PATH,
    help="YAML of MODEL: {input: ..., output: ...} per million tokens, to count money.",
)
@click.option(
    "--data",
    type=PATH,
    help="The run's data file, for --html and --export, if not the task's.",
)
@click.option("--html", is_flag=True, help="Also write page.html: one file that needs no network.")
@click.option(
    "--export",
    "viewer",
    type=click.Choice(["inspect", "lm-eval", "eee", "hf-eval-results"]),
    help="Also write the files of Inspect, lm-eval, Every Eval Ever or the Hub's results.",
)
@click.option(
    "--log",
    "tracker",
    metavar="TRACKER:PLACE",
    help="Also log the table to trackio:PROJECT, wandb:PROJECT or mlflow:URI.",
)
@add_options("trust")
@parallel_option
def report(
    folder: Path,
    *,
    reference: str | None,
    parameters: float | None,
    prices: Path | None,
    data: Path | None,
    html: bool,
    viewer: str | None,
    tracker: str | None,
    parallel: str | None,
) -> None:
    """Write the tables and figures into the folder RUN; print the main table."""
    from cat_bench.models.costs import read_prices
    from cat_bench.report import make_report
    from cat_bench.report.compute import Rates
    from cat_bench.runs.tables import RunTables
    from cat_bench.system.parallel import open_executor

    rates = Rates(parameters, read_prices(prices) if prices else None)
    tables = RunTables(folder)
    with show_busy("writing tables and figures"), open_executor(parallel) as executor:
        rendered = make_report(tables, reference=reference, rates=rates, executor=executor)
    written = rendered.write()
    if html:
        from cat_bench.report.webpage import write_page

        written.append(write_page(tables, reference=reference, data=data))
    if viewer:
        written += _export(tables, viewer, data)
    if tracker:
        from cat_bench.report.trackers import log_run

        with redirect_stdout(sys.stderr):  # trackers print what they do
            place = log_run(tables, tracker, reference=reference)
        click.echo(f"logged to {place}", err=True)
    if tables.no_texts:
        click.echo(f"The rollouts' texts are missing: {tables.no_texts}", err=True)
    print_report(rendered.in_short, file=str(folder / "table.md"))
    click.echo("\n".join(f"wrote {path}" for path in written), err=True)


def _export(tables: RunTables, viewer: str, data: Path | None) -> list[Path]:
    """Write the files of another tool."""
    if viewer == "inspect":
        from cat_bench.report.export_inspect import export_inspect

        return [export_inspect(tables, data=data)]
    if viewer == "lm-eval":
        from cat_bench.report.export_lm_eval import export_lm_eval

        return export_lm_eval(tables, data=data)
    if viewer == "eee":
        from cat_bench.report.export_eee import export_eee

        return export_eee(tables, data=data)
    from cat_bench.report.export_hub import export_hub

    return export_hub(tables)
