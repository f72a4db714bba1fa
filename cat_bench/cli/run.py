"""`cat-bench run TASK`: sample missing rollouts, aggregate, score, report."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from cat_bench.cli.options import PATH, RARE, configurations, run_options
from cat_bench.cli.output import print_report
from cat_bench.cli.plan import show_plan
from cat_bench.cli.progress import Progress, show_busy
from cat_bench.loading.catalog import model_of
from cat_bench.loading.registry import list_plugins
from cat_bench.models.costs import Price, read_prices
from cat_bench.models.throttling import Gate
from cat_bench.runs.config import RunConfig
from cat_bench.runs.opening import Outcome
from cat_bench.runs.opening import run as run_session
from cat_bench.runs.shortfalls import shortfalls
from cat_bench.runs.tables import RunTables
from cat_bench.system.parallel import open_executor
from cat_bench.system.signals import ENDINGS
from cat_bench.types.calls import JSON

INTERRUPTED = "interrupted"


@click.command(epilog=RARE)
@run_options
@click.option("--out", type=PATH, help="Folder of the run.")
@click.option("--budget-tokens", type=int, hidden=True)
@click.option("--budget-cost", type=float, hidden=True)
@click.option("--parallel", hidden=True)
@click.option("--offline", is_flag=True, default=None, help="Call no model; use the cache only.")
@click.option("--dry-run", is_flag=True, help="Only show the costs, as `plan` does.")
def run(*, dry_run: bool, **options: JSON) -> None:
    """Run methods on TASK (several by commas) and print the comparison table.

    Cached rollouts are used again, so a repeated run calls no model. The first Ctrl-C finishes the
    requests in flight and stops; the same command resumes. With --shard, the command only samples
    that part into the cache; when all parts are done, run it without --shard.
    """
    configs = configurations(**options)
    if dry_run:
        show_plan(configs, as_json=False)
        return
    complete = [_run(config) for config in configs]
    if not all(complete):
        sys.exit(1)


def _run(config: RunConfig) -> bool:
    """Run one task and print its table; return whether the run is complete."""
    gate = Gate()
    prices = read_prices(config.prices) if config.prices else None
    with Progress(prices=prices) as progress:
        outcome = asyncio.run(_interruptible(config, progress, gate))
    if not config.shard:
        _report(config, outcome, prices)
    click.echo(_summary(outcome, gate, spent=progress.format_spent()), err=True)
    if config.model in list_plugins("model") and model_of(config.task) != config.model:
        problem = "was trained for its own task only; pass --model"
        click.echo(f"Warning: {config.model} {problem}.", err=True)
    if gate.closed and gate.closed.kind == INTERRUPTED:
        sys.exit(130)
    return outcome.census.complete


def _report(config: RunConfig, outcome: Outcome, prices: Mapping[str, Price] | None) -> None:
    """Write the run's tables, figures and checklists; print the main table and checklists."""
    from cat_bench import report
    from cat_bench.report import claims
    from cat_bench.report.compute import Rates

    tables = RunTables(outcome.folder)
    with open_executor(config.parallel) as executor:
        with show_busy("computing intervals, tables and figures"):
            rendered = report.make_report(tables, rates=Rates(prices=prices), executor=executor)
            rendered.write()
        print_report(rendered.in_short, file=str(_shorten(outcome.folder) / "table.md"))
        for claim_list in map(claims.read_claims, claims.applicable(tables)):
            with show_busy("checking claims"):
                results = claims.write(tables, claim_list)
            click.echo(claims.checklist(claim_list, results) + "\n")


async def _interruptible(config: RunConfig, progress: Progress, gate: Gate) -> Outcome:
    """Run it; the first Ctrl-C closes the gate, and the second cancels."""
    task = asyncio.current_task()

    def interrupt() -> None:
        if gate.closed and task:
            task.cancel()
        else:
            gate.close(INTERRUPTED, "the run was interrupted")
            click.echo("finishing the requests in flight; press Ctrl-C again to stop now", err=True)

    loop = asyncio.get_running_loop()
    before = {ending: signal.getsignal(ending) for ending in ENDINGS}
    endings = [ending for ending in ENDINGS if before[ending] is not signal.SIG_IGN]
    loop.add_signal_handler(signal.SIGINT, interrupt)
    if task:  # a sender of these signals will not wait long
        for ending in endings:
            loop.add_signal_handler(ending, task.cancel)
    try:
        return await run_session(config, command=sys.argv[1:], watch=progress, gate=gate)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        for ending in endings:
            loop.remove_signal_handler(ending)
            signal.signal(ending, before[ending])


def _summary(outcome: Outcome, gate: Gate, *, spent: str) -> str:
    sampled = sum(meter.made for meter in outcome.meters.values())
    cached = sum(meter.cached for meter in outcome.meters.values())
    lines = [
        f"{sampled:,} completions made, {cached:,} from the cache, in {outcome.seconds:.1f} s"
        + (f", {spent}." if spent else "."),
        f"Run: {_shorten(outcome.folder)}",
    ]
    if outcome.damaged:
        lines.append(
            f"Warning: {outcome.damaged:,} rows of the cache are damaged. Replies of models "
            "were sampled again; `cat-bench cache verify` lists the others."
        )
    return "\n".join([*lines, *shortfalls(outcome.census, gate)])


def _shorten(folder: Path) -> Path:
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
