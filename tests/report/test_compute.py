"""Scores against costs, by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import log2
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cat_bench.errors import UsageError
from cat_bench.evaluation.rows import RolloutRow, ScoreRow
from cat_bench.models.costs import Price
from cat_bench.report.compute import Rates, compute, equal_tokens, render_compute
from cat_bench.report.reference_curve import Curve
from cat_bench.runs.folder import read_record
from tests.report.conftest import WARNINGS_FAIL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.report.conftest import Runs

pytestmark = WARNINGS_FAIL


def usual(runs: Runs, *, dear: float = 1.0) -> Path:
    """Majority at 110, 220 and 440 tokens; cat@2 at 220 and 90 of its own, prompts shared by 10."""

    def cost(n: int, own: float = 0.0) -> dict[str, float]:
        return {
            "calls": n + (own > 0),
            "prompt_tokens": 10.0 * n,
            "shared_prompt_tokens": 10.0,
            "completion_tokens": 100.0 * n + own,
            "policy_tokens": 110.0 * n,
            "policy_completion_tokens": 100.0 * n,
            "anchor_tokens": own,
            "anchor_completion_tokens": own,
        }

    majority = {1: [0.0, 0.5], 2: [0.5, 0.5], 4: [1.0, 0.5]}
    rows: list[ScoreRow] = []
    for n, values in majority.items():
        rows += runs.scores("single", n, [0.0, 0.5], **cost(n))
        rows += runs.scores("majority", n, values, **cost(n))
        rows += runs.scores("oracle", n, [1.0, 1.0], **cost(n))
    rows += runs.scores("cat", 2, [1.0, 0.75], **cost(2, 90.0 * dear))
    config = {"task": "sums", "model": "hf:tiny", "anchor": "big", "judge": None, "pool": 4}
    return runs.build(rows, ["single", "majority", "cat"], config=config | {"budgets": [1, 2]})


def row(table: pd.DataFrame, method: str, n: int) -> dict[str, Any]:
    found = table[(table["method"] == method) & (table["n"] == n)].to_dict("records")
    assert len(found) == 1
    return {str(key): value for key, value in found[0].items()}


def test_the_reference_is_met_on_its_own_curve_at_the_same_tokens(runs: Runs) -> None:
    """cat@2 costs 310, log2(310 / 220) of the way from majority@2 to majority@4, beyond n = 2."""
    found = row(compute(usual(runs)), "cat", 2)
    share = log2(310 / 220)
    assert found["tokens"] == 310
    assert found["matched_n"] == pytest.approx(2 * 2**share)
    assert found["matched_score"] == pytest.approx(0.5 + share * 0.25)
    assert found["diff"] == pytest.approx(0.875 - 0.5 - share * 0.25)
    shared = log2(300 / 210) / log2(410 / 210)
    assert found["shared_diff"] == pytest.approx(0.875 - 0.5 - shared * 0.25)


@pytest.mark.parametrize(("cost", "n"), [(100.0, 1), (100.0 * (1 + 1e-12), 1), (200.0, 2)])
def test_at_one_of_its_budgets_the_curve_is_that_budget(cost: float, n: int) -> None:
    """The second question has no value at the larger one."""
    values = [np.array([0.5, 1.0]), np.array([1.0, np.nan])]
    match = Curve((1, 2), (100.0, 200.0), values).at(cost)
    assert match is not None
    assert match.n == n
    assert match.values.tolist() == pytest.approx(values[n - 1].tolist(), nan_ok=True)


def test_a_curve_that_reaches_a_cost_several_times_has_no_value_there() -> None:
    """The larger budgets are those of fewer questions, whose texts are short."""
    values = [np.array([float(k)]) for k in range(4)]
    curve = Curve((1, 2, 4, 8), (100.0, 300.0, 200.0, 400.0), values)
    assert curve.at(250.0) is None
    for cost, low in ((150.0, 0), (350.0, 2)):
        match = curve.at(cost)
        assert match is not None
        assert low < match.values[0] < low + (1 if low == 2 else 2)
    (met,) = [match for match in [curve.at(300.0)] if match]
    assert met.n == 2


def test_a_majority_is_exact_at_the_fewest_rollouts_that_cost_as_much(runs: Runs) -> None:
    """cat costs 250 and majority 100 a rollout, so that it votes over 3 of 4: by enumeration."""
    pools: dict[str, list[int | None]] = {"q0": [7, 7, 1, 2], "q1": [1, 1, 7, None]}
    rollouts = [
        RolloutRow(question=name, slot=k, digest=f"{k}", cluster=each, score=float(each == 7))
        for name, clusters in pools.items()
        for k, each in enumerate(clusters)
    ]

    def vote(clusters: Sequence[int | None]) -> float:
        counts = Counter(cluster for cluster in clusters if cluster is not None)
        best = [cluster for cluster, count in counts.items() if count == max(counts.values())]
        return best.count(7) / max(len(best), 1)

    def value(name: str, n: int) -> float:
        return fmean(vote(subset) for subset in combinations(pools[name], n))

    def row_of(name: str, method: str, n: int, score: float, tokens: float) -> ScoreRow:
        found = ScoreRow(question=name, method=method, n=n, score=score, calls=1)
        return replace(found, completion_tokens=tokens, policy_tokens=tokens)

    rows = [row_of(q, "majority", n, value(q, n), 100.0 * n) for q in pools for n in (1, 2, 4)]
    rows += [row_of(q, "cat", 2, 1.0, 250.0) for q in pools]
    found = row(compute(runs.build(rows, ["majority", "cat"], pool=rollouts)), "cat", 2)
    assert found["matched_n"] == 3
    assert found["matched_score"] == pytest.approx(fmean(value(q, 3) for q in pools))
    assert found["diff"] == pytest.approx(1 - fmean(value(q, 3) for q in pools))


def test_beyond_the_curve_nothing_is_extrapolated(runs: Runs) -> None:
    folder = usual(runs, dear=10)
    assert pd.isna(row(compute(folder), "cat", 2)["diff"])
    assert equal_tokens(folder, "cat") == {2: None}
    assert "not reached" in render_compute(compute(folder), read_record(folder))


@pytest.mark.parametrize(("tokens", "words"), [(150.0, "not reached"), (50.0, "below")])
def test_outside_of_the_curve_it_says_on_which_side(runs: Runs, tokens: float, words: str) -> None:
    """Majority was run at n = 1 alone, for 100 tokens."""
    rows = [
        *runs.scores("majority", 1, [1.0, 0.0], calls=1, completion_tokens=100, policy_tokens=100),
        *runs.scores("greedy", 0, [1.0, 0.0], calls=1, completion_tokens=tokens, policy_tokens=50),
    ]
    folder = runs.build(rows, ["majority", runs.method("greedy", budgets=[0])])
    text = render_compute(compute(folder), read_record(folder))
    greedy = next(line for line in text.splitlines() if line.startswith("| greedy"))
    assert greedy.count(words) == 2


def test_what_no_other_beats_for_its_tokens_is_the_front(runs: Runs) -> None:
    """majority@4 is as good as 0.75 for 440, cat@2 better for 310; single@1 ties majority@1."""
    table = compute(usual(runs))
    front = [(r["method"], r["n"]) for r in table[table["front"]].to_dict("records")]
    assert front == [("single", 1), ("majority", 1), ("majority", 2), ("cat", 2)]


def gap(runs: Runs, *, questions: int, ceiling: float) -> pd.DataFrame:
    """Half of the questions 0, 1 and the ceiling by the three methods, half 0.5, 0.75 and that."""
    pairs = {"single": [0.0, 0.5], "cat": [1.0, 0.75], "oracle": [ceiling, ceiling]}
    rows = [r for m, pair in pairs.items() for r in runs.scores(m, 2, pair * questions)]
    return compute(runs.build(rows, ["single", "cat"], name=f"{questions} {ceiling}"))


def test_the_gap_from_floor_to_ceiling_has_an_interval(runs: Runs) -> None:
    """Single 0.25, oracle 1, cat 0.875: five sixths of the way."""
    table = gap(runs, questions=20, ceiling=1.0)
    found = row(table, "cat", 2)
    assert found["gap_closed"] == pytest.approx(5 / 6)
    assert 0.7 < found["gap_low"] < 5 / 6 < found["gap_high"] < 0.95
    closed = table.set_index("method")["gap_closed"]
    assert closed.isna().to_dict() == {"single": True, "cat": False, "oracle": True}
    record = {"config": {"task": "sums", "model": "tiny", "pool": 8, "budgets": [2]}}
    low, high = (f"{100 * found[name]:.1f}" for name in ("gap_low", "gap_high"))
    assert f"83.3 [{low}, {high}]" in render_compute(table, record)


def test_of_a_gap_that_may_be_nothing_no_share_is_told(runs: Runs) -> None:
    assert pd.isna(row(gap(runs, questions=1, ceiling=1.0), "cat", 2)["gap_closed"])
    assert pd.isna(row(gap(runs, questions=20, ceiling=0.25), "cat", 2)["gap_closed"])


def test_flops_and_money_are_tokens_at_a_rate(runs: Runs) -> None:
    """20 tokens read and 200 written by tiny, 90 written by big."""
    prices = {"tiny": Price(1.0, 2.0), "big": Price(10.0, 20.0)}
    found = row(compute(usual(runs), rates=Rates(1e9, prices)), "cat", 2)
    assert found["flops"] == pytest.approx(2e9 * 310)
    assert found["shared_flops"] == pytest.approx(2e9 * 300)
    assert found["money"] == pytest.approx((20 * 1 + 200 * 2 + 90 * 20) / 1e6)


def test_a_pool_without_token_counts_is_met_by_nobody(runs: Runs) -> None:
    rows = [row for n in (1, 2) for row in runs.scores("majority", n, [0.0, 0.5])]
    rows = [*rows, *runs.scores("best", 2, [1.0, 0.5])]
    rows = [replace(row, prompt_tokens=0.0, completion_tokens=0.0) for row in rows]
    folder = runs.build(rows)
    table = compute(folder)
    assert table[["tokens", "diff"]].isna().to_numpy().all()
    assert not table["front"].any()
    assert "unknown" in render_compute(table, read_record(folder))


def test_a_model_without_a_price_is_named(runs: Runs) -> None:
    with pytest.raises(UsageError, match="no price of 'big'"):
        compute(usual(runs), rates=Rates(prices={"tiny": Price(1.0, 2.0)}))
