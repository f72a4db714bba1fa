"""`cat-bench audit TASK`: which reference should I train on? Answered before any training."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import get_args

import click

from cat_bench.audit.export import Shape
from cat_bench.cli.options import PATH, add_options, configurations, parallel_option
from cat_bench.cli.output import json_option, print_record
from cat_bench.cli.progress import Progress
from cat_bench.errors import NotAvailable, UsageError
from cat_bench.loading.validation import split_list
from cat_bench.types.calls import JSON

ROLLOUTS = ("task", "model", "pool", "limit", "seed", "anchor", "judge", "base_url", "data")


@click.command()
@add_options(*ROLLOUTS, "config", "settings")
@click.option(
    "--estimator", default="majority,cat", show_default=True, help="Methods, comma-separated."
)
@click.option(
    "--reward", default="equivalence", show_default=True, help="Rewards, comma-separated."
)
@click.option("--group", type=int, default=8, show_default=True, help="Rollouts per group.")
@click.option("--out", type=PATH, help="Folder of the audit.")
@parallel_option
@click.option("--offline", is_flag=True, default=None, help="Call no model; use the cache only.")
@click.option("--export", type=PATH, help="Write pseudo-labels to this .jsonl or .parquet.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(get_args(Shape)),
    default="trl",
    show_default=True,
    help="The trainer whose columns --export writes.",
)
@json_option
def audit(
    *,
    estimator: str,
    reward: str,
    group: int,
    export: Path | None,
    shape: Shape,
    as_json: bool,
    **given: JSON,
) -> None:
    """Reward the rollouts of TASK by every estimator and reward; compare with the true scores.

    Rewards are equivalence, rubric, judge_match, scrl, ruler, majority_share, signals by name, and
    controls: random, format, length, shuffled, and those that see the target, gold and task_rubric
    (`cat-bench list rewards`). NAME{key=value} sets parameters. --export takes one estimator and
    one reward and writes their references as training data.
    """
    from cat_bench.audit.candidates import candidates
    from cat_bench.audit.export import check, rows, write
    from cat_bench.audit.session import audit as audited
    from cat_bench.report import audit as report

    config, *further_configs = configurations(methods=estimator, budgets=None, **given)
    if further_configs:
        raise UsageError("an audit takes one task")
    chosen = candidates(split_list(estimator), split_list(reward))
    if not chosen:
        raise UsageError("give --reward, such as --reward equivalence")
    if export:
        check(export)
        if len(chosen) > 1:
            raise UsageError("--export takes one estimator and one reward")
    with Progress() as progress:
        result = asyncio.run(
            audited(
                config,
                chosen,
                group=group,
                command=sys.argv[1:],
                watch=progress,
                keep=export is not None,
            )
        )
    report.write(result.folder, result.record)
    if export:
        exported = list(rows(result.groups[chosen[0].name], result.task, shape=shape))
        if not exported:
            raise NotAvailable(f"there is nothing to export: see {result.folder / 'audit.md'}")
        write(export, exported, shape=shape)
        click.echo(f"wrote {len(exported):,} questions to {export}", err=True)
    if as_json:
        print_record(result.record, as_json=True)
    else:
        click.echo(report.render(result.record), nl=False)
    click.echo(f"Audit: {result.folder}", err=True)
    if not result.complete:
        click.echo("Incomplete: run the same command again to fill the gaps.", err=True)
        sys.exit(1)
