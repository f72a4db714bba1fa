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
    help="The CSV.",
)


@click.group(name="leaderboard")
def commands() -> None:
    """Add, check and print rows that others can recompute."""


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
    """Append the rows of the folder RUN, and publish what they were computed from."""
    from cat_bench import leaderboard

    if hub and pool is None:
        raise click.UsageError("--hub needs --pool FILE: what is put there")
    new, old = asyncio.run(leaderboard.add(run, board, pool=pool, calls=calls, data=data))
    click.echo(f"{board}: {new} rows added, {old} were there")
    if hub and pool:
        click.echo(leaderboard.upload(pool, hub))


@commands.command()
@_board
@json_option
@parallel_option
@add_options("data", "trust")
def check(board: Path, *, as_json: bool, parallel: str | None, data: Path | None) -> None:
    """Recompute every row from the pool and the calls it names.

    The exit status is 1 where a row does not reproduce, or where none could be recomputed.

    --data is read where a task's own data are not here.
    """
    from cat_bench import leaderboard

    async def findings() -> list[leaderboard.Finding]:
        checked = leaderboard.check(board, parallel=parallel, data=data)
        return [finding async for finding in checked]

    found = asyncio.run(findings())
    rows = [asdict(finding) for finding in found]
    if as_json:
        print_rows(rows, as_json=True)
    else:
        claimed = [row.pop("as_claimed") for row in rows]
        print_rows(rows, as_json=False, empty="no rows yet")
        for names in filter(None, dict.fromkeys(claimed)):
            lines = [str(f.line) for f in found if f.as_claimed == names]
            click.echo(f"In lines {', '.join(lines)} as claimed: {names}")
    counts = Counter(finding.verdict for finding in found)
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.most_common())
    if counts["refused"]:
        raise CatBenchError(f"{board}: {told}: {counts['refused']} do not reproduce")
    if found and not counts["reproduced"]:
        raise CatBenchError(f"{board}: {told}: no row could be recomputed here")
    click.echo(f"{board}: {told or 'no rows yet'}.", err=True)


@commands.command()
@_board
@json_option
def render(board: Path, *, as_json: bool) -> None:
    """Print the leaderboard: each method at its largest n, the best first."""
    from cat_bench import leaderboard

    rows = leaderboard.read(board)
    if as_json:
        print_rows(rows, as_json=True)
    else:
        click.echo(leaderboard.render(rows))
