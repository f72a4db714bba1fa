"""Parts are the table's rows, no question in two of them; what is read in parts is what is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from cat_bench.evaluation.rows import ScoreRow
from cat_bench.report import summarise, write
from cat_bench.report.diversity import diversity
from cat_bench.report.forensics import forensics
from cat_bench.report.values import read_values
from cat_bench.runs import parts as streaming
from cat_bench.runs.folder import RunWriter, read_scores
from cat_bench.runs.parts import RowsByQuestion
from cat_bench.runs.tables import RunTables
from tests.conftest import TOY, Workshop


def run_of(folder: Path, questions: Sequence[str]) -> Path:
    with RunWriter(folder) as writer:
        for number, question in enumerate(questions):
            writer.add([ScoreRow(question=question, method="m", n=number)], [])
        config = {"task": "t", "model": "m", "pool": 4}
        record = {"config": config, "task": {}, "methods": [{"name": "m"}], "questions": 1}
        writer.finish(record, {})
    return folder


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_parts_are_whole_questions_in_order(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PART", size)
    folder = run_of(tmp_path / "run", "aaabbcdddddde")
    parts = list(RunTables(folder).score_parts(["question", "n"]))
    assert pd.concat(parts)["n"].tolist() == list(range(13))
    seen = [question for part in parts for question in part["question"].unique()]
    assert seen == ["a", "b", "c", "d", "e"]
    assert all(0 < len(part) < size + 7 for part in parts)
    assert (len(parts) == 1) == (size == 100)


def test_a_table_whose_questions_are_scattered_is_one_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PART", 2)
    [part] = RunTables(run_of(tmp_path / "run", "abab")).score_parts(["question"])
    assert len(part) == 4
    (tmp_path / "empty").mkdir()
    [part] = RunTables(run_of(tmp_path / "empty", "")).score_parts(["question", "score"])
    assert list(part.columns) == ["question", "score"]


def test_rows_are_found_beside_the_questions(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "run", "aabc")
    rows = RowsByQuestion(RunTables(folder).score_parts(["question", "n"]))
    found = [rows.of(name) for name in "cabd"]
    assert [None if each is None else each["n"].tolist() for each in found] == [
        [3],
        [0, 1],
        [2],
        None,
    ]
    assert read_scores(folder, question="b")["n"].tolist() == [2]


def test_a_report_in_parts_is_the_report(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.run(*TOY, "--out", "run")
    folder = workshop.folder / "run"
    names = ["table.csv", "compute.csv", "forensics.csv", "forensics.md", "table.md"]
    whole = [(folder / name).read_text() for name in names]
    table, drafts, pool = summarise(folder), forensics(folder), diversity(folder)
    monkeypatch.setattr(streaming, "PART", 5)
    assert len([*RunTables(folder).score_parts(["question"])]) > 3
    pd.testing.assert_frame_equal(summarise(folder), table)
    pd.testing.assert_frame_equal(forensics(folder), drafts)
    assert diversity(folder) == pytest.approx(pool)
    assert read_values(folder)[1].sizes.unique().tolist() == [6]
    write(folder)
    assert [(folder / name).read_text() for name in names[2:]] == whole[2:]
