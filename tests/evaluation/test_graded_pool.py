"""What picks among a pool's graded rollouts are worth, against sums by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cat_bench.evaluation.graded_pool import GradedPool, variances
from cat_bench.types.calls import Failure
from cat_bench.types.records import Score
from tests import toy

POOL = toy.pool("a", "b", "c", "d", "e")
SCORES = {
    "a": Score(1.0, details={"parts": {"x": 1.0}}),
    "b": Score(0.5, details={"parts": {"x": 0.0, "y": 1.0}}),
    "c": Score(None, "the judge is out"),
    "d": Score(0.0, details={"parts": {"y": 0.0}}),
    "e": Score(0.0),
}
GRADED = GradedPool(POOL, SCORES, dict.fromkeys(range(5)))


@given(st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any))
def test_worth_is_the_mean_over_the_scored_mass(shares: list[int]) -> None:
    weights = np.array(shares) / sum(shares)
    (fields,) = GRADED.score_picks([weights])
    there = [i for i, text in enumerate("abcde") if SCORES[text].value is not None]
    mass = weights[there].sum()
    assert fields["lost"] == pytest.approx(1 - mass)
    if math.isclose(mass, 0):
        assert (fields["score"], fields["failed"]) == (None, "unscored: the judge is out")
    else:
        known = [SCORES["abcde"[i]].value or 0.0 for i in there]
        assert fields["score"] == pytest.approx(float(weights[there] @ known) / mass)


def test_what_is_missing_of_a_row_of_weights_is_an_abstention() -> None:
    half, none = GRADED.score_picks([[0.5, 0, 0, 0, 0], [0.0] * 5])
    assert (half["score"], half["abstained"]) == (0.5, 0.5)
    assert (none["score"], none["abstained"]) == (0.0, 1.0)
    assert GRADED.abstention() == {
        "score": 0.0,
        "abstained": 1.0,
        "parts": ("x",),
        "part_scores": (0.0,),
    }


def test_picks_may_be_a_few_of_the_rollouts() -> None:
    (fields,) = GRADED.score_picks([[0.25, 0.75]], [POOL.rollouts[0], POOL.rollouts[3]])
    assert (fields["score"], fields["lost"]) == (0.25, 0.0)


def test_a_failure_for_good_has_no_place_in_the_plan() -> None:
    failures = {5: Failure("connection", "gone"), 6: Failure("context", "long", permanent=True)}
    graded = replace(GRADED, pool=replace(POOL, failures=failures))
    assert graded.order == [0, 1, 2, 3, 4, 5]
    assert graded.sampled.slots == 7
    assert graded.servable_budgets([1, 5, 6]) == [1, 5]


def test_quarters_are_disjoint_and_of_one_size() -> None:
    eight = replace(GRADED, pool=toy.pool(*"abdeabde"))
    slots = [[r.slot for r in part.rollouts] for part in eight.quarters]
    assert slots == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [part.values for part in eight.quarters] == [[1.0, 0.5], [0.0, 0.0]] * 2
    assert [part.rollouts for part in replace(GRADED, pool=toy.pool("a")).quarters] == [()] * 4


def test_variances_leave_out_what_a_part_cannot_serve() -> None:
    apart = [[value, math.nan] for value in (0.0, 1.0, 0.0, 1.0)]
    assert variances(apart, [1, 2]) == {1: pytest.approx(1 / 3 / 4)}


def test_an_answer_that_exhausted_the_grader_counts_0_and_its_share_is_told() -> None:
    pool = toy.pool("a", "b", "c", "d")
    scores = {
        "a": Score(1.0),
        "b": Score(0.0),
        "c": Score(None, "no reply"),
        "d": Score(0.0, "grading took more than 5 s", {"exhausted": True}),
    }
    (fields,) = GradedPool(pool, scores, {}).score_picks([[0.25] * 4])
    assert fields["score"] == pytest.approx(1 / 3)
    assert (fields["lost"], fields["exhausted"]) == (0.25, 0.25)
