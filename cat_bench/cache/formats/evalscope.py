"""evalscope's `reviews/MODEL/DATASET_SUBSET.jsonl`: a line for each response; a group has repeats.

Lines are in the order in which reviews ended. A review that could not score a response has no value
for it, and the tool leaves the response out of its mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cat_bench.cache.formats.samples import (
    Findings,
    Format,
    Sampled,
    join_texts,
    name_by_text,
    number,
    read_files,
    take,
)
from cat_bench.errors import DataError
from cat_bench.system.rows import Row
from cat_bench.types.calls import JSON

_TAKEN = {
    "id": "sample_score.group_id",
    "problem": "messages: those of the user before the response",
    "answer": "target",
    "responses": "messages: the model's last, in the order of index",
    "reasoning": "messages: the model's parts of type reasoning",
    "usage": "messages: perf_metrics",
    "verdicts": "sample_score.score.value",
}
_USED = ("index", "target", "messages", "sample_score")


def _read(files: Sequence[Path], findings: Findings) -> Iterator[Sampled]:
    findings.taken = dict(_TAKEN)
    for file in files:
        prefix = f"{file.stem}/" if len(files) > 1 else ""
        reviews = [
            (take(row, "index", int, file), _sample(file, line, row, prefix, findings))
            for file, line, row in read_files([file], findings, _USED)
        ]
        for _, sample in sorted(reviews, key=lambda review: review[0]):
            yield sample


def _sample(file: Path, line: int, row: Row, prefix: str, findings: Findings) -> Sampled:
    messages = take(row, "messages", list, file)
    replies = [message for message in messages if message.get("role") == "assistant"]
    if not replies:
        raise DataError(file, "has no message of the model; name a file of reviews", line=line)
    if len(replies) > 1:
        findings.guess("responses: the last message, if the model wrote several for a sample")
    prompt = messages[: messages.index(replies[0])]
    problem = "\n\n".join(
        join_texts(message.get("content")) for message in prompt if message.get("role") == "user"
    )
    review = take(row, "sample_score", dict, file)
    group = review.get("group_id")
    if group is None:
        findings.guess("id: a digest of the problem, because the reviews name no group")
        group = name_by_text(problem)
    reply = replies[-1]
    findings.name_model(reply.get("model"), file)
    used = reply.get("perf_metrics") or {}
    return Sampled(
        id=f"{prefix}{group}",
        problem=problem,
        answer=_find_answer(row.get("target"), findings),
        text=join_texts(reply.get("content")),
        reasoning=join_texts(reply.get("content"), kind="reasoning") or None,
        prompt_tokens=used.get("input_tokens") or 0,
        completion_tokens=used.get("output_tokens") or 0,
        verdicts={name: number(value) for name, value in _values(review).items()},
    )


def _find_answer(target: JSON, findings: Findings) -> JSON:
    """Return the one target, or the list of them."""
    if isinstance(target, list) and len(target) == 1:
        return target[0]
    if isinstance(target, list):
        findings.guess("answer: a list, because a sample has several targets")
    return target


def _values(review: Row) -> Row:
    """Return the values of a review's score, by metric."""
    score = review.get("score")
    values = score.get("value") if isinstance(score, dict) else None
    return values if isinstance(values, dict) else {}


FORMAT = Format(_read, "evalscope's reviews", frozenset({"index", "messages", "sample_score"}))
