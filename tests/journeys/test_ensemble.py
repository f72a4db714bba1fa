"""Several models' pools of one task, from files to a table."""

from __future__ import annotations

import json
from itertools import combinations
from statistics import fmean

import pytest

from tests.conftest import Workshop

ANSWERS = {
    "strong": ["1 1 1 2", "1 1 2 2", "1 1 1 1", "2 1 1 1", "1 2 2 -", "1 1 1 1"],
    "weak": ["2 2 1 -", "1 1 1 1", "2 2 1 1", "2 2 2 1", "1 1 1 2", "2 2 2 2"],
}
"""Each model's four answers to each of six questions, all of whose answers are 1."""


def _pool(answers: list[str]) -> str:
    rows = []
    for k, given in enumerate(answers):
        texts = ["" if a == "-" else f"\\boxed{{{a}}}" for a in given.split()]
        usage = [{"prompt": 0, "completion": 10 * (t + 1), "reasoning": 0} for t in range(4)]
        row = {"id": f"q{k}", "problem": f"Say {k}", "answer": "1", "responses": texts}
        rows.append(json.dumps(row | {"usage": usage}))
    return "\n".join(rows) + "\n"


@pytest.fixture
def runs(workshop: Workshop) -> Workshop:
    for model, answers in ANSWERS.items():
        (workshop.folder / f"{model}.jsonl").write_text(_pool(answers))
        pool = ("cache", "import", f"{model}.jsonl", "--task", f"pool:{model}", "--from", model)
        assert workshop.run(*pool)[0] == 0
        asked = ("run", f"pool:{model}", "--model", f"replay:{model}", "--method", "single")
        status, _, err = workshop.run(*asked, "--n", "1", "--out", model)
        assert status == 0, err
    return workshop


def test_the_table_has_the_mean_over_every_draw(runs: Workshop) -> None:
    status, out, err = runs.run("ensemble", "strong", "weak", "--n", "2", "--json")
    assert status == 0, err
    rows = {row["method"]: row for row in json.loads(out)}
    pairs = [
        fmean(_vote([a, b]) for a in strong.split() for b in weak.split())
        for strong, weak in zip(ANSWERS["strong"], ANSWERS["weak"], strict=True)
    ]
    assert rows["ensemble"]["score"] == pytest.approx(fmean(pairs), abs=1e-9)
    alone = [fmean(map(_vote, combinations(a.split(), 2))) for a in ANSWERS["strong"]]
    assert rows["replay:strong"]["score"] == pytest.approx(fmean(alone), abs=1e-9)
    assert rows["ensemble"]["tokens"] == pytest.approx(50)
    assert rows["ensemble"]["exact"] == 1
    assert set(rows) >= {"best member", "ensemble{weights=learnt}"}


def _vote(answers: tuple[str, ...] | list[str]) -> float:
    votes = [a for a in answers if a != "-"]
    top = {a for a in votes if votes.count(a) == max(map(votes.count, votes))}
    return ("1" in top) / len(top) if top else 0.0


def test_the_table_is_for_people_too(runs: Workshop) -> None:
    status, out, _ = runs.run("ensemble", "strong", "weak", "--n", "1,4", "--csv", "table.csv")
    assert status == 0
    assert "| ensemble{weights=learnt} " in out
    assert "n is the number of samples in all" in out
    assert (runs.folder / "table.csv").read_text().startswith("method,n,questions,score,")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("strong",), "two runs or more"),
        (("strong", "strong"), "the same folder"),
        (("strong", "weak", "--n", "5"), "n = 5 exceeds a pool: give an n from 1 to 4"),
        (("strong", "weak", "--n", "x"), "should be whole numbers"),
        (("strong", "other"), "did not ask the same questions"),
    ],
)
def test_what_makes_no_ensemble_is_said(
    runs: Workshop, arguments: tuple[str, ...], problem: str
) -> None:
    (runs.folder / "other.jsonl").write_text(_pool(ANSWERS["weak"][:5]))
    assert runs.run("cache", "import", "other.jsonl", "--task", "pool:other")[0] == 0
    asked = ("run", "pool:other", "--model", "replay:other", "--method", "single")
    assert runs.run(*asked, "--n", "1", "--out", "other")[0] == 0
    status, _, err = runs.run("ensemble", *arguments)
    assert status != 0
    assert problem in err
