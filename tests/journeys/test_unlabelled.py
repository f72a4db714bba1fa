"""Rows without answers are sampled, aggregated and audited; nothing states a score of them."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode
from pathlib import Path

import pandas as pd
import pytest

from cat_bench.types.calls import JSON
from tests.conftest import Workshop

PUPIL = r"""
def reply(request, seed):
    return r"It is \boxed{%d}" % (3 if seed % 4 == 3 else 7)
"""
QUESTIONS = 6
MODEL = "scripted:./sums.py:reply"
NONSENSE = re.compile(r"\bnan\b|accuracy", re.IGNORECASE)


def write(workshop: Workshop, labels: list[JSON] | None) -> None:
    """Write ./sums, whose model says 7 three times of four; `labels` None: no such column."""
    rows = [{"question": f"What is {k} and some?"} for k in range(QUESTIONS)]
    for row, label in zip(rows, labels or (), strict=False):
        row["answer"] = label
    (workshop.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (workshop.folder / "sums.py").write_text(PUPIL)
    status, _, err = workshop.run("new", "task", "sums", "--data", "rows.jsonl", "--unlabelled")
    assert status == 0, err


def run(workshop: Workshop, *options: str) -> tuple[str, str, Path]:
    """Return what a run printed, and its folder."""
    wanted = ("--method", "single,majority,adaptive-consistency", "--pool", "8", "--n", "2,8")
    status, out, err = workshop.run("run", "./sums", "--model", MODEL, *wanted, *options)
    assert status == 0, err
    (path,) = (workshop.folder / "results").glob("*/run.json")
    return out, err, path.parent


@pytest.mark.parametrize("labels", [None, [None] * QUESTIONS], ids=["no column", "null"])
def test_a_run_says_unlabelled_wherever_a_score_would_stand(
    workshop: Workshop, labels: list[JSON] | None
) -> None:
    write(workshop, labels)
    out, err, folder = run(workshop)
    assert "6 questions, unlabelled" in out
    assert "All questions are unlabelled" in err
    lines = [line for line in out.splitlines() if line.startswith(("| majority", "| *single*"))]
    assert sum("unlabelled" in line for line in lines) == 2
    assert "rollouts that give the commonest answer, %" in out
    assert re.search(r"\| majority +\| +8 \| +100\.0 \[", out)
    assert not NONSENSE.search(out)
    table = pd.read_csv(folder / "table.csv")
    assert (table["unlabelled"] == QUESTIONS).all()
    assert table[["score", "ci_low", "diff"]].isna().all(axis=None)
    assert (table[["unscored", "failed", "lost", "questions"]] == 0).all(axis=None)
    assert sorted(path.suffix for path in folder.iterdir()) == [
        *([".csv"] + [".json"] + [".md"] * 2 + [".parquet"] * 3)
    ], "no figure of scores, no claim and no comparison"
    assert json.loads((folder / "run.json").read_text())["unlabelled"] == QUESTIONS


def test_nothing_publishes_or_compares_what_was_not_measured(workshop: Workshop) -> None:
    write(workshop, None)
    _, _, folder = run(workshop)
    for command in (
        ("leaderboard", "add", str(folder)),
        ("report", str(folder), "--export", "eee"),
        ("report", str(folder), "--export", "hf-eval-results"),
        ("claims", str(folder)),
        ("compare", str(folder), str(folder)),
        ("ensemble", str(folder), str(folder)),
    ):
        status, _, err = workshop.run(*command)
        assert (status, "./sums is unlabelled in all questions" in err) == (2, True), command
    assert not (workshop.folder / "results" / "leaderboard.csv").exists()
    status, _, err = workshop.run("run", "./sums", "--model", MODEL, "--method", "oracle")
    assert (status, "oracle is the best possible pick, but task" in err) == (2, True)


def test_the_page_of_a_run_says_unlabelled(workshop: Workshop) -> None:
    write(workshop, None)
    _, _, folder = run(workshop)
    status, _, err = workshop.run("report", str(folder), "--html")
    assert status == 0, err
    found = re.search(r'id="index">([^<]+)<', (folder / "page.html").read_text())
    assert found
    index = json.loads(gzip.decompress(b64decode(found[1])))
    assert index["lack"] == "unlabelled"
    assert "6 questions, unlabelled" in index["facts"]
    assert {row["unlabelled"] for row in index["table"]} == {QUESTIONS}


def test_of_a_mixed_task_the_labelled_rows_are_scored(workshop: Workshop) -> None:
    write(workshop, None)
    rows = [{"question": f"What is {k} and some?", "answer": "7"} for k in range(QUESTIONS)]
    rows[1]["answer"] = rows[4]["answer"] = None  # type: ignore[assignment] # JSON's null
    (workshop.folder / "sums" / "rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    out, err, folder = run(workshop)
    assert "2 of 6 questions are unlabelled" in " ".join(err.split())
    assert "6 questions, 2 unlabelled" in out
    table = pd.read_csv(folder / "table.csv").set_index(["method", "n"])
    assert table.loc[("majority", 8), "questions"] == 4
    assert table.loc[("majority", 8), "unlabelled"] == 2
    assert table.loc[("majority", 8), "score"] == 1
    rollouts = pd.read_parquet(folder / "rollouts.parquet")
    assert rollouts["score"].isna().sum() == 2 * 8
    assert table.loc[("single", 8), "score"] == pytest.approx(rollouts["score"].mean())
    assert (table["unscored"] == 0).all()
    status, _, err = workshop.run("leaderboard", "add", str(folder))
    assert (status, "unlabelled in 2 of 6 questions" in err) == (2, True)


def test_an_audit_measures_what_needs_no_answer(workshop: Workshop) -> None:
    write(workshop, None)
    asked = ("audit", "./sums", "--model", MODEL, "--pool", "8", "--estimator", "majority")
    status, out, err = workshop.run(*asked, "--reward", "equivalence,gold")
    assert status == 0, err
    assert re.search(r"\| majority +\| equivalence +\| +[5-9]\d\.\d \[", out)
    assert "Rollouts with a readable answer: 48 of 48" in out
    assert "gold** is not available: it reads the answers, and the task is unlabelled" in out
    assert "Unlabelled rows cannot tell" in out
    assert not NONSENSE.search(out)
    before = workshop.calls
    status, _, err = workshop.run(*asked, "--reward", "gold", "--set", "label=fresh")
    assert (status, "no reward can be audited; gold" in err) == (2, True)
    assert workshop.calls == before
    status, _, err = workshop.run(*asked, "--export", "labels.jsonl")
    assert status == 0, err
    exported = [json.loads(line) for line in Path("labels.jsonl").read_text().splitlines()]
    assert {row["reference"] for row in exported} == {"It is \\boxed{7}"}


def test_a_task_of_a_judge_needs_none_without_labels(workshop: Workshop) -> None:
    write(workshop, None)
    path = workshop.folder / "sums" / "task.yaml"
    path.write_text(path.read_text().replace("scorer: math_equal", "scorer: rubric"))
    out, _, _ = run(workshop)
    assert "unlabelled" in out
    assert "What can be told" not in out, "there is no final answer to compare"


def test_checking_an_unlabelled_task_finds_no_fault(workshop: Workshop) -> None:
    write(workshop, None)
    status, out, _ = workshop.run("check", "./sums")
    assert status == 0
    assert len(re.findall("skipped +the task is unlabelled", out)) == 4
