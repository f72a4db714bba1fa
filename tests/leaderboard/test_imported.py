"""Rows of a pool that defines its own task: recomputed from the file that was imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Workshop

ANSWERS = ["1 1 2 1", "2 2 1 1", "1 1 1 1", "2 1 2 2"]
BOARD = ("--board", "board.csv")


def _write_pool(file: Path, answers: list[str]) -> None:
    rows = [
        {
            "id": f"q{k}",
            "problem": f"Say {k}",
            "answer": "1",
            "responses": [f"\\boxed{{{a}}}" for a in given.split()],
        }
        for k, given in enumerate(answers)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def published(workshop: Workshop) -> Workshop:
    """A workshop whose board has the rows of one imported pool."""
    _write_pool(workshop.folder / "mine.jsonl", ANSWERS)
    _write_pool(workshop.folder / "other.jsonl", ANSWERS[:3])
    assert workshop.run("cache", "import", "mine.jsonl", "--task", "pool:mine")[0] == 0
    asked = ("run", "pool:mine", "--model", "replay:mine", "--method", "single,majority")
    assert workshop.run(*asked, "--n", "2,4", "--out", "run")[0] == 0
    status, out, err = workshop.run("leaderboard", "add", "run", *BOARD, "--pool", "mine.jsonl")
    assert (status, out) == (0, "board.csv: 2 rows added, 0 existed before\n"), err
    return workshop


def test_the_imported_file_reproduces_the_rows(
    published: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAT_BENCH_CACHE", str(published.folder / "elsewhere.sqlite"))
    status, out, err = published.run("leaderboard", "check", *BOARD)
    assert status == 0, out
    assert err.splitlines()[-1] == "board.csv: 2 reproduced."
    assert out.count("from mine.jsonl") == 2


def test_another_file_is_not_published(published: Workshop) -> None:
    status, _, err = published.run("leaderboard", "add", "run", *BOARD, "--pool", "other.jsonl")
    assert status != 0
    assert "other.jsonl is not the file that mine was imported from" in err
    assert not (published.folder / "other.jsonl.run.json").exists()


def test_a_file_with_other_rollouts_is_refused(published: Workshop) -> None:
    _write_pool(published.folder / "mine.jsonl", [*ANSWERS[:3], "1 1 1 1"])
    status, out, _ = published.run("leaderboard", "check", *BOARD)
    assert status == 1
    assert out.count("refused") == 2


def test_without_the_record_the_rows_are_out_of_reach(published: Workshop) -> None:
    record = published.folder / "mine.jsonl.run.json"
    record.write_text("{}")
    _, out, _ = published.run("leaderboard", "check", *BOARD)
    assert "is not a run's record" in out
    record.unlink()
    status, out, _ = published.run("leaderboard", "check", *BOARD)
    assert status == 1
    assert out.count("out of reach") == 2
    assert "is not a published file" in out
