"""The tasks that read a local file, on rows of our own in the same columns."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cat_bench.loading import catalog
from cat_bench.scorers.rubric import Rubric, RubricTarget
from cat_bench.types.calls import JSON

MATHARENA: list[JSON] = [
    {"problem_idx": k, "problem": f"What is {k}+1?", "answer": str(k + 1)} for k in range(3)
]
H4: list[JSON] = [{"id": 60 + k, "problem": f"{k}+1?", "answer": f"00{k + 1}"} for k in range(3)]
GPQA: list[JSON] = [
    {
        "Record ID": f"rec{k}",
        "Question": f"Which is {k}?",
        "Correct Answer": f"right, {k}\n",
        **{f"Incorrect Answer {j}": f"wrong {j}" for j in (1, 2, 3)},
        "High-level domain": "Physics",
        "Subdomain": "Optics",
    }
    for k in range(20)
]
MMLU: list[JSON] = [
    {
        "question_id": k,
        "question": f"Which is {k}?",
        "options": [f"no {j}" for j in range(9)] + [f"yes {k}"],
        "answer": "J",
        "answer_index": 9,
        "category": "law",
    }
    for k in range(3)
]
PROFESSIONAL: list[JSON] = [
    {
        "conversation": [{"role": "user", "content": f"Which dose at {k} kg?"}],
        "rubric_items": [{"criterion_text": "names a dose", "points": 5}],
        "use_case": "consult",
        "type": "good_faith",
        "difficulty": "typical",
        "specialty": "pediatrics",
        "physician_response": "It depends.",
    }
    for k in range(3)
]
FILES = {
    "aime24": ("aime24.parquet", H4),
    "aime25": ("aime25.parquet", MATHARENA),
    "hmmt25": ("hmmt25.parquet", MATHARENA),
    "gpqa-diamond": ("gpqa_diamond.csv", GPQA),
    "mmlu-pro": ("mmlu_pro.parquet", MMLU),
}


@pytest.mark.parametrize("name", FILES)
def test_a_local_task_reads_its_columns(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, rows = FILES[name]
    if file.endswith(".csv"):
        with (tmp_path / file).open("w", newline="") as written:
            writer = csv.DictWriter(written, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / file)
    monkeypatch.setenv("CAT_BENCH_DATA", str(tmp_path))
    task = catalog.task(name)
    samples = list(task.samples())
    assert len(samples) == len(rows)
    asked = samples[0].question.messages[0]["content"]
    assert asked.endswith(f"End with {task.prompts.closing}.")
    if name == "gpqa-diamond":
        assert len({sample.target for sample in samples}) > 2
        for sample, row in zip(samples, rows, strict=True):
            options = sample.question.meta["options"]
            assert options[sample.target] == row["Correct Answer"].strip()
            assert re.findall(r"^[A-D]\) ", sample.question.text, re.MULTILINE)
    if name == "mmlu-pro":
        assert {sample.target for sample in samples} == {"J"}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_professionals_conversation_is_read_with_its_rubric(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"mine.{suffix}"
    if suffix == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in PROFESSIONAL))
    else:
        pq.write_table(pa.Table.from_pylist(PROFESSIONAL), file)
    task = catalog.task("healthbench-professional", data=file)
    samples = list(task.samples())
    assert len({sample.question.id for sample in samples}) == len(PROFESSIONAL)
    assert list(samples[1].question.messages) == PROFESSIONAL[1]["conversation"]
    assert samples[1].question.meta["specialty"] == "pediatrics"
    assert "It depends" not in str(samples)
    (line,) = RubricTarget.model_validate(samples[0].target).rubric
    assert (line.criterion, line.points) == ("names a dose", 5)
    assert isinstance(task.scorer, Rubric)
    assert task.scorer.penalty == 0.0147


def test_tasks_whose_examples_may_not_be_revealed_are_private() -> None:
    private = {name for name in catalog.task_names() if catalog.is_private(name)}
    assert private == {"gpqa-diamond", "healthbench-professional"}
    assert not catalog.is_private("pool:anything")
