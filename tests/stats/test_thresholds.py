"""Rules at many thresholds: as the exact expectation of each of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cat_bench.stats.stopping import Rule, expect_stop
from cat_bench.stats.stopping_rules import bayes_factor, beta, majority_share
from cat_bench.stats.stopping_windows import expect_windows
from cat_bench.stats.thresholds import (
    Statistic,
    bayes_odds,
    beta_chance,
    replay_thresholds,
    replay_window_sizes,
    top_share,
)
from cat_bench.stats.vote_paths import Pooled, VotePaths

FAMILIES: dict[str, tuple[Statistic, Callable[[float], Rule], list[float]]] = {
    "beta": (beta_chance, beta, [0.7, 0.85, 0.95]),
    "majority": (top_share, majority_share, [0.5, 0.8, 1.0]),
    "bayes": (bayes_odds, bayes_factor, [2.0, 5.0, 20.0]),
}
labels = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=6, max_size=9)
ORDERS = 3_000


def paths_of(given_labels: list[str | None]) -> tuple[Pooled, VotePaths]:
    right = np.array([label == "a" for label in given_labels], dtype=float)
    pool = Pooled(given_labels, right, np.arange(1.0, len(given_labels) + 1))
    return pool, VotePaths.of(pool, rng=np.random.default_rng(0), count=ORDERS, last=6)


@pytest.mark.parametrize("family", FAMILIES)
@given(labels)
@settings(max_examples=15, deadline=None)
def test_each_threshold_is_the_exact_rule(family: str, given_labels: list[str | None]) -> None:
    statistic, rule, thresholds = FAMILIES[family]
    pool, paths = paths_of(given_labels)
    curve = replay_thresholds(paths, statistic, thresholds)
    for k, threshold in enumerate(thresholds):
        exact = expect_stop(given_labels, [6], rule(threshold), tokens=pool.tokens)
        assert curve.score[k] == pytest.approx(exact.picks[0] @ pool.worth, abs=0.05)
        assert curve.samples[k] == pytest.approx(exact.drawn[0].sum(), abs=0.25)
        assert curve.tokens[k] == pytest.approx(exact.sequential[0], rel=0.06)


@given(labels)
@settings(max_examples=15, deadline=None)
def test_each_window_is_the_exact_rule(given_labels: list[str | None]) -> None:
    pool, paths = paths_of(given_labels)
    curve = replay_window_sizes(paths, [2, 3, 4])
    for k, window in enumerate((2, 3, 4)):
        exact = expect_windows(given_labels, [6], window=window, tokens=pool.tokens)
        assert curve.score[k] == pytest.approx(exact.picks[0] @ pool.worth, abs=0.05)
        assert curve.samples[k] == pytest.approx(exact.drawn[0].sum(), abs=0.25)
        assert curve.sequential[k] == pytest.approx(exact.sequential[0], rel=0.06)


def test_a_higher_threshold_never_stops_sooner() -> None:
    _, paths = paths_of(["a", "a", "a", "b", "b", None, "c", "a", "a"])
    for statistic, _, thresholds in FAMILIES.values():
        samples = replay_thresholds(paths, statistic, thresholds).samples
        assert (np.diff(samples) >= 0).all()
