"""`cat-bench show NAME`: a task, a method or a run; with `--question`, one question of a run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from cat_bench.cli.options import add_options
from cat_bench.cli.output import flatten, json_option, print_record, print_rows
from cat_bench.errors import UnknownName
from cat_bench.types.calls import JSON


@click.command()
@click.argument("name")
@click.option("--question", help="One question of a run, by its id.")
@add_options("data", "trust")
@click.option("--full", is_flag=True, help="Show whole texts and every message that was sent.")
@json_option
def show(name: str, question: str | None, *, data: Path | None, full: bool, as_json: bool) -> None:
    """Show NAME: a task, a method, or the folder of a run."""
    if (Path(name) / "run.json").is_file():
        if question:
            from cat_bench.cli.question import show_question

            show_question(Path(name), question, data=data, full=full, as_json=as_json)
        else:
            _show_run(Path(name), as_json=as_json)
    elif question:
        raise click.UsageError(f"--question needs the folder of a run, and {name} is not one")
    else:
        print_record(_describe(name), as_json=as_json)


def _describe(name: str) -> Mapping[str, JSON]:
    """Return the task or the method called `name`, from the catalogue or from the user's files."""
    from cat_bench.loading import catalog
    from cat_bench.loading.registry import is_file, list_plugins
    from cat_bench.loading.validation import read_yaml, split_inline

    base_name = split_inline(name, source=name)[0]
    path = Path(base_name)
    is_yaml = path.suffix in {".yaml", ".yml"}
    if base_name.startswith(catalog.FOREIGN):
        return _task(name)
    if base_name in {*catalog.method_names(), *list_plugins("aggregator")} or is_file(base_name):
        return _method(name)
    if is_yaml and "aggregator" in read_yaml(path):
        return _method(name)
    if (
        is_yaml
        or base_name in {*catalog.task_names(), *list_plugins("task")}
        or (path / "task.yaml").is_file()
    ):
        return _task(name)
    if path.is_dir() or len(path.parts) > 1:
        raise click.UsageError(f"{name} is neither a run nor a task: see `cat-bench list runs`")
    names = [*catalog.task_names(), *catalog.method_names(), *list_plugins("aggregator")]
    raise UnknownName("task, method or run", name, names)


def _task(name: str) -> Mapping[str, JSON]:
    from cat_bench.loading import catalog

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
    from cat_bench.loading import catalog

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


def _show_run(folder: Path, *, as_json: bool) -> None:
    """Print the run's record: a field a line, its methods and its invocations as tables."""
    from cat_bench.runs.folder import read_record

    record = read_record(folder)
    if as_json:
        print_record(record, as_json=True)
        return
    tables = ("methods", "invocations")
    fields = flatten({name: value for name, value in record.items() if name not in tables})
    print_record({name: _line(value) for name, value in fields}, as_json=False)
    methods = [{name: _line(entry.get(name)) for name in _METHOD} for entry in record["methods"]]
    calls = [
        {**entry.get("calls", {}), **_describe_invocation(entry)} for entry in record["invocations"]
    ]
    for title, rows in (("Methods", methods), ("Invocations", calls)):
        click.echo(f"\n{title}")
        print_rows(rows, as_json=False)


_METHOD = ("name", "kind", "params", "budgets", "reason", "summary")


def _describe_invocation(entry: Mapping[str, JSON]) -> Mapping[str, JSON]:
    command = shlex.join(["cat-bench", *entry.get("command", ())])
    return {"started": entry.get("started"), "seconds": entry.get("seconds"), "command": command}


def _line(value: JSON) -> str:
    """Return a value on one line: a list with commas, a missing value as an empty text."""
    if value is None or value in ([], {}):
        return ""
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
