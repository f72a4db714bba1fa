"""`cat-bench show NAME`: one task, method or run; with `--question`, all that a run knows of it."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cat_bench.cli.options import add_options
from cat_bench.cli.output import flatten, json_option, print_record, print_rows, print_text
from cat_bench.errors import UnknownName
from cat_bench.types.calls import JSON, Reply

if TYPE_CHECKING:
    from cat_bench.report.transcripts import Transcript

EXCERPT = 72
"""Characters of a text without `--full`."""
PICKS = 3


@click.command()
@click.argument("name")
@click.option("--question", help="One question of a run, by its id.")
@add_options("data", "trust")
@click.option("--full", is_flag=True, help="Show whole texts of rollouts and methods.")
@json_option
def show(name: str, question: str | None, *, data: Path | None, full: bool, as_json: bool) -> None:
    """Show NAME: a task, a method, or the folder of a run."""
    if (Path(name) / "run.json").is_file():
        if question:
            _show_question(Path(name), question, data=data, full=full, as_json=as_json)
        else:
            _show_run(Path(name), as_json=as_json)
    elif question:
        raise click.UsageError(f"--question needs the folder of a run, and {name} is not one")
    else:
        print_record(_describe(name), as_json=as_json)


def _describe(name: str) -> Mapping[str, JSON]:
    """The task or the method of that name, in the catalogue or of the user's own."""
    from cat_bench.loading import catalog
    from cat_bench.loading.registry import is_file, list_plugins
    from cat_bench.loading.validation import read_yaml, split_inline

    bare = split_inline(name, source=name)[0]
    path = Path(bare)
    is_yaml = path.suffix in {".yaml", ".yml"}
    if bare in {*catalog.method_names(), *list_plugins("aggregator")} or is_file(bare):
        return _method(name)
    if is_yaml and "aggregator" in read_yaml(path):
        return _method(name)
    if (
        is_yaml
        or bare in {*catalog.task_names(), *list_plugins("task")}
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
    """The run's record; for people a field a line, and its methods and invocations as tables."""
    from cat_bench.runs.folder import read_record

    record = read_record(folder)
    if as_json:
        print_record(record, as_json=True)
        return
    listed = ("methods", "invocations")
    fields = flatten({name: value for name, value in record.items() if name not in listed})
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
    """A value on one line: a list by commas, nothing as nothing."""
    if value is None or value in ([], {}):
        return ""
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _show_question(
    folder: Path, name: str, *, data: Path | None, full: bool, as_json: bool
) -> None:
    """All that is known of one question: its text and target, its rollouts, what became of them."""
    found = asyncio.run(_find(folder, name, data))
    head = {"question": name, "text": found.text, "target": found.target, **found.meta}
    if as_json:
        print_record({**head, **_tables(folder, found)}, as_json=True)
        return
    print_record(head, as_json=False)
    for title, rows in (("Rollouts", _rollouts(found, full=full)), ("Methods", _estimates(found))):
        click.echo(f"\n{title}")
        listed = list(rows)
        if not full:
            print_rows([{k: _excerpt(v) for k, v in row.items()} for row in listed], as_json=False)
        for row in listed if full else ():
            *facts, text = row.values()
            print_text(f"\n{'  '.join(filter(None, map(str, facts)))}\n{text}")
    if not any(reply for _, reply in found.rollouts):
        click.echo(
            f"\nThe rollouts' texts are not here. {found.problem or _explain_no_texts()}", err=True
        )


def _explain_no_texts() -> str:
    from cat_bench.cache.opening import display_url, resolve

    return (
        f"The cache {display_url(resolve(None))} lacks them: set CAT_BENCH_CACHE to the run's, or "
        "put the run's published calls into this one: cat-bench cache import FILE."
    )


async def _find(folder: Path, name: str, data: Path | None) -> Transcript:
    """The question; raises UnknownName where the run did not ask it."""
    from cat_bench.report.transcripts import transcripts
    from cat_bench.runs.folder import read_questions

    asked = list(read_questions(folder)["question"])
    if name not in asked:
        raise UnknownName("question of this run", name, asked[:20])
    (found,) = [each async for each in transcripts(folder, data=data, only=name)]
    return found


def _tables(folder: Path, found: Transcript) -> Mapping[str, JSON]:
    """Every row of the question, for programs."""
    from cat_bench.runs.folder import read_scores

    methods = read_scores(folder, question=found.question)
    rollouts = [
        {**row, "text": reply and reply.text, "reasoning": reply and reply.reasoning}
        for row, reply in found.rollouts
    ]
    columns = ["method", "n", "draw", "score", "picks", "text", "fallback", "failed"]
    return {"rollouts": rollouts, "methods": methods[columns].to_dict(orient="records")}


def _rollouts(found: Transcript, *, full: bool) -> Iterator[dict[str, JSON]]:
    """A row per slot."""
    for row, reply in found.rollouts:
        yield {
            "slot": row["slot"],
            "score": _format_cell(row["score"]),
            "answer": _format_cell(row["answer"]),
            "finish": _format_cell(row["finish"]),
            "text": _format_reply(reply, full=full) if reply else _format_cell(row["failed"]),
        }


def _format_reply(reply: Reply, *, full: bool) -> str:
    """The reply's text; in full with its reasoning before it."""
    if not (full and reply.reasoning):
        return reply.text
    return f"<reasoning>\n{reply.reasoning}\n</reasoning>\n{reply.text}"


def _estimates(found: Transcript) -> Iterator[dict[str, JSON]]:
    """A row per method, n and draw: what was picked or written, and what it scored."""
    for row in found.rows:
        wrote = isinstance(row["text"], str)
        picks = sorted(zip(row["weights"], row["picks"], strict=True), reverse=True)
        said = ", ".join(f"{slot} ({weight:.0%})" for weight, slot in picks[:PICKS] if weight > 0)
        more = ", …" if sum(weight > 0 for weight, _ in picks) > PICKS else ""
        trouble = "; ".join(
            filter(None, (_format_cell(row["fallback"]), _format_cell(row["failed"])))
        )
        yield {
            "method": row["method"],
            "n": row["n"],
            "draw": _format_cell(row["draw"]),
            "score": _format_cell(row["score"]),
            "answer": _format_cell(row["answer"]) if wrote else "",
            "picked slots": said + more,
            "remark": trouble,
            "text": row["text"] if wrote else "",
        }


def _format_cell(value: JSON) -> JSON:
    """A cell; empty where there is nothing."""
    if value is None or value != value:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else value


def _excerpt(cell: JSON) -> JSON:
    """The end of a text, where its answer is, on one line."""
    if not isinstance(cell, str):
        return cell
    line = " ".join(cell.split())
    return line if len(line) <= EXCERPT else "… " + line[-EXCERPT:]
