"""lm-eval's `samples_TASK_DATE.jsonl`, written by --log_samples; with `repeats`, several responses.

A file has a line for each document and filter, and every line of a document has the same responses:
they are read once. A metric is computed from what a filter made of all responses, so it belongs to
the question, under its name in lm-eval's own results: `METRIC,FILTER`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cat_bench.cache.formats.samples import Findings, Format, Sampled, number, read_files, take
from cat_bench.errors import DataError
from cat_bench.system.rows import Row
from cat_bench.types.calls import JSON

_TAKEN = {
    "id": "doc_id",
    "problem": "arguments.gen_args_0.arg_0",
    "answer": "target",
    "responses": "resps[0]",
    "doc": "doc",
    "figures": "the metrics, by filter",
}
_USED = ("doc_id", "arguments", "target", "resps", "doc", "filter", "metrics")


def _read(files: Sequence[Path], findings: Findings) -> Iterator[Sampled]:
    findings.taken = dict(_TAKEN)
    documents: dict[str, Row] = {}
    for file, line, row in read_files(files, findings, _USED):
        name = str(take(row, "doc_id", (int, str), file))
        name = name if len(files) == 1 else f"{_task(file)}/{name}"
        document = documents.setdefault(name, {"file": file, "row": row, "figures": {}})
        if document["row"]["resps"] != row["resps"]:
            problem = f"gives document {name!r} other responses than a line before"
            raise DataError(file, problem, line=line)
        metrics = row.get("metrics") or []
        findings.left -= set(metrics)
        label = row.get("filter")
        document["figures"] |= {f"{metric},{label}": number(row.get(metric)) for metric in metrics}
    for name, document in documents.items():
        yield from _samples(name, document, findings)


def _samples(name: str, document: Row, findings: Findings) -> Iterator[Sampled]:
    file, row = document["file"], document["row"]
    responses = take(row, "resps", list, file)
    texts = responses[0] if len(responses) == 1 and isinstance(responses[0], list) else responses
    if not all(isinstance(text, str) for text in texts):
        raise DataError(
            file, f"document {name!r} has no generated text: only generate_until tasks have samples"
        )
    prompt = _prompt(row)
    if prompt is None:
        findings.guess("problem: the document as JSON, because the line has no prompt")
    for text in texts:
        yield Sampled(
            id=name,
            problem=prompt or str(row.get("doc")),
            answer=str(row.get("target")),
            text=text,
            figures=document["figures"],
            meta={"doc": row.get("doc")},
        )


def _prompt(row: Row) -> str | None:
    """Return the prompt: files of lm-eval name its arguments, and our export lists them."""
    arguments: JSON = row.get("arguments")
    first = arguments.get("gen_args_0") if isinstance(arguments, dict) else (arguments or [None])[0]
    prompt = first.get("arg_0") if isinstance(first, dict) else (first or [None])[0]
    return prompt if isinstance(prompt, str) else None


def _task(file: Path) -> str:
    return file.name.removeprefix("samples_").rpartition("_")[0] or file.stem


FORMAT = Format(_read, "lm-eval's samples_*.jsonl", frozenset({"doc_id", "resps"}))
