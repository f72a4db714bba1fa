"""A run as lm-eval's result files: `results_*.json`, and one line per question × method in
`samples_*.jsonl`.

A method appears as one of lm-eval's filters, which combine a document's responses: every line holds
the question's rollouts as responses and the method's answer as the filtered response.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from cat_bench.errors import UsageError
from cat_bench.report.cells import rows_of
from cat_bench.report.summary import summarise
from cat_bench.report.transcripts import Transcript, transcripts
from cat_bench.runs.folder import as_utf8
from cat_bench.runs.labels import refuse_unlabelled
from cat_bench.runs.private import refuse_private
from cat_bench.runs.tables import RunTables
from cat_bench.system.extras import install_command
from cat_bench.system.waiting import wait
from cat_bench.types.calls import JSON

METRIC = "score"


def export_lm_eval(run: RunTables | Path, *, data: Path | None = None) -> list[Path]:
    """Write lm-eval's two files into `lm-eval/<model>/` of the run's folder.

    `data` is the run's data file, if it is not the task's. Raises DataError if the folder is not a
    run, UsageError if lm-eval is not installed, the task is private or rows are unlabelled.
    """
    try:
        from lm_eval.loggers import EvaluationTracker
    except ImportError as error:
        raise UsageError(f"lm-eval is not installed: {install_command('lm-eval')}") from error
    run = RunTables.of(run)
    refuse_private(run.record, advice="`report --html` writes a page for your own use")
    refuse_unlabelled(run.record, what="an export")
    record, folder = run.record, run.folder
    task = re.sub(r"[^\w.-]+", "-", record["config"]["task"])
    samples = wait(_samples(run, data))
    tracker = EvaluationTracker(output_path=str(folder / "lm-eval"))
    tracker.general_config_tracker.log_experiment_args(
        model_source="cat_bench",
        model_args=f"pretrained={record['config']['model']}",
        system_instruction=None,
        chat_template=None,
        fewshot_as_multiturn=False,
    )
    place = folder / "lm-eval" / tracker.general_config_tracker.model_name_sanitized
    before = set(place.glob("*"))
    tracker.save_results_aggregated(_results(run, task), {task: samples})
    tracker.save_results_samples(task, samples)
    return sorted(set(place.glob("*")) - before)


def _results(run: RunTables, task: str) -> dict[str, JSON]:
    record, summary = run.record, summarise(run)
    scored = summary[summary["score"].notna() & (summary["method"] != "oracle")]
    figures: dict[str, JSON] = {"alias": task}
    for row in rows_of(scored.drop_duplicates("method", keep="last")):
        figures[f"{METRIC},{row['method']}"] = float(row["score"])
        error = row["se"]
        figures[f"{METRIC}_stderr,{row['method']}"] = "N/A" if pd.isna(error) else float(error)
    total = record["questions"]
    return {
        "results": {task: figures},
        "group_subtasks": {},
        "configs": {task: {"task": task, "output_type": "generate_until", **record["task"]}},
        "versions": {task: record["task"]["version"]},
        "n-shot": {task: 0},
        "higher_is_better": {task: {METRIC: True}},
        "n-samples": {task: {"original": total, "effective": total}},
        "config": {"model": "cat_bench", "cat_bench": record["config"]},
    }


async def _samples(run: RunTables, data: Path | None) -> list[dict[str, JSON]]:
    sampling = run.record["config"]["sampling"].get("policy", {})
    number, lines = 0, list[dict[str, JSON]]()
    async for transcript in transcripts(run, data=data):
        lines += _lines(number, transcript, sampling)
        number += 1
    return lines


def _lines(
    number: int, transcript: Transcript, sampling: Mapping[str, JSON]
) -> Iterator[dict[str, JSON]]:
    """Yield one line per method; a rollout whose text is missing is an empty response."""
    from lm_eval.utils import hash_string

    replies = [as_utf8(reply.text) if reply else "" for _, reply in transcript.rollouts]
    for method, answer in transcript.answers().items():
        filtered = answer.text if answer.answer is None else answer.answer
        yield {
            "doc_id": number,
            "doc": {"id": transcript.question, "problem": transcript.text, **transcript.meta},
            "target": as_utf8(transcript.right),
            "arguments": [(transcript.text, dict(sampling))],
            "resps": [replies],
            "filtered_resps": [as_utf8(filtered or "")],
            "filter": method,
            "metrics": [METRIC],
            "doc_hash": hash_string(transcript.question),
            "prompt_hash": hash_string(transcript.text),
            "target_hash": hash_string(as_utf8(transcript.right)),
            METRIC: answer.score,
        }
