"""Mutated formulations: a small run of the tool, its rules, and the committed result."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from cat_bench.bundled.mini_or.problems import problems
from tools.mini_or.mutants import COUNT, Mutant, differ, main, mutants

ROOT = Path(__file__).parents[3]
RESULT = ROOT / "results" / "mini-or" / "mutants"


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_formulation_is_judged_or_refused_with_its_line(seed: int) -> None:
    for each in mutants(100, seed=seed):
        if each.verdict["verdict"] in ("unreadable", "unsupported"):
            assert str(each.verdict["reason"]).startswith("line "), each
            assert not each.right
        else:
            assert each.solved, each


def test_an_unchanged_formulation_is_right_and_another_optimum_is_not() -> None:
    problem = next(iter(problems(1)))
    text = problem.formulation()
    for verdict, words in (
        ({"verdict": "optimal", "objective": problem.optimum}, "solved: right, unchanged"),
        ({"verdict": "optimal", "objective": problem.optimum + 1}, "solved: another optimum"),
        ({"verdict": "infeasible"}, "solved: another optimum"),
        ({"verdict": "unreadable", "reason": "line 1: "}, "unreadable"),
    ):
        assert Mutant(problem, text, same=True, verdict=verdict).outcome.startswith(words)


def test_verdicts_that_contradict_each_other_differ() -> None:
    six, seven = ({"verdict": "optimal", "objective": value} for value in (6, 7))
    assert differ(six, seven)
    assert differ({"verdict": "unbounded"}, {"verdict": "infeasible"})
    assert not differ(six, {"verdict": "optimal", "objective": 6 + 1e-9})
    assert not differ({"verdict": "unbounded"}, {"verdict": "primal infeasible or unbounded"})


def test_a_small_run_counts_every_formulation(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--out", str(tmp_path), "--count", "60"])
    assert done.exit_code == 0, done.output
    counts = pd.read_csv(tmp_path / "verdicts.csv").set_index("outcome")["formulations"]
    assert counts.filter(regex="^(solved|unreadable|unsupported|undecided)").sum() == 60
    assert (tmp_path / "differences.jsonl").is_file()


def test_the_page_has_the_committed_figures() -> None:
    counts = pd.read_csv(RESULT / "verdicts.csv").set_index("outcome")["formulations"]
    verdicts = counts.iloc[:-2]
    assert verdicts.sum() == COUNT
    page = (ROOT / "docs" / "operations-research.md").read_text()
    solved = verdicts.filter(like="solved").sum()
    right = verdicts.filter(like="right").sum()
    for figure, words in (
        (counts["unreadable"], "were unreadable"),
        (counts["unsupported"], "unsupported"),
        (solved, "solved"),
        (right, "had the right optimum"),
        (counts["solved: right, unchanged"], "of them because the change left the text as it was"),
    ):
        assert f"{figure:,} {words}" in page, words
    lines = (RESULT / "differences.jsonl").read_text().splitlines()
    assert len(lines) == counts["where both readers differ"]
