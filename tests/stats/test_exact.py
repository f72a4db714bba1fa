"""Estimators against enumeration of every subset, and the traps of published code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations, permutations
from math import comb, inf, isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cat_bench.stats import wins
from cat_bench.stats.exact import (
    best_of_probabilities,
    draw_error,
    expected_score,
    majority_probabilities,
    max_at,
    min_at,
    tie_rate,
    uniform_probabilities,
)
from cat_bench.types.calls import FloatArray

Picked = Sequence[int]

tied_numbers = st.lists(st.sampled_from([0.0, 0.25, 1.0, nan]), min_size=1, max_size=8)
votes = st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=8)


def enumerated(pool: int, pick: Callable[[Picked], Picked]) -> FloatArray:
    """Pick probabilities at n = 1..pool when `pick` names the tied winners of each subset."""
    table = np.zeros((pool, pool))
    for n in range(1, pool + 1):
        for subset in combinations(range(pool), n):
            for winner in (winners := pick(subset)):
                table[n - 1, winner] += 1 / len(winners) / comb(pool, n)
    return table


def highest(signal: Sequence[float]) -> Callable[[Picked], Picked]:
    def pick(subset: Picked) -> Picked:
        known = [i for i in subset if not isnan(signal[i])]
        return [i for i in known if signal[i] == max(signal[j] for j in known)]

    return pick


def vote_winners(labels: Sequence[str | None], subset: Picked) -> list[str]:
    counts = Counter(label for i in subset if (label := labels[i]) is not None)
    return [label for label, count in counts.items() if count == max(counts.values())]


def by_vote(labels: Sequence[str | None]) -> FloatArray:
    """Majority over every subset: tied labels share evenly, then the label's members in it do."""
    pool = len(labels)
    table = np.zeros((pool, pool))
    for n in range(1, pool + 1):
        for subset in combinations(range(pool), n):
            winners = vote_winners(labels, subset)
            for winner in winners:
                members = [i for i in subset if labels[i] == winner]
                table[n - 1, members] += 1 / len(winners) / len(members) / comb(pool, n)
    return table


def every(pool: int) -> range:
    return range(1, pool + 1)


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_the_oracle_of_zeros_and_ones_is_pass_at_n(correct: list[bool]) -> None:
    """Chen et al. 2021 (arXiv 2107.03374), equation 1."""
    pool = len(correct)
    for n, found in zip(every(pool), max_at(correct, every(pool)), strict=True):
        share = np.mean([any(subset) for subset in combinations(correct, n)])
        assert found == pytest.approx(share)
        assert found == pytest.approx(1 - comb(pool - sum(correct), n) / comb(pool, n))


def test_the_oracle_of_16_of_16_with_one_correct_is_certain() -> None:
    # A bootstrap with replacement gives 1 - (15/16)^16 = 0.644.
    assert max_at([1.0] + [0.0] * 15, [16])[0] == pytest.approx(1)


@pytest.mark.parametrize("n", [-1, 0, 5, 100])
def test_an_undefined_budget_is_nan_and_never_one(n: int) -> None:
    labels = ["a", "a", "b", None]
    scores = np.ones(4)
    assert np.isnan(best_of_probabilities(scores, [n])).all()
    assert np.isnan(majority_probabilities(labels, [n])).all()
    assert np.isnan(uniform_probabilities(4, [n])).all()
    assert np.isnan(tie_rate(labels, [n])).all()
    assert np.isnan(max_at(scores, [n])).all()
    assert np.isnan(min_at(scores, [n])).all()
    known = expected_score(majority_probabilities(labels, [2, n]), scores)
    for column in (known.value, known.lost, known.abstained):
        assert np.isnan(column).tolist() == [False, True]


@given(tied_numbers)
def test_best_of_is_the_mean_over_all_subsets(signal: list[float]) -> None:
    pool = len(signal)
    exact = best_of_probabilities(signal, every(pool))
    np.testing.assert_allclose(exact, enumerated(pool, highest(signal)), atol=1e-12)


def test_best_of_takes_infinities() -> None:
    picks = best_of_probabilities([-np.inf, np.inf, 0.0, nan], [1, 4])
    np.testing.assert_allclose(picks, [[0.25, 0.25, 0.25, 0.0], [0.0, 1.0, 0.0, 0.0]])


@given(votes)
@settings(max_examples=60)
def test_majority_is_the_mean_over_all_subsets(labels: list[str | None]) -> None:
    exact = majority_probabilities(labels, every(len(labels)))
    np.testing.assert_allclose(exact, by_vote(labels), atol=1e-12)


@given(votes)
def test_majority_rows_sum_to_one_less_the_abstained_mass(labels: list[str | None]) -> None:
    pool, silent = len(labels), labels.count(None)
    rows = majority_probabilities(labels, every(pool)).sum(axis=1)
    assert rows.tolist() == pytest.approx(
        [1 - comb(silent, n) / comb(pool, n) for n in every(pool)]
    )


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=6))
@settings(max_examples=30)
def test_majority_is_first_seen_wins_averaged_over_orders(labels: list[str | None]) -> None:
    pool = len(labels)
    table = np.zeros((pool, pool))
    orders = list(permutations(range(pool)))
    for order in orders:
        for n in every(pool):
            seen = Counter(label for i in order[:n] if (label := labels[i]) is not None)
            for winner, _ in seen.most_common(1):
                members = [i for i in order[:n] if labels[i] == winner]
                table[n - 1, members] += 1 / len(members) / len(orders)
    exact = majority_probabilities(labels, every(pool))
    np.testing.assert_allclose(exact, table, atol=1e-12)


@given(votes)
@settings(max_examples=60)
def test_tie_rate_is_the_share_of_tied_subsets(labels: list[str | None]) -> None:
    pool = len(labels)
    share = [
        np.mean([len(vote_winners(labels, s)) > 1 for s in combinations(range(pool), n)])
        for n in every(pool)
    ]
    np.testing.assert_allclose(tie_rate(labels, every(pool)), share, atol=1e-12)


def exact_win(sizes: Sequence[int], silent: int, n: int, j: int) -> Fraction:
    """P(cluster j wins) by the polynomial in x and y, in whole numbers."""
    total = Fraction(0)
    for m in range(1, min(n, sizes[j]) + 1):
        ways = {(k, 0): comb(silent, k) for k in range(n + 1)}
        for rival in (size for i, size in enumerate(sizes) if i != j):
            grown: Counter[tuple[int, int]] = Counter()
            for (k, tied), count in ways.items():
                for a in range(min(m, rival, n - k) + 1):
                    grown[k + a, tied + (a == m)] += count * comb(rival, a)
            ways = dict(grown)
        total += sum(
            comb(sizes[j], m) * Fraction(count, 1 + tied)
            for (k, tied), count in ways.items()
            if k == n - m
        )
    return total / comb(sum(sizes) + silent, n)


@pytest.mark.parametrize(
    ("sizes", "silent"),
    [([20, 12, 8, 6, 5, 4, 3, 2, 1, 1], 2), ([1] * 24, 0), ([8] * 4, 8), ([5, 5, 5], 40)],
)
def test_majority_equals_whole_number_arithmetic(sizes: list[int], silent: int) -> None:
    labels = [i for i, size in enumerate(sizes) for _ in range(size)] + [None] * silent
    budgets = [1, 2, 7, len(labels) // 2, len(labels)]
    exact = majority_probabilities(labels, budgets)
    for row, n in zip(exact, budgets, strict=True):
        for j in {size: j for j, size in enumerate(sizes)}.values():
            win = float(exact_win(sizes, silent, n, j))
            assert row[labels.index(j)] * sizes[j] == pytest.approx(win, rel=1e-12, abs=1e-300)


def test_majority_at_64_agrees_with_simulation() -> None:
    sizes, draws = np.array([18, 15, 9, 6, 4, 3, 2, 2, 1, 1]), 100_000
    labels = [i for i, size in enumerate(sizes) for _ in range(size)] + [None] * 3
    rng = np.random.default_rng(0)
    budgets = [2, 4, 8, 16, 32]
    exact = majority_probabilities(labels, budgets)
    for row, n in zip(exact, budgets, strict=True):
        drawn = rng.multivariate_hypergeometric([*sizes, 3], n, size=draws)[:, :-1]
        winners = (drawn == drawn.max(axis=1, keepdims=True)) & (drawn > 0)
        share = winners / np.maximum(winners.sum(axis=1, keepdims=True), 1)
        error = share.std(axis=0) / draws**0.5
        wins = [row[labels.index(j)] * size for j, size in enumerate(sizes)]
        assert np.all(np.abs(share.mean(axis=0) - wins) <= 4.5 * error + 1e-5)


def test_majority_at_256_is_stable() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 40, size=256).tolist()
    picks = majority_probabilities(labels, [1, 16, 128, 256])
    np.testing.assert_allclose(picks.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(picks[0], 1 / 256, rtol=1e-12)
    top = max(Counter(labels).values())
    first = [label for label, count in Counter(labels).items() if count == top]
    won = [1 / len(first) / top if label in first else 0 for label in labels]
    np.testing.assert_allclose(picks[-1], won, atol=1e-12)


def test_majority_of_3_in_thousands() -> None:
    labels = [0] * 3000 + [1] * 1000
    picks = majority_probabilities(labels, [3])
    p = 1000 * 999 * (998 + 3 * 3000) / (4000 * 3999 * 3998)
    assert picks[0, -1] * 1000 == pytest.approx(p)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 4), st.booleans())
@settings(deadline=None)  # the first example imports scipy.stats
def test_chances_in_place_of_counts_give_the_same_wins(
    sizes: list[int], silent: int, ties: bool
) -> None:
    """Pools of thousands are computed from chances, because their subsets overflow a float."""
    pool = sum(sizes) + silent
    counted = wins.win_chances(pool, every(pool), sizes, ties=ties)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(wins, "_COUNTABLE", 0)
        fresh = wins._win_chances.__wrapped__
        found = fresh(pool, tuple(every(pool)), tuple(sorted(sizes)), ties=ties, most=None)
    for size, chances in counted.items():
        np.testing.assert_allclose(found[size], chances, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("pool", "n"), [(2048, 512), (2048, 2047), (5000, 600)])
def test_a_vote_between_two_answers_of_thousands_is_exact(pool: int, n: int) -> None:
    """The number of votes for the first of two answers is hypergeometric: whole numbers."""
    first = pool * 11 // 20
    labels = [0] * first + [1] * (pool - first)
    ways = [comb(first, k) * comb(pool - first, n - k) for k in range(n + 1)]
    won = Fraction(sum(ways[n // 2 + 1 :]), comb(pool, n))
    tied = Fraction(ways[n // 2], comb(pool, n)) if n % 2 == 0 else Fraction(0)
    small, large, all_ = majority_probabilities(labels, [1, n, pool])
    assert large[0] * first == pytest.approx(float(won + tied / 2), rel=1e-11)
    assert large[-1] * (pool - first) == pytest.approx(float(1 - won - tied / 2), rel=1e-9)
    np.testing.assert_allclose(small, 1 / pool, rtol=1e-11)
    assert (all_[0] * first, all_[-1]) == pytest.approx((1, 0))
    assert tie_rate(labels, [n])[0] == pytest.approx(float(tied), rel=1e-9, abs=1e-12)


@given(votes)
def test_the_order_of_the_pool_changes_nothing(labels: list[str | None]) -> None:
    budgets = every(len(labels))
    forward = majority_probabilities(labels, budgets)
    backward = majority_probabilities(labels[::-1], budgets)
    np.testing.assert_allclose(forward, backward[:, ::-1], rtol=1e-12)


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_answer_never_wins(nothing: str | None) -> None:
    picks = majority_probabilities([nothing, nothing, nothing, "b"], [1, 2, 3, 4])
    assert not picks[:, :3].any()
    np.testing.assert_allclose(picks[:, 3], [0.25, 0.5, 0.75, 1])
    assert not majority_probabilities([nothing, nothing], [1, 2]).any()


def test_wrong_answers_that_agree_beat_a_minority_of_right_ones() -> None:
    # The mode over answers, not over correct / incorrect.
    picks = majority_probabilities(["right", "right", "x", "y", "z"], [5])
    assert expected_score(picks, [1, 1, 0, 0, 0]).value[0] == pytest.approx(1)
    picks = majority_probabilities(["right", "right", "x", "x", "x"], [5])
    assert expected_score(picks, [1, 1, 0, 0, 0]).value[0] == pytest.approx(0)


def test_twins_by_label_share_the_pick_but_keep_their_own_scores() -> None:
    picks = majority_probabilities(["a", "a", "b"], [3])
    assert expected_score(picks, [1.0, 0.5, 0.0]).value[0] == pytest.approx(0.75)


@given(tied_numbers)
def test_max_and_min_are_means_over_the_subsets_that_hold_a_score(scores: list[float]) -> None:
    pool = len(scores)
    for n in every(pool):
        held = [
            known
            for subset in combinations(scores, n)
            if (known := [score for score in subset if not isnan(score)])
        ]
        best = np.mean([max(known) for known in held]) if held else nan
        worst = np.mean([min(known) for known in held]) if held else nan
        assert max_at(scores, [n])[0] == pytest.approx(best, nan_ok=True)
        assert min_at(scores, [n])[0] == pytest.approx(worst, nan_ok=True)


def test_graded_scores_are_not_the_best_of_the_first_ones() -> None:
    assert max_at([0.0, 0.0, 0.5, 0.9], [2])[0] == pytest.approx((3 * 0.9 + 2 * 0.5) / 6)


@given(
    votes.flatmap(
        lambda labels: st.tuples(
            st.just(labels),
            st.lists(
                st.sampled_from([0.0, 0.5, 1.0, -0.25, nan]),
                min_size=len(labels),
                max_size=len(labels),
            ),
        )
    )
)
@settings(max_examples=60)
def test_expected_score_is_the_mean_over_what_was_scored(
    drawn: tuple[list[str | None], list[float]],
) -> None:
    labels, scores = drawn
    found = expected_score(majority_probabilities(labels, every(len(labels))), scores)
    for row, value, lost, abstained in zip(
        by_vote(labels), found.value, found.lost, found.abstained, strict=True
    ):
        scored = ~np.isnan(scores)
        silent = 1 - row.sum()
        left = row[scored].sum() + silent
        mean = row[scored] @ np.array(scores)[scored] / left if left > 1e-9 else nan
        assert value == pytest.approx(mean, nan_ok=True)
        assert lost == pytest.approx(row[~scored].sum())
        assert abstained == pytest.approx(silent)


def test_the_expectation_of_a_random_rollout_is_the_mean_of_the_pool() -> None:
    found = expected_score(uniform_probabilities(4, [1, 3]), [0.0, 1.0, nan, 0.5])
    np.testing.assert_allclose(found.value, 0.5)
    np.testing.assert_allclose(found.lost, 0.25)
    np.testing.assert_array_equal(found.abstained, 0)


def test_one_rollout_and_none() -> None:
    assert majority_probabilities(["a"], [1]).tolist() == [[1]]
    assert best_of_probabilities([0.3], [1]).tolist() == [[1]]
    assert best_of_probabilities([nan], [1]).tolist() == [[0]]
    assert majority_probabilities([], [1]).shape == (1, 0)
    assert best_of_probabilities([], [1]).shape == (1, 0)
    assert uniform_probabilities(0, [1]).shape == (1, 0)
    assert np.isnan(max_at([], [1])).all()
    assert majority_probabilities(["a", "b"], []).shape == (0, 2)


def test_monte_carlo_error_is_that_of_sampling_subsets_without_replacement() -> None:
    population = np.array([0.0, 0.0, 1.0, 0.5, 1.0, 0.25])
    means = [np.mean(drawn) for drawn in combinations(population, 3)]
    spreads = [np.std(drawn, ddof=1) for drawn in combinations(population, 3)]
    squared = draw_error(spreads, draws=[3] * 20, subsets=[6] * 20) ** 2
    assert np.mean(squared) == pytest.approx(np.var(means))
    assert draw_error(0.5, draws=6, subsets=6) == 0
    assert draw_error(nan, draws=1, subsets=1) == 0
    assert draw_error(0.5, draws=4, subsets=inf) == pytest.approx(0.25)
    assert isnan(draw_error(nan, draws=1, subsets=6))
    assert isnan(draw_error(nan, draws=0, subsets=0))
