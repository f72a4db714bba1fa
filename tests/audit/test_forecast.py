"""The predicted gain of training, worked out by hand and against its definition."""

from __future__ import annotations

from math import isnan, sqrt
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cat_bench.audit.forecast import Pairs, Scored, best_of_n, forecast, rate

SCORES = st.sampled_from([0.0, 0.25, 0.5, 1.0])
REWARDS = st.sampled_from([-1.0, 0.0, 0.5, 2.0])
GROUPS = st.lists(st.lists(st.tuples(REWARDS, SCORES), max_size=6), min_size=1, max_size=6)


def groups(*listed: Pairs) -> list[Scored]:
    return [Scored(pairs, f"q{number}") for number, pairs in enumerate(listed)]


def test_gold_reaches_the_best_of_each_group() -> None:
    found = forecast(groups([(1, 1), (0, 0), (0, 0), (0, 0)], [(1, 1), (1, 1)], [(0, 0), (0, 0)]))
    assert found.mean == pytest.approx((2 - 1.25) / 3)
    assert found.low <= found.mean <= found.high


def test_the_opposite_of_gold_loses_what_there_is() -> None:
    found = forecast(groups([(0, 1), (1, 0)], [(0, 1), (0, 1)]))
    assert found.mean == pytest.approx(-0.75)


def test_a_reward_without_advantages_gains_nothing() -> None:
    silent = groups([(7, 1), (7, 0)], [(7, 0), (7, 0)])
    assert forecast(silent).mean == 0
    assert best_of_n(silent[0].pairs) == 0


def test_one_wrong_rollout_among_the_rewarded() -> None:
    """Advantages 1, 1, -1, -1 beside gold's √3, -1/√3, …: a rate of 1/4 beside √3/4."""
    pairs = [(1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (0.0, 0.0)]
    assert rate(pairs) == pytest.approx(1 / 4)
    assert forecast(groups(pairs)).mean == pytest.approx(1 / sqrt(3) * 3 / 4)
    assert best_of_n(pairs) == pytest.approx(1 / 2 - 1 / 4)


def test_equal_scores_everywhere_tell_nothing() -> None:
    assert isnan(forecast(groups([(1, 0), (0, 0)])).mean)
    assert isnan(forecast([]).mean)
    assert best_of_n([]) is None


@given(GROUPS)
def test_is_the_definition(listed: list[list[tuple[float, float]]]) -> None:
    def slope(pairs: list[tuple[float, float]], by: int) -> float:
        given = [pair[by] for pair in pairs]
        scores = [score for _, score in pairs]
        spread = pstdev(given)
        if spread < 1e-9:
            return 0.0
        means = fmean(given), fmean(scores)
        return (
            fmean((g - means[0]) * (s - means[1]) for g, s in zip(given, scores, strict=True))
            / spread
        )

    there = [pairs for pairs in listed if pairs]
    found = forecast(groups(*listed)).mean
    gold = sum(slope(pairs, 1) for pairs in there)
    if gold < 1e-9:
        assert isnan(found)
        return
    aligned = sum(slope(pairs, 0) for pairs in there) / gold
    means = [fmean(score for _, score in pairs) for pairs in there]
    tops = [max(score for _, score in pairs) for pairs in there]
    room = fmean(tops) - fmean(means) if aligned >= 0 else fmean(means)
    assert found == pytest.approx(aligned * room, abs=1e-9)
    assert -1 - 1e-9 <= aligned <= 1 + 1e-9


@given(st.lists(st.tuples(REWARDS, SCORES), min_size=1, max_size=6))
def test_best_of_n_shares_ties(pairs: list[tuple[float, float]]) -> None:
    top = max(reward for reward, _ in pairs)
    chosen = [score for reward, score in pairs if reward == top]
    assert best_of_n(pairs) == pytest.approx(fmean(chosen) - fmean(s for _, s in pairs))
