"""lighteval's `details_TASK_DATE.parquet`, written by --save-details: a row for each document.

A metric is computed from all responses to a document, so with several it belongs to the question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cat_bench.cache.formats.samples import Findings, Format, Sampled, number, read_files, take
from cat_bench.errors import DataError
from cat_bench.system.rows import Row
from cat_bench.types.calls import JSON

_TAKEN = {
    "id": "doc.id",
    "problem": "doc.query",
    "answer": "doc.choices[doc.gold_index]",
    "responses": "model_response.text",
    "reasoning": "model_response.reasonings",
    "usage": "the lengths of model_response.input_tokens and output_tokens",
    "verdicts": "metric, if there is one response; else figures",
}


def _read(files: Sequence[Path], findings: Findings) -> Iterator[Sampled]:
    findings.taken = dict(_TAKEN)
    for file, _, row in read_files(files, findings, ("doc", "model_response", "metric")):
        findings.name_model(_name_model(file), file)
        yield from _samples(file, row, findings, many=len(files) > 1)


def _samples(file: Path, row: Row, findings: Findings, *, many: bool) -> Iterator[Sampled]:
    doc, reply = take(row, "doc", dict, file), take(row, "model_response", dict, file)
    name = str(take(doc, "id", (str, int), file))
    texts = take(reply, "text", list, file)
    if not texts:
        raise DataError(file, f"document {name!r} has no generated text, only log-probabilities")
    scores = {metric: number(value) for metric, value in take(row, "metric", dict, file).items()}
    reasonings, outputs = reply.get("reasonings") or [], reply.get("output_tokens") or []
    for index, text in enumerate(texts):
        yield Sampled(
            id=f"{doc.get('task_name')}/{name}" if many else name,
            problem=take(doc, "query", str, file),
            answer=_find_answer(doc, file, findings),
            text=text,
            reasoning=reasonings[index] if len(reasonings) == len(texts) else None,
            prompt_tokens=len(reply.get("input_tokens") or []),
            completion_tokens=len(outputs[index]) if len(outputs) == len(texts) else 0,
            verdicts=scores if len(texts) == 1 else {},
            figures=scores if len(texts) > 1 else {},
        )


def _find_answer(doc: Row, file: Path, findings: Findings) -> JSON:
    """Return the choice, or the choices, at the gold index."""
    choices, gold = take(doc, "choices", list, file), take(doc, "gold_index", (int, list), file)
    places = gold if isinstance(gold, list) else [gold]
    if not all(0 <= place < len(choices) for place in places):
        findings.guess("answer: none for documents whose gold_index names no choice")
        return None
    answers = [str(choices[place]).strip() for place in places]
    if len(answers) > 1:
        findings.guess("answer: a list, because a document has several")
    return answers[0] if len(answers) == 1 else answers


def _name_model(file: Path) -> str | None:
    """Return the model as the folders name it: `details/MODEL/DATE/details_….parquet`."""
    folders = file.parts[:-2]
    if "details" not in folders:
        return None
    last = len(folders) - folders[::-1].index("details")
    return "/".join(folders[last:]) or None


FORMAT = Format(
    _read, "lighteval's details_*.parquet", frozenset({"doc", "model_response", "metric"})
)
