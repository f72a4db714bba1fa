"""`cat-bench show NAME`: one task, method or run; with `--question`, all that a run knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from cat_bench.cli.output import print_record, print_rows
from cat_bench.errors import UnknownName
from cat_bench.types import JSON


@click.command()
@click.argument("name")
@click.option("--question", help="One question of a run, by its id.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, question: str | None, *, as_json: bool) -> None:
    """Show NAME: a task, a method, or the folder of a run."""
    from cat_bench import catalog

    if (Path(name) / "run.json").is_file():
        _show_run(Path(name), question, as_json=as_json)
    elif question:
        raise click.UsageError(f"--question needs the folder of a run, and {name} is none.")
    elif name in catalog.task_names():
        print_record(_task(name), as_json=as_json)
    elif name in catalog.method_names():
        print_record(_method(name), as_json=as_json)
    else:
        known = [*catalog.task_names(), *catalog.method_names()]
        raise UnknownName("task, method or run", name, known)


def _task(name: str) -> Mapping[str, JSON]:
    from cat_bench import catalog

    task = catalog.task(name)
    return {
        "task": task.name,
        "version": task.version,
        "summary": task.summary,
        "scorer": task.scorer.version,
        "methods": ", ".join(task.methods),
        "data": task.data,
        "sampling": {role: sampling.given() for role, sampling in task.sampling.items()},
    }


def _method(name: str) -> Mapping[str, JSON]:
    from cat_bench import catalog

    method = catalog.method(name)
    return {
        "method": method.name,
        "summary": method.summary,
        "aggregator": method.spec,
        "parameters": dict(method.params),
        "budgets": method.budgets or "those of the run",
        "needs": sorted(method.needs),
        "citation": method.citation or "",
    }


def _show_run(folder: Path, question: str | None, *, as_json: bool) -> None:
    from cat_bench.results import read_record, read_rollouts, read_scores

    record = read_record(folder)
    if question is None:
        print_record(record, as_json=as_json)
        return
    rollouts, scores = read_rollouts(folder), read_scores(folder)
    if question not in set(rollouts["question"]):
        raise UnknownName("question of this run", question, rollouts["question"].unique()[:20])
    columns = ["method", "n", "draw", "score", "picks", "text", "fallback", "failed"]
    parts = {
        "rollouts": rollouts[rollouts["question"] == question].drop(columns="digest"),
        "methods": scores[scores["question"] == question][columns],
    }
    tables = {name: part.to_dict(orient="records") for name, part in parts.items()}
    if as_json:
        print_record(tables, as_json=True)
        return
    for table in tables.values():
        print_rows([{str(k): v for k, v in row.items()} for row in table], as_json=False)
        click.echo()
