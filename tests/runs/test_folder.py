"""A run on disk is whole or absent."""

from __future__ import annotations

import json
import math
import threading
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from cat_bench.errors import DataError, UsageError
from cat_bench.evaluation.rows import RolloutRow, ScoreRow
from cat_bench.runs.folder import RunWriter, read_questions, read_record, read_rollouts, read_scores
from cat_bench.types.calls import JSON
from cat_bench.types.records import Question, Sample

ROWS = [
    ScoreRow(question="q1", method="single", n=2, score=0.5, picks=(0, 3), weights=(0.5, 0.5)),
    ScoreRow(question="q2", cluster="c", method="cat", n=4, draw=1, failed="server: down"),
    ScoreRow(
        question="\ud7ff\u2028", method="cat", n=4, text="NUL \x00 and\nlines", fallback="none"
    ),
]
ROLLOUTS = [
    RolloutRow(question="q1", slot=0, digest="ab", answer="7", cluster=0, score=1.0, finish="stop"),
    RolloutRow(question="q1", slot=1, failed="timeout: late"),
]

RECORD: dict[str, JSON] = {
    "id": "x",
    "config": {"task": "t", "model": "m", "pool": 4},
    "task": {},
    "methods": [{"name": "single"}, {"name": "cat"}],
    "questions": 0,
}


def write(folder: Path, *, command: str = "run") -> None:
    with RunWriter(folder) as writer:
        writer.add(ROWS, ROLLOUTS)
        writer.finish(RECORD, {"command": [command]})


def commands(folder: Path) -> list[str]:
    return [each["command"][0] for each in read_record(folder)["invocations"]]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    write(folder)
    scores, rollouts = read_scores(folder), read_rollouts(folder, columns=["slot", "failed"])
    assert scores["question"].tolist() == [row.question for row in ROWS]
    assert scores["picks"].map(list).tolist() == [list(row.picks) for row in ROWS]
    assert scores["score"][0] == 0.5
    assert math.isnan(scores["score"][1])
    assert scores["text"][2] == ROWS[2].text
    assert rollouts.columns.tolist() == ["slot", "failed"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["run"]


def test_questions_are_noted_as_they_pass_by(tmp_path: Path) -> None:
    question = Question("q1", (), "What is \ud83d?", {"level": 3})
    samples = [Sample(question, "4"), Sample(Question("q2", (), "And?"), None)]
    with RunWriter(tmp_path / "run") as writer:
        assert list(writer.note_questions(samples)) == samples
        writer.finish(RECORD, {})
    found = read_questions(tmp_path / "run").to_dict("list")
    assert found["question"] == ["q1", "q2"]
    assert found["text"] == [r"What is \ud83d?", "And?"]
    assert found["meta"] == [{"level": 3}, {}]


def test_half_a_character_is_spelt_out(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as writer:
        writer.add([ScoreRow(question="q", method="cat", n=1, text="a \ud83d b")], [])
        writer.finish(RECORD | {"id": "\udcff"}, {"command": ["x"]})
    assert read_scores(tmp_path / "run")["text"][0] == r"a \ud83d b"
    assert read_record(tmp_path / "run")["id"] == "\udcff"


def test_a_run_again_keeps_what_it_cost_before(tmp_path: Path) -> None:
    for command in ("first", "second"):
        write(tmp_path / "run", command=command)
    assert commands(tmp_path / "run") == ["first", "second"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_error_leaves_the_old_run_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "run", command="first")
    with suppress(ZeroDivisionError), RunWriter(tmp_path / "run") as writer:
        writer.add(ROWS, ROLLOUTS)
        raise ZeroDivisionError
    assert commands(tmp_path / "run") == ["first"]
    assert len(read_scores(tmp_path / "run")) == len(ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_record_that_json_cannot_hold_leaves_the_old_run(tmp_path: Path) -> None:
    write(tmp_path / "run", command="first")
    with RunWriter(tmp_path / "run") as writer, pytest.raises(ValueError, match="JSON compliant"):
        writer.finish(RECORD | {"id": math.nan}, {"command": ["second"]})
    assert commands(tmp_path / "run") == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_many_that_finish_at_once_are_all_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    writers = [RunWriter(folder) for _ in range(8)]
    for k, writer in enumerate(writers):
        writer._draft = tmp_path / f".draft{k}"
        writer._draft.mkdir()
    threads = [
        threading.Thread(target=writer.finish, args=(RECORD, {"command": [str(k)]}))
        for k, writer in enumerate(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(commands(folder)) == sorted("01234567")


def test_an_empty_run_is_a_run(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as writer:
        writer.finish(RECORD, {"command": ["x"]})
    assert len(read_scores(tmp_path / "run")) == 0


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    for name, content in (("thesis", "important"), ("file", None)):
        place = tmp_path / name
        if content:
            place.mkdir()
            (place / "chapter.txt").write_text(content)
        else:
            place.write_text("a file")
        with pytest.raises(UsageError, match=f"{name} "):
            RunWriter(place)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["chapter.txt", "file", "thesis"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        RunWriter(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a run"),
        ("", "is not JSON"),
        ("[]", "has format None"),
        ("{}", "has format None"),
        (json.dumps({"format": 99}), "has format 99"),
    ],
)
def test_a_record_that_cannot_be_read(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(DataError, match=message):
            RunWriter(tmp_path)
    with pytest.raises(DataError, match=message):
        read_record(tmp_path)


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "scores.parquet").write_text("no")
    for read in (read_scores, read_rollouts):
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path)


def test_a_column_younger_than_the_run_holds_its_default(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "scores.parquet"
    pd.read_parquet(path).drop(columns=["slots", "calls", "answer"]).to_parquet(path)
    found = read_scores(tmp_path, columns=["question", "slots", "calls", "answer"])
    assert found["slots"].tolist() == [()] * len(ROWS)
    assert found["calls"].tolist() == [0.0] * len(ROWS)
    assert found["answer"].isna().all()


def test_rows_of_unavailable_methods_are_left_out_whatever_is_read(tmp_path: Path) -> None:
    methods = [{"name": "single"}, {"name": "cat", "reason": "no anchor"}]
    with RunWriter(tmp_path) as writer:
        writer.add(ROWS, ROLLOUTS)
        writer.finish({**RECORD, "methods": methods}, {"command": ["run"]})
    found = read_scores(tmp_path, columns=["question", "n"])
    assert found.to_dict("records") == [{"question": "q1", "n": 2}]


@pytest.mark.parametrize("field", ["task", "methods", "invocations", "questions"])
def test_a_damaged_record_names_its_field(field: str, tmp_path: Path) -> None:
    record = {"format": 1, **RECORD, "invocations": []}
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert read_record(tmp_path) == record
    (tmp_path / "run.json").write_text(json.dumps({k: v for k, v in record.items() if k != field}))
    with pytest.raises(DataError, match=f"run.json: has no field '{field}', so it is damaged"):
        read_record(tmp_path)
