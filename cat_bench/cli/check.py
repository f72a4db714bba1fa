"""`cat-bench check TASK`: find faults of a task and its scorer before any model is called."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from cat_bench.cli.options import PATH, add_options
from cat_bench.cli.output import json_option, print_rows, print_text


@click.command()
@click.argument("task")
@click.option("--data", type=PATH, help="The task's data file.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first questions.")
@add_options("allow_code")
@json_option
def check(task: str, *, data: Path | None, limit: int | None, as_json: bool) -> None:
    """Check the task TASK and its scorer, without calling a model.

    The checks are: the scorer can use every target; every prompt shows its problem; a response
    that states a gold scores 1; no word is compared as mathematics; the scorer does not know the
    answer. Each line is ok, problem (with the fix), or skipped (with the reason). The exit status
    is 1 if there is a problem.
    """
    from cat_bench.audit.task_checks import check_task
    from cat_bench.loading import catalog

    checks = asyncio.run(check_task(catalog.task(task, data=data), limit=limit))
    if as_json:
        print_rows([asdict(result) for result in checks], as_json=True)
    else:
        for result in checks:
            print_text(f"{result.name:9}  {result.status:7}  {result.text}")
    if any(result.status == "problem" for result in checks):
        raise SystemExit(1)
