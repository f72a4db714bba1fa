"""NeMo-Skills' `output-rs*.jsonl`: a file for each random seed, a line for each question.

Written to the documented format; not run against the tool. A file that is still being written ends
in `-async` and is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cat_bench.cache.formats.samples import (
    Findings,
    Format,
    Sampled,
    name_by_text,
    number,
    read_files,
    take,
)
from cat_bench.errors import DataError

_TAKEN = {
    "problem": "problem",
    "answer": "expected_answer",
    "responses": "generation, one for each file",
    "reasoning": "reasoning_content",
    "usage": "num_input_tokens, num_generated_tokens",
    "verdicts": "symbolic_correct, is_correct or judgement",
}
_VERDICTS = ("symbolic_correct", "is_correct", "judgement")
_IDS = ("id", "unique_id", "problem_id")
_USED = (
    "problem",
    "question",
    "expected_answer",
    "generation",
    "num_input_tokens",
    "num_generated_tokens",
    "finish_reason",
    "reasoning_content",
    *_VERDICTS,
)


def _read(files: Sequence[Path], findings: Findings) -> Iterator[Sampled]:
    findings.taken = dict(_TAKEN)
    seen: set[tuple[Path, str]] = set()
    for file, line, row in read_files(files, findings, _USED):
        problem = take(row, "problem" if "problem" in row else "question", str, file)
        id_key = next((key for key in _IDS if isinstance(row.get(key), str | int)), None)
        if id_key is None:
            findings.guess("id: a digest of the problem, because the lines name none")
        name = name_by_text(problem) if id_key is None else str(row[id_key])
        if (file, name) in seen:
            raise DataError(file, f"answers {name!r} twice: one line for each question", line=line)
        seen.add((file, name))
        findings.left.discard(id_key or "")
        answer = row.get("expected_answer")
        yield Sampled(
            id=name,
            problem=problem,
            answer=answer if answer is None else str(answer),
            text=take(row, "generation", str, file),
            reasoning=row.get("reasoning_content"),
            finish=row.get("finish_reason"),
            prompt_tokens=row.get("num_input_tokens") or 0,
            completion_tokens=row.get("num_generated_tokens") or 0,
            verdicts={name: _verdict(row[name]) for name in _VERDICTS if name in row},
        )


def _verdict(value: object) -> float | None:
    """Return a verdict as a number; a judge writes `Judgement: Yes` or `No` at the end."""
    if isinstance(value, str):
        judgement = value.rpartition("Judgement:")[2].strip().casefold()
        return {"yes": 1.0, "no": 0.0}.get(judgement.split()[0].strip(".") if judgement else "")
    return number(value)


FORMAT = Format(_read, "NeMo-Skills' output-rs*.jsonl", frozenset({"generation", "problem"}))
