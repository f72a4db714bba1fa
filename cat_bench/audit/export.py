"""Writes pseudo-labels for a trainer: a row per question, from its first group.

`trl` is a prompt-only dataset of TRL in the conversational format (a column `prompt` of messages).
TRL's trainers pass further columns to reward functions as keywords, so no column may be named
`prompts`, `completions` or `completion_ids`.

`verl` is verl's RL dataset: `data_source`, `prompt`, `ability`, `extra_info` and `reward_model`
{style, ground_truth}. Its ground truth is the reference's final answer if the task has
answers, else the reference. It is empty if the estimator abstained.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from cat_bench.audit.groups import RewardedGroup
from cat_bench.errors import UsageError
from cat_bench.loading.catalog import Task
from cat_bench.system.files import atomic
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import AnswerScorer, QuestionScorer

Shape: TypeAlias = Literal["trl", "verl"]
SUFFIXES = (".jsonl", ".parquet")


def check(path: Path) -> None:
    """Raise UsageError if the file is neither JSONL nor Parquet, or its folder does not exist."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--export {path} should end in .jsonl or .parquet")
    if not path.parent.is_dir():
        raise UsageError(f"--export {path}: there is no folder {path.parent}")


def rows(groups: Sequence[RewardedGroup], task: Task, *, shape: Shape) -> Iterator[dict[str, JSON]]:
    """Yield one row per question, in the order of the dataset."""
    firsts: dict[str, RewardedGroup] = {}
    for group in groups:
        firsts.setdefault(group.sample.question.id, group)
    for index, group in enumerate(firsts.values()):
        yield _trl(group) if shape == "trl" else _verl(group, task, index)


def write(path: Path, records: Sequence[dict[str, JSON]], *, shape: Shape) -> None:
    """Write rows to `path`. Raises UsageError if it cannot be written.

    A lone surrogate is written as a question mark, because readers of both formats refuse it.
    """
    lines = [json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") for row in records]
    with atomic(path) as draft:
        if path.suffix == ".jsonl":
            draft.write_bytes(b"".join(line + b"\n" for line in lines))
        else:
            _parquet(draft, [json.loads(line) for line in lines], shape)


def _trl(group: RewardedGroup) -> dict[str, JSON]:
    return {"prompt": [dict(m) for m in group.sample.question.messages], **_labels(group)}


def _verl(group: RewardedGroup, task: Task, index: int) -> dict[str, JSON]:
    reference, scorer = group.rewarded.reference or "", task.scorer
    if isinstance(scorer, QuestionScorer):
        scorer = scorer.for_question(group.sample.question)
    answers = isinstance(scorer, AnswerScorer)
    truth = (scorer.answer(reference) or "") if isinstance(scorer, AnswerScorer) else reference
    return {
        "data_source": task.name,
        "prompt": [dict(m) for m in group.sample.question.messages],
        "ability": task.name,
        "reward_model": {"style": "rule" if answers else "model", "ground_truth": truth},
        "extra_info": {"split": "train", "index": index, **_labels(group)},
    }


def _labels(group: RewardedGroup) -> dict[str, JSON]:
    rubric = group.rewarded.notes.get("rubric")
    return {
        "question_id": group.sample.question.id,
        "reference": group.rewarded.reference,
        "rollouts": [rollout.text for rollout in group.rollouts],
        "rewards": list(group.rewarded.values),
        "rubric": rubric,
    }


def _parquet(path: Path, records: list[dict[str, JSON]], shape: Shape) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, texts = pa.string(), pa.list_(pa.string())
    prompt = pa.list_(pa.struct([("role", text), ("content", text)]))
    labels = [
        ("question_id", text),
        ("reference", text),
        ("rollouts", texts),
        ("rewards", pa.list_(pa.float64())),
        ("rubric", texts),
    ]
    schemas = {
        "trl": [("prompt", prompt), *labels],
        "verl": [
            ("data_source", text),
            ("prompt", prompt),
            ("ability", text),
            ("reward_model", pa.struct([("style", text), ("ground_truth", text)])),
            ("extra_info", pa.struct([("split", text), ("index", pa.int64()), *labels])),
        ],
    }
    pq.write_table(pa.Table.from_pylist(records, schema=pa.schema(schemas[shape])), path)
