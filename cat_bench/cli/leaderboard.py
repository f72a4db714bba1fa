"""`cat-bench leaderboard`: add a run's rows, check that they reproduce, print them."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from cat_bench.cli.options import PATH, add_options, parallel_option
from cat_bench.cli.output import json_option, print_rows
from cat_bench.errors import CatBenchError

_board = click.option(
    "--board",
    type=PATH,
    default=Path("results", "leaderboard.csv"),
    show_default=True,
    help="The leaderboard, a CSV file.",
)


@click.group(name="leaderboard")
def commands() -> None:
    """Add rows that others can recompute; check and print them."""


@commands.command()
@click.argument("run", type=PATH)
@_board
@click.option("--pool", type=PATH, help="Publish the rollouts as this .parquet file.")
@click.option("--calls", type=PATH, help="Publish every cached call that the run reads.")
@click.option("--hub", metavar="OWNER/NAME", help="Also upload the pool to the Hub as a dataset.")
@add_options("data", "trust")
def add(
    run: Path,
    *,
    board: Path,
    pool: Path | None,
    calls: Path | None,
    hub: str | None,
    data: Path | None,
) -> None:
    """Append the rows of the run in the folder RUN; publish its rollouts and its calls."""
    from cat_bench import leaderboard

    if hub and pool is None:
        raise click.UsageError("--hub needs --pool FILE, the file to upload")
    new, old = asyncio.run(leaderboard.add(run, board, pool=pool, calls=calls, data=data))
    click.echo(f"{board}: {new} rows added, {old} existed before")
    if hub and pool:
        click.echo(leaderboard.upload(pool, hub))


@commands.command()
@_board
@json_option
@parallel_option
@add_options("data", "trust")
def check(board: Path, *, as_json: bool, parallel: str | None, data: Path | None) -> None:
    """Recompute every row from the pool and the calls that it names.

    The exit status is 1 if a row does not reproduce, or if no row could be recomputed.

    --data replaces a task's data file that is missing here.
    """
    from cat_bench import leaderboard

    async def collect() -> list[leaderboard.Finding]:
        checked = leaderboard.check(board, parallel=parallel, data=data)
        return [finding async for finding in checked]

    findings = asyncio.run(collect())
    rows = [asdict(finding) for finding in findings]
    if as_json:
        print_rows(rows, as_json=True)
    else:
        claimed = [row.pop("as_claimed") for row in rows]
        print_rows(rows, as_json=False, empty="no rows yet")
        for names in filter(None, dict.fromkeys(claimed)):
            lines = [str(f.line) for f in findings if f.as_claimed == names]
            click.echo(f"Lines {', '.join(lines)}, as claimed: {names}")
    counts = Counter(finding.verdict for finding in findings)
    summary = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.most_common())
    if counts["refused"]:
        raise CatBenchError(f"{board}: {summary}: {counts['refused']} do not reproduce")
    if findings and not counts["reproduced"]:
        raise CatBenchError(f"{board}: {summary}: no row could be recomputed here")
    click.echo(f"{board}: {summary or 'no rows yet'}.", err=True)


@commands.command()
@_board
@json_option
def render(board: Path, *, as_json: bool) -> None:
    """Print the leaderboard, the best method first, each method at its largest n."""
    from cat_bench import leaderboard

    rows = leaderboard.read(board)
    if as_json:
        print_rows(rows, as_json=True)
    else:
        click.echo(leaderboard.render(rows))
