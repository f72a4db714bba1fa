"""Every Eval Ever's instance lines (schema 0.3.0): single-turn outputs with their evaluation.

A sample that has several results (metrics) has a line for each: the responses come from its first
result, and lines with the same id and result are several responses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cat_bench.cache.formats.samples import Findings, Format, Sampled, number, read_files, take
from cat_bench.errors import DataError

_TAKEN = {
    "id": "sample_id",
    "problem": "input.formatted, else input.raw",
    "answer": "input.reference[0]",
    "responses": "output.raw",
    "reasoning": "output.reasoning_trace",
    "usage": "token_usage, if there is one response",
    "verdicts": "evaluation.score",
}
_USED = (
    *("sample_id", "input", "output", "evaluation", "token_usage", "model_id"),
    *("evaluation_result_id", "evaluation_name", "interaction_type", "error", "metadata"),
)


def _read(files: Sequence[Path], findings: Findings) -> Iterator[Sampled]:
    findings.taken = dict(_TAKEN)
    first: dict[str, object] = {}
    for file, line, row in read_files(files, findings, _USED):
        name = str(take(row, "sample_id", (str, int), file))
        result = row.get("evaluation_result_id") or row.get("evaluation_name")
        if first.setdefault(name, result) != result:
            findings.guess(f"responses: those of the result {first[name]}, and no other's")
            continue
        if row.get("interaction_type") != "single_turn":
            raise DataError(
                file,
                f"sample {name!r} is {row.get('interaction_type')}: only single_turn is a response",
                line=line,
            )
        findings.name_model(row.get("model_id"), file)
        prompt, output = take(row, "input", dict, file), take(row, "output", dict, file)
        references = prompt.get("reference") or [None]
        if len(references) > 1:
            findings.guess("answer: a list, because a sample has several references")
        texts = take(output, "raw", list, file)
        traces = output.get("reasoning_trace") or []
        usage = (row.get("token_usage") or {}) if len(texts) == 1 else {}
        score = number((row.get("evaluation") or {}).get("score"))
        for index, text in enumerate(texts):
            yield Sampled(
                id=name,
                problem=str(prompt.get("formatted") or prompt.get("raw")),
                answer=references if len(references) > 1 else references[0],
                text=text,
                reasoning=traces[index] if len(traces) == len(texts) else None,
                prompt_tokens=usage.get("input_tokens") or 0,
                completion_tokens=usage.get("output_tokens") or 0,
                verdicts={str(result): score} if len(texts) == 1 else {},
                figures={str(result): score} if len(texts) > 1 else {},
                meta=row.get("metadata") or {},
            )


FORMAT = Format(
    _read, "Every Eval Ever's instance lines", frozenset({"sample_id", "interaction_type"})
)
