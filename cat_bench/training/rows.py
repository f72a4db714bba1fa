"""The questions of a task as rows that a trainer reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cat_bench.system.files import atomic
from cat_bench.types.calls import JSON
from cat_bench.types.records import Sample


def trl_row(sample: Sample) -> dict[str, JSON]:
    """Return a prompt as messages, and the question's id; no target."""
    question = sample.question
    return {"prompt": [dict(m) for m in question.messages], "question_id": question.id}


def verl_row(sample: Sample, *, task: str, split: str, index: int) -> dict[str, JSON]:
    """Return a row of verl's schema; its ground truth is the target, which no reward here reads.

    The ground truth of an unlabelled row is empty.
    """
    truth = "" if sample.target is None else str(sample.target)
    return {
        "data_source": task,
        "prompt": trl_row(sample)["prompt"],
        "ability": task,
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"split": split, "index": index, "question_id": sample.question.id},
    }


def write_verl(path: Path, samples: Iterable[Sample], *, task: str, split: str) -> int:
    """Write the rows as Parquet; returns their number."""
    from datasets import Dataset

    rows = [verl_row(s, task=task, split=split, index=k) for k, s in enumerate(samples)]
    with atomic(path) as draft:
        path.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_list(rows).to_parquet(str(draft))
    return len(rows)
