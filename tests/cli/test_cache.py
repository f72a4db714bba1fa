"""The commands that look after a cache."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import called

ROW = {"id": "a", "problem": "1 + 1?", "answer": "2", "responses": ["2", None], "correct": [True]}
Run = Callable[..., tuple[str, str]]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    file = tmp_path / "rollouts.jsonl"
    file.write_text(json.dumps(ROW) + "\n")
    return file


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `cat-bench cache` with these words; returns what stdout and stderr then hold."""
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path, status: int = 0) -> tuple[str, str]:
        ended, out, err = called(["cache", *words], monkeypatch, capsys)
        assert ended == status, err
        return out, err

    return run


def test_a_pool_goes_in_and_out(run: Run, tmp_path: Path, pool: Path) -> None:
    said, progress = run("import", pool, "--task", "pool:mine", "--answer-pattern", "(.*)")
    assert "1 × 2" in said
    assert "Importing" in progress
    [described] = json.loads(run("info", "--json")[0])["pools"]
    assert (described["scorer"], described["scorer_params"]) == ("math_equal", {"pattern": "(.*)"})
    assert "mine" in run("info")[0]
    assert run("export", "out.jsonl", "--pool", "mine")[0] == "out.jsonl: 1 questions\n"
    assert json.loads((tmp_path / "out.jsonl").read_text()) == ROW
    assert run("verify", "--json")[0] == "[]\n"


def test_a_prune_asks_before_it_deletes(run: Run, tmp_path: Path, pool: Path) -> None:
    run("import", pool, "--task", "pool:mine", "--not-exchangeable")
    said, hint = run("prune", "--model", "mine")
    assert said == "Would delete 2 results of 1 calls, pools mine.\n"
    assert "--yes" in hint
    assert run("prune", "--model", "mine", "--yes")[0].startswith("Deleted 2 results")
    assert json.loads(run("info", "--json")[0])["pools"] == []


def test_a_flaw_makes_verify_fail(run: Run, tmp_path: Path, pool: Path) -> None:
    run("import", pool, "--task", "pool:mine")
    with sqlite3.connect(tmp_path / "cache.sqlite") as connection:
        connection.execute("UPDATE results SET body = x'7b7d' WHERE slot = 0")
    connection.close()
    said, error = run("verify", status=1)
    assert "slot 0" in said
    assert "1 rows cannot be trusted" in error


def test_wrong_words_are_usage_errors(run: Run, tmp_path: Path, pool: Path) -> None:
    assert "needs --model NAME" in run("import", pool, "--task", "math500", status=2)[1]
    assert "name one of --pool" in run("export", "x.jsonl", status=2)[1]
    for words in (("info",), ("verify",), ("export", "x.jsonl", "--pool", "q"), ("prune",)):
        assert "cache.sqlite: name an existing file" in run(*words, status=1)[1]
    assert not (tmp_path / "cache.sqlite").exists()
    run("import", pool, "--task", "pool:mine")
    assert "Known: mine" in run("export", "x.jsonl", "--pool", "q", status=2)[1]
    assert "name what to prune" in run("prune", status=2)[1]
    pool.write_text(json.dumps({**ROW, "answer": "3"}))
    assert "--replace" in run("import", pool, "--task", "pool:mine", status=2)[1]
    run("import", pool, "--task", "pool:mine", "--replace")


def test_a_cache_that_cannot_be_opened_is_one_line(run: Run, tmp_path: Path) -> None:
    said, error = run("--cache", tmp_path, "info", status=1)
    assert said == ""
    assert error.startswith(f"cat-bench: cache {tmp_path}: unable to open database file")
    assert error.count("\n") == 1


def test_rows_of_a_task_must_match_its_questions(run: Run, tmp_path: Path, pool: Path) -> None:
    task = ["--task", "tally", "--model", "mine"]
    error = run("import", pool, *task, status=2)[1]
    assert "1 row matches no question of the task: line 1 ('a': no such question)" in error


def test_a_cache_is_copied(run: Run, tmp_path: Path, pool: Path, database: str) -> None:
    run("import", pool, "--task", "pool:mine")
    file = tmp_path / "cache.sqlite"
    assert run("copy", file, database)[0] == "5 rows: 5 copied, 0 existed before\n"
    assert run("copy", file, database)[0] == "5 rows: 0 copied, 5 existed before\n"
    assert "mine" in run("--cache", database, "info")[0]
    assert run("copy", database, "other.sqlite")[0] == "5 rows: 5 copied, 0 existed before\n"
    assert run("--cache", "other.sqlite", "verify", "--json")[0] == "[]\n"
    said = run("copy", "nowhere.sqlite", database, status=1)[1]
    assert "nowhere.sqlite: name an existing file" in said
    assert not (tmp_path / "nowhere.sqlite").exists()
    assert "to itself" in run("copy", file, file, status=2)[1]


def test_what_cannot_be_scored_is_not_imported(run: Run, tmp_path: Path, pool: Path) -> None:
    _, said = run("import", pool, "--task", "pool:mine", "--answer-pattern", "(", status=2)
    assert "'(': missing )" in said
    _, said = run("import", pool, "--task", "tally", "--model", "m", "--scorer", "x", status=2)
    assert "are for pool:NAME" in said
    for number in ("NaN", '"0.5"', "true"):
        row = json.dumps(ROW)[:-1] + f', "scores": {{"reward": [0.5, {number}]}}}}'
        pool.write_text(row.replace('["2", null]', '["2", "3"]') + "\n")
        _, said = run("import", pool, "--task", "pool:mine", status=2)
        assert "line 1" in said
        assert "the score 'reward' is" in said


def test_a_pool_is_published_with_a_card_that_an_import_checks(run: Run, pool: Path) -> None:
    run("import", pool, "--task", "pool:mine", "--from", "openai:some-model")
    _, said = run("export", "out.jsonl", "--pool", "mine", "--licence", "CC-BY-4.0")
    assert "Its card: out.jsonl.card.json" in said
    card = json.loads((pool.parent / "out.jsonl.card.json").read_text())
    assert (card["model"], card["licence"]) == ("openai:some-model", "CC-BY-4.0")
    assert (card["questions"], card["responses"], card["sampling"]) == (1, 2, None)
    said, _ = run("import", "out.jsonl", "--task", "pool:again")
    assert "openai:some-model" in said
    assert "CC-BY-4.0" in said
    out = pool.parent / "out.jsonl"
    out.write_text(out.read_text().replace('"2"', '"3"'))
    assert "the file was changed" in run("import", "out.jsonl", "--task", "pool:b", status=2)[1]
    (pool.parent / "out.jsonl.card.json").write_text("{}")
    assert (
        "is not a 'cat_bench pool card 1'"
        in run("import", "out.jsonl", "--task", "pool:b", status=2)[1]
    )
