"""A run as the Hub's evaluation results: `.eval_results/TASK.yaml` and a benchmark's `eval.yaml`.

Format: the Hub's documentation of evaluation results. A row has no field for an aggregation, so
`notes` says the method, n, the pool and the interval; each method is a task of the benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from cat_bench.errors import UsageError
from cat_bench.report.cells import rows_of
from cat_bench.report.summary import ORACLE, WORST, summarise
from cat_bench.runs.labels import refuse_unlabelled
from cat_bench.runs.private import refuse_private
from cat_bench.runs.tables import RunTables
from cat_bench.system.files import atomic
from cat_bench.types.calls import JSON

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""The words in a path by which the Hub recognises a split."""


def export_hub(run: RunTables | Path) -> list[Path]:
    """Write `hf/.eval_results/TASK.yaml` for the model, and `hf/eval.yaml` for the dataset.

    Each method has a row at its largest n. Raises DataError if the folder is not a run,
    UsageError where the task is private, or its rows are unlabelled or not a dataset of the Hub.
    """
    run = RunTables.of(run)
    record = run.record
    refuse_private(record, advice="`report --html` writes a page for your own use")
    refuse_unlabelled(record, what="an export")
    data = record["task"].get("data") or {}
    if not data.get("hub"):
        raise UsageError(
            f"the rows of {record['config']['task']!r} are not a dataset of the Hub, but a result "
            "there must name one: give the task's `data` a `hub`, a `revision` and a `path`"
        )
    summary = summarise(run)
    scored = summary[summary["score"].notna() & ~summary["method"].isin((ORACLE, WORST))]
    rows = list(rows_of(scored.drop_duplicates("method", keep="last")))
    place = run.folder / "hf"
    results = place / ".eval_results" / f"{record['task']['name']}.yaml"
    benchmark = place / "eval.yaml"
    results.parent.mkdir(parents=True, exist_ok=True)
    _write(results, [_result(record, row, data) for row in rows])
    _write(benchmark, _benchmark(record, rows))
    return [results, benchmark]


def _result(
    record: Mapping[str, JSON], row: Mapping[str, JSON], data: Mapping[str, JSON]
) -> dict[str, JSON]:
    config = record["config"]
    notes = [f"{row['method']}@{row['n']} of {config['pool']}"]
    if row["ci_low"] == row["ci_low"]:
        notes.append(f"95 % CI [{100 * row['ci_low']:.1f}, {100 * row['ci_high']:.1f}]")
    if config.get("anchor") and config["anchor"] != config["model"]:
        notes.append(f"anchor {config['anchor']}")
    notes.append(f"{int(row['questions'])} questions")
    return {
        "dataset": {"id": data["hub"], "task_id": row["method"], "revision": data["revision"]},
        "value": round(100 * float(row["score"]), 2),
        "date": record["invocations"][-1]["started"][:10],
        "notes": ", ".join(notes) + "; in percent, by cat_bench",
    }


def _benchmark(record: Mapping[str, JSON], rows: list[dict[str, JSON]]) -> dict[str, JSON]:
    task = record["task"]
    data = task["data"]
    place = {
        "config": data.get("config") or "default",
        "split": data.get("split") or _guess_split(data["path"]),
    }
    return {
        "name": task["name"],
        "description": task["summary"],
        "evaluation_framework": "cat-bench",
        "tasks": [{"id": row["method"], **place} for row in rows],
    }


def _guess_split(path: str) -> str:
    """Return the split that the Hub gives to a file without a configuration, by its path's words.

    The file's name decides before its folders; without such a word, the split is `train`.
    """
    words = [word for part in path.split("/")[::-1] for word in re.findall(r"[a-z]+", part.lower())]
    by_word = {word: split for split, words in _SPLITS.items() for word in words}
    return next((by_word[word] for word in words if word in by_word), "train")


def _write(file: Path, content: JSON) -> None:
    with atomic(file) as draft:
        draft.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")
