"""The numbers of a run against hand-computed ones."""

from __future__ import annotations

import os
import subprocess
import sys
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cat_bench.errors import DataError, UnknownName
from cat_bench.evaluation.rows import ScoreRow
from cat_bench.report import COLUMNS, summarise
from cat_bench.stats.intervals import mean_interval, paired_difference
from tests.report.conftest import WARNINGS_FAIL

if TYPE_CHECKING:
    from tests.report.conftest import Runs

pytestmark = WARNINGS_FAIL


def row(table: pd.DataFrame, name: str, n: int) -> dict[str, Any]:
    found = table[(table["method"] == name) & (table["n"] == n)].to_dict("records")
    assert len(found) == 1
    return {str(key): value for key, value in found[0].items()}


def test_a_question_is_the_mean_of_its_draws_weighted_by_what_was_scored(
    runs: Runs,
) -> None:
    """q0: (1 * 1 + 0.5 * 0.4) / 1.5 = 0.8; q1: one draw of two was scored, 0.2; q2: none was."""
    rows = [
        ScoreRow(question="q0", method="cat", n=2, draw=0, score=1.0, calls=3),
        ScoreRow(question="q0", method="cat", n=2, draw=1, score=0.4, lost=0.5, calls=5),
        ScoreRow(question="q1", method="cat", n=2, draw=0, score=0.2, calls=3),
        ScoreRow(question="q1", method="cat", n=2, draw=1, failed="timeout: slow", calls=3),
        ScoreRow(question="q2", method="cat", n=2, draw=0, failed="timeout: slow", calls=2),
    ]
    found = row(summarise(runs.build(rows)), "cat", 2)
    assert found["score"] == pytest.approx(0.5)
    assert found["se"] == pytest.approx(0.3)  # sd of (0.8, 0.2) is 0.3 * sqrt 2
    assert (found["questions"], found["unscored"], found["failed"]) == (2, 1, 2)
    assert found["lost"] == pytest.approx((0.25 + 0.5 + 1) / 3)
    assert found["calls"] == pytest.approx((4 + 3 + 2) / 3)
    assert found["draws"] == pytest.approx(5 / 3)


def test_shares_and_the_score_if_a_fallback_counted_0(runs: Runs) -> None:
    rows = [
        ScoreRow(question="q0", method="pick", n=2, draw=0, score=1.0, fallback="named none"),
        ScoreRow(question="q0", method="pick", n=2, draw=1, score=0.5),
        ScoreRow(
            question="q1", method="pick", n=2, draw=0, score=0.0, abstained=1.0, fallback="why"
        ),
    ]
    found = row(summarise(runs.build(rows)), "pick", 2)
    assert found["score"] == pytest.approx((0.75 + 0) / 2)
    assert found["score_fallback_0"] == pytest.approx((0.25 + 0) / 2)
    assert found["fallback"] == pytest.approx(0.25)  # an abstention is no fallback
    assert found["abstained"] == pytest.approx(0.5)


def test_pairs_are_the_questions_that_both_scored(runs: Runs) -> None:
    """q1 is unscored for one side, q3 absent from the other: the differences are 0.5 and 0.1."""
    rows = [
        *runs.scores("majority", 2, [0.5, 1.0, 0.3, 1.0]),
        *runs.scores("cat", 2, [1.0, None, 0.4]),
    ]
    found = row(summarise(runs.build(rows)), "cat", 2)
    assert found["score"] == pytest.approx(0.7)
    assert found["reference"] == "majority"
    assert found["diff"] == pytest.approx(0.3)
    expected = paired_difference([1.0, 0.4], [0.5, 0.3])
    assert (found["diff_low"], found["diff_high"]) == (expected.low, expected.high)
    assert -1 <= expected.low < 0.3 < expected.high <= 1
    assert found["p"] == expected.p


def test_every_row_names_what_it_is_compared_with(runs: Runs) -> None:
    values = {1: [0.0, 0.4, 0.8, 1.0], 2: [0.1, 0.4, 0.9, 1.0]}
    rows = [
        *(r for n in (1, 2) for r in runs.scores("majority", n, values[n])),
        *(r for n in (1, 2) for r in runs.scores("single", n, values[1])),
        *(r for n in (1, 2) for r in runs.scores("cat", n, values[2])),
        *(r for n in (1, 2) for r in runs.scores("oracle", n, [1.0] * 4)),
        *runs.scores("greedy", 0, [0.5] * 4),
        *runs.scores("cat-1", 1, values[1]),
    ]
    methods = [
        "single",
        runs.method("greedy", budgets=[0]),
        "majority",
        "cat",
        runs.method("cat-1", budgets=[1]),
    ]
    table = summarise(runs.build(rows, methods))
    against = {(r["method"], r["n"]): r["reference"] for r in table.to_dict("records")}
    assert against[("cat", 1)] == against[("cat", 2)] == against[("single", 2)] == "majority"
    assert against[("greedy", 0)] == against[("cat-1", 1)] == "majority@2"
    assert row(table, "cat-1", 1)["diff"] == pytest.approx(-0.05)
    assert row(table, "greedy", 0)["diff_single"] == pytest.approx(-0.05)
    assert pd.isna(against[("majority", 2)])
    assert pd.isna(row(table, "majority", 2)["diff"])
    assert pd.isna(row(table, "single", 2)["diff_single"])
    for name in ("single", "oracle"):
        found = row(table, name, 2)
        assert found["kind"] == "frame"
        assert not pd.isna(found["diff"])
        assert pd.isna(found["p"])
        assert pd.isna(found["p_single"])


def test_without_majority_the_reference_is_a_single_rollout(runs: Runs) -> None:
    rows = [
        *runs.scores("single", 1, [0.2, 0.4]),
        *runs.scores("single", 2, [0.2]),
        *runs.scores("cat", 2, [0.6]),
        *runs.scores("greedy", 0, [1.0, 0.0]),
    ]
    table = summarise(runs.build(rows, ["single", runs.method("greedy", budgets=[0]), "cat"]))
    assert row(table, "cat", 2)["reference"] == "single"
    greedy = row(table, "greedy", 0)
    assert greedy["reference"] == "single@1"
    assert greedy["diff"] == greedy["diff_single"] == pytest.approx(0.2)


def test_holm_covers_the_methods_each_at_its_largest_n(runs: Runs) -> None:
    """All of 8 questions differ one way: p = 2 / 2^8; of 6 that differ, 2 / 2^6."""
    zeros = [0.0] * 8
    rows = [
        *(r for n in (1, 2) for r in runs.scores("majority", n, zeros)),
        *(r for n in (1, 2) for r in runs.scores("strong", n, [1.0] * 8)),
        *(r for n in (1, 2) for r in runs.scores("weak", n, [1.0] * 6 + [0.0] * 2)),
        *(r for n in (1, 2) for r in runs.scores("oracle", n, [1.0] * 8)),
    ]
    table = summarise(runs.build(rows))
    strong, weak = row(table, "strong", 2), row(table, "weak", 2)
    assert (strong["p"], weak["p"]) == pytest.approx((2 / 2**8, 2 / 2**6))
    assert (strong["p_holm"], weak["p_holm"]) == pytest.approx((4 / 2**8, 2 / 2**6))
    assert pd.isna(row(table, "strong", 1)["p_holm"])
    assert pd.isna(row(table, "oracle", 2)["p_holm"])


def test_holm_leaves_out_the_reference_at_its_smaller_budgets(runs: Runs) -> None:
    rows = [
        *(r for n in (1, 2) for r in runs.scores("majority", n, [0.0] * 7 + [n / 2])),
        *(r for n in (1, 2) for r in runs.scores("strong", n, [1.0] * 8)),
    ]
    table = summarise(runs.build(rows), reference="majority@2")
    assert pd.notna(row(table, "majority", 1)["p"])
    assert pd.isna(row(table, "majority", 1)["p_holm"])
    assert row(table, "strong", 2)["p_holm"] == row(table, "strong", 2)["p"]


def test_questions_of_one_cluster_are_one_unit(runs: Runs) -> None:
    """Two clusters with residual sums 1 and -1: SE = sqrt(2 / 1 * 2) / 4 = 0.5."""
    values = [1.0, 1.0, 0.0, 0.0]
    rows = [
        ScoreRow(question=f"q{i}", cluster="ab"[i // 2], method="vote", n=1, score=value)
        for i, value in enumerate(values)
    ]
    found = row(summarise(runs.build(rows)), "vote", 1)
    assert found["se"] == pytest.approx(sqrt(2 * 2) / 4)
    expected = mean_interval(values, clusters=["a", "a", "b", "b"])
    assert (found["ci_low"], found["ci_high"]) == (expected.low, expected.high)


def test_a_mean_of_graded_scores_is_brought_into_0_to_1(runs: Runs) -> None:
    found = row(summarise(runs.build(runs.scores("cat", 1, [-0.5, 0.1]))), "cat", 1)
    assert (found["score"], found["ci_low"]) == (0.0, 0.0)


def test_a_method_that_is_not_available_is_one_row_with_its_reason(runs: Runs) -> None:
    methods = ["vote", runs.method("judged", reason="no judge was given"), "later"]
    rows = [*runs.scores("vote", 1, [1.0]), *runs.scores("judged", 1, [1.0])]
    table = summarise(runs.build(rows, methods))
    assert list(table["method"]) == ["vote", "judged", "later"]
    assert list(table["n"].isna()) == [False, True, True]
    assert list(table["reason"])[1:] == ["no judge was given", "no question has enough rollouts"]


def test_a_method_whose_every_question_is_unscored_has_no_score(runs: Runs) -> None:
    rows = [*runs.scores("cat", 2, [None, None]), *runs.scores("majority", 2, [1.0, 0.0])]
    found = row(summarise(runs.build(rows)), "cat", 2)
    assert (found["questions"], found["unscored"]) == (0, 2)
    assert all(pd.isna(found[name]) for name in ("score", "se", "ci_low", "diff", "p", "flag"))


def test_a_run_without_rows_is_a_table_of_reasons(runs: Runs) -> None:
    table = summarise(runs.build([], [runs.method("cat", reason="no anchor was given")]))
    assert list(table["reason"]) == ["no anchor was given"]
    assert list(table.columns) == list(COLUMNS)


def test_the_order_of_rows_leaves_no_trace(runs: Runs) -> None:
    rng = np.random.default_rng(0)
    rows = [
        ScoreRow(
            question=f"q{i}", method=m, n=n, draw=d, score=float(rng.random()), calls=rng.random()
        )
        for i in range(12)
        for m in ("cat", "majority")
        for n in (1, 2)
        for d in range(3)
    ]
    shuffled = [rows[index] for index in rng.permutation(len(rows))]
    one, other = (summarise(runs.build(r, name=name)) for r, name in ((rows, "a"), (shuffled, "b")))
    assert one.to_csv() == other.to_csv()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no readable run\.json"):
        summarise(tmp_path)


def test_the_numbers_need_no_plotting_library() -> None:
    code = "import cat_bench.report, sys; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "False"


def test_any_method_can_be_the_reference(runs: Runs) -> None:
    rows = [
        *(r for n in (1, 2) for r in runs.scores("majority", n, [0.0, 0.5])),
        *(r for n in (1, 2) for r in runs.scores("cat", n, [0.5, 0.5 * n])),
        *runs.scores("greedy", 0, [1.0, 1.0]),
    ]
    folder = runs.build(rows, ["majority", "cat", runs.method("greedy", budgets=[0])])
    table = summarise(folder, reference="cat")
    assert row(table, "majority", 2)["diff"] == pytest.approx(-0.5)
    assert row(table, "majority", 1)["reference"] == "cat"
    assert row(table, "greedy", 0)["reference"] == "cat@2"
    fixed = summarise(folder, reference="cat@1")
    assert set(fixed["reference"].dropna()) == {"cat@1", "cat"}
    assert row(fixed, "cat", 2)["diff"] == pytest.approx(0.25)
    assert pd.isna(row(fixed, "cat", 1)["diff"])
    for name in ("cats", "cat@3"):
        with pytest.raises(UnknownName, match="Did you mean 'cat'"):
            summarise(folder, reference=name)


def test_new_rollouts_are_told_from_draws_that_share_none(runs: Runs) -> None:
    """q0's two disjoint draws differ by 1: variance 0.5, of their mean 0.25; q1's agree.

    The draw that reads slots 1 and 2 again counts in the mean alone. SE = sqrt(0.25 + 0) / 2.
    """
    draws = {"q0": (1.0, 0.0, 1.0), "q1": (1.0, 1.0, 1.0)}
    slots = ((0, 1), (3, 2), (1, 2))
    rows = [
        ScoreRow(question=q, method="cat", n=2, draw=k, score=value, slots=slots[k])
        for q, values in draws.items()
        for k, value in enumerate(values)
    ]
    rows += runs.scores("one", 2, [1.0, 0.0], draw=0, slots=(0, 1))
    rows += runs.scores("vote", 1, [1.0, 0.0], rollout_var=0.02)
    table = summarise(runs.build(rows))
    assert row(table, "cat", 2)["se_rollouts"] == pytest.approx(0.25)
    assert row(table, "vote", 1)["se_rollouts"] == pytest.approx(0.1)
    assert pd.isna(row(table, "one", 2)["se_rollouts"])


def test_draws_that_agree_are_not_exact_unless_all_subsets_were_drawn(runs: Runs) -> None:
    rows = [
        *(r for k in range(2) for r in runs.scores("two of six", 2, [1.0], draw=k, subsets=6.0)),
        *(r for k in range(6) for r in runs.scores("all of six", 2, [1.0], draw=k, subsets=6.0)),
        *(r for k in range(2) for r in runs.scores("any", 2, [1.0], draw=k)),
        *runs.scores("orders that agree", 2, [1.0], draw_se=0.0),
        *runs.scores("expectation", 2, [1.0]),
    ]
    table = summarise(runs.build(rows)).set_index("method")["exact"].to_dict()
    assert {name for name, exact in table.items() if exact == 1} == {"all of six", "expectation"}


@pytest.mark.parametrize("role", ["policy", "anchor", "judge"])
def test_tokens_are_unknown_where_a_role_sends_no_counts(role: str, runs: Runs) -> None:
    counted = {f"{name}_tokens": 50.0 for name in ("policy", "anchor", "judge") if name != role}
    calls = dict.fromkeys(("policy_calls", "anchor_calls", "judge_calls"), 1.0)
    table = summarise(runs.build(runs.scores("cat", 2, [1.0, 0.0], **calls, **counted)))
    assert pd.isna(row(table, "cat", 2)["completion_tokens"])


def test_a_difference_says_how_many_questions_would_settle_it(runs: Runs) -> None:
    """Differences 0.5 and -0.25: mean 0.125, sd 0.5303; (2.8016 * 0.5303 / 0.125)^2 = 141.3."""
    rows = [*runs.scores("majority", 1, [0.5, 0.5]), *runs.scores("cat", 1, [1.0, 0.25])]
    found = row(summarise(runs.build(rows)), "cat", 1)
    assert found["questions_needed"] == 142


def test_what_lies_beyond_the_budgets_is_no_row(runs: Runs) -> None:
    rows = [row for n in (1, 2, 4) for row in runs.scores("vote", n, [1.0])]
    config = {"task": "sums", "model": "tiny", "pool": 8, "budgets": [1, 2]}
    rows += runs.scores("greedy", 0, [1.0])
    folder = runs.build(rows, ["vote", runs.method("greedy", budgets=[0])], config=config)
    assert list(summarise(folder)["n"]) == [1, 2, 0]


def test_what_exhausted_the_grader_counts_0_and_the_score_without_it_is_told(runs: Runs) -> None:
    """In a pool where 3 of 8 are right and 2 exhaust the grader: 37.5 %, and 50 % without them."""
    rows = [
        ScoreRow(question="q0", method="single", n=1, score=0.375, exhausted=0.25),
        ScoreRow(question="q1", method="single", n=1, score=0.0, exhausted=1.0),
    ]
    found = row(summarise(runs.build(rows)), "single", 1)
    assert found["score"] == pytest.approx(0.375 / 2)
    assert found["exhausted"] == pytest.approx((0.25 + 1) / 2)
    assert found["score_exhausted_out"] == pytest.approx(0.5)
    assert found["unscored"] == 0
