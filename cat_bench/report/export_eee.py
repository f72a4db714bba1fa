"""A run as Every Eval Ever's files (schema 0.3.0): results in JSON, and a line for each instance.

Every method and n is a result. The schema has no field for an aggregation yet: `metric_parameters`
holds method, n and pool, `details` the costs and the paired difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pandas as pd

from cat_bench.report.cells import rows_of
from cat_bench.report.summary import ORACLE, WORST, summarise
from cat_bench.report.transcripts import Answer, Transcript, transcripts
from cat_bench.runs.folder import as_utf8
from cat_bench.runs.labels import refuse_unlabelled
from cat_bench.runs.private import refuse_private
from cat_bench.runs.tables import RunTables
from cat_bench.system.files import atomic
from cat_bench.system.waiting import wait
from cat_bench.types.calls import JSON

SCHEMA = "0.3.0"
_DETAILS = (
    *("reference", "diff", "diff_low", "diff_high", "p", "p_holm", "se_rollouts"),
    *("calls", "tokens", "sequential_tokens", "abstained", "fallback", "unscored", "draws"),
    *("se_draws", "exact", "flag"),
)


def export_eee(run: RunTables | Path, *, data: Path | None = None) -> list[Path]:
    """Write `eee/data/<task>/<developer>/<model>/<uuid>.json` and its `_samples.jsonl`.

    A question without a score has no line. `data` is the run's data file, if it is not the task's.
    Raises DataError if this is no run, UsageError if the task is private or rows are unlabelled.
    """
    run = RunTables.of(run)
    refuse_private(run.record, advice="`report --html` writes a page for your own use")
    refuse_unlabelled(run.record, what="an export")
    developer, model = _name_model(run.record["config"]["model"])
    collection = _part(run.record["config"]["task"])
    name = UUID(bytes=sha256(run.record["id"].encode()).digest()[:16], version=4)
    inside = Path("data", collection, _part(developer), _part(model))
    place = run.folder / "eee" / inside
    place.mkdir(parents=True, exist_ok=True)
    document, lines = place / f"{name}.json", place / f"{name}_samples.jsonl"
    rows = [json.dumps(row, ensure_ascii=False) for row in wait(_instances(run, data))]
    text = "".join(f"{row}\n" for row in rows)
    with atomic(lines) as draft:
        draft.write_text(text, encoding="utf-8")
    results = _results(run)
    results["detailed_evaluation_results"] = {
        "format": "jsonl",
        "file_path": str(inside / lines.name),
        "hash_algorithm": "sha256",
        "checksum": sha256(text.encode()).hexdigest(),
        "total_rows": len(rows),
    }
    with atomic(document) as draft:
        draft.write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
    return [document, lines]


def _results(run: RunTables) -> dict[str, JSON]:
    record = run.record
    config, last = record["config"], record["invocations"][-1]
    developer, model = _name_model(config["model"])
    summary = summarise(run)
    scored = summary[summary["score"].notna() & ~summary["method"].isin((ORACLE, WORST))]
    return {
        "schema_version": SCHEMA,
        "evaluation_id": _evaluation_id(record),
        "evaluation_timestamp": last["started"],
        "retrieved_timestamp": _epoch(last["started"]),
        "source_metadata": {
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "model_info": {
            "name": config["model"],
            "id": f"{developer}/{model}",
            "developer": developer,
            "additional_details": {
                "deployment_type": "unknown",
                "model_availability": "unknown",
                "identity": json.dumps(record["models"]["policy"], sort_keys=True),
            },
        },
        "eval_library": {"name": "cat_bench", "version": _version(record)},
        "evaluation_results": [_result(record, row) for row in rows_of(scored)],
    }


def _result(record: Mapping[str, JSON], row: Mapping[str, JSON]) -> dict[str, JSON]:
    config, task = record["config"], record["task"]
    label = f"{row['method']}@{row['n']}"
    details = {name: _text(row[name]) for name in _DETAILS if _is_known(row.get(name))}
    uncertainty: dict[str, JSON] = {"num_samples": int(row["questions"])}
    if _is_known(row["se"]):
        uncertainty["standard_error"] = {"value": float(row["se"]), "method": "over questions"}
    if _is_known(row["ci_low"]):
        uncertainty["confidence_interval"] = {
            "lower": float(row["ci_low"]),
            "upper": float(row["ci_high"]),
            "confidence_level": 0.95,
        }
    return {
        "evaluation_result_id": label,
        "evaluation_name": config["task"],
        "source_data": _source(task),
        "metric_config": {
            "metric_id": f"cat_bench.{row['method']}",
            "metric_name": label,
            "metric_kind": "mean score" if task.get("graded") else "accuracy",
            "metric_unit": "proportion",
            "metric_parameters": {
                "method": row["method"],
                "n": int(row["n"]),
                "pool_size": config["pool"],
                "pool_id": record["pool_digest"],
                "scorer": task["scorer"],
            },
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {
            "score": float(row["score"]),
            "details": details,
            "uncertainty": uncertainty,
        },
        "generation_config": _generation(config["sampling"].get("policy", {})),
    }


def _source(task: Mapping[str, JSON]) -> dict[str, JSON]:
    data = task.get("data") or {}
    digests = {f"digest of {name}": str(value) for name, value in task["digests"].items()}
    source: dict[str, JSON] = {"dataset_name": task["name"], "source_type": "other"}
    if data.get("hub"):
        source |= {"source_type": "hf_dataset", "hf_repo": data["hub"]}
        digests |= {"revision": str(data["revision"])}
    return {**source, "additional_details": digests}


def _generation(sampling: Mapping[str, JSON]) -> dict[str, JSON]:
    names = ("temperature", "top_p", "top_k")
    params = {name: sampling[name] for name in names if sampling.get(name) is not None}
    if sampling.get("max_tokens"):
        params["max_tokens"] = sampling["max_tokens"]
    return {"generation_args": params}


async def _instances(run: RunTables, data: Path | None) -> list[dict[str, JSON]]:
    return [
        line
        async for transcript in transcripts(run, data=data)
        for line in _lines(run.record, transcript)
    ]


def _lines(record: Mapping[str, JSON], transcript: Transcript) -> Iterator[dict[str, JSON]]:
    config = record["config"]
    developer, model = _name_model(config["model"])
    line: dict[str, JSON] = {
        "raw": as_utf8(transcript.text),
        "reference": [as_utf8(transcript.right)] if transcript.right else [],
    }
    packed = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = sha256(packed.encode()).hexdigest()
    for method, answer in transcript.answers().items():
        if answer.score is not None:
            yield {
                "schema_version": SCHEMA,
                "evaluation_id": _evaluation_id(record),
                "model_id": f"{developer}/{model}",
                "evaluation_name": config["task"],
                "evaluation_result_id": f"{method}@{answer.n}",
                "sample_id": transcript.question,
                "sample_hash": digest,
                "interaction_type": "single_turn",
                "input": line,
                "output": {"raw": [as_utf8(answer.text or "")]},
                "answer_attribution": _attribute(answer),
                "evaluation": {"score": answer.score, "is_correct": answer.score > 0.5},
                "metadata": {"method": method, "n": str(answer.n), "note": answer.explanation},
            }


def _attribute(answer: Answer) -> list[dict[str, JSON]]:
    if answer.answer is None:
        return []
    return [
        {
            "turn_idx": 0,
            "source": "output.raw",
            "extracted_value": as_utf8(answer.answer),
            "extraction_method": "the task's scorer",
            "is_terminal": True,
        }
    ]


def _evaluation_id(record: Mapping[str, JSON]) -> str:
    config, started = record["config"], record["invocations"][-1]["started"]
    return f"{config['task']}/{config['model']}/{_epoch(started)}/{record['id']}"


def _name_model(spec: str) -> tuple[str, str]:
    """Return the developer and the name of a model such as `openai:owner/name{...}`."""
    name = spec.partition("{")[0].rpartition(":")[2]
    owner, _, model = name.rpartition("/")
    return owner.rpartition("/")[2] or "unknown", model or name


def _part(name: str) -> str:
    """Return a name that one folder can have."""
    return "".join(mark if mark.isalnum() or mark in "._-" else "-" for mark in name).lstrip(".")


def _version(record: Mapping[str, JSON]) -> str:
    versions = record.get("versions") or {}
    return str(versions.get("cat_bench") or versions.get("cat-bench") or "unknown")


def _epoch(started: str) -> str:
    return str(int(datetime.fromisoformat(started).timestamp()))


def _is_known(value: JSON) -> bool:
    return bool(pd.notna(value)) and value != ""


def _text(value: JSON) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
