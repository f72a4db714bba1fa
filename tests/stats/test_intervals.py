"""Intervals against scipy and enumeration, degenerate input, and coverage by simulation."""

from __future__ import annotations

from itertools import product
from math import isnan, nan, sqrt

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from cat_bench.stats.bootstrap import bca
from cat_bench.stats.bounded import bounds_of, clopper_pearson, share_interval
from cat_bench.stats.intervals import (
    Difference,
    Interval,
    bootstrap_error,
    holm,
    mean_interval,
    paired_difference,
    questions_needed,
    quotient,
    ratio_interval,
)
from cat_bench.stats.student import is_skewed
from cat_bench.stats.units import Units
from cat_bench.types.calls import FloatArray

fractions = st.lists(st.floats(-1, 1, width=16), min_size=2, max_size=40)
pairs = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=10,
)


def columns(drawn: list[tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
    table = np.array(drawn, dtype=float)
    return table[:, 0], table[:, 1]


def in_the_middle(values: list[float]) -> bool:
    units = Units.of(np.array(values))
    return units.se > 0 and not is_skewed(units)


@given(fractions.filter(in_the_middle))
def test_fractions_without_bounds_get_students_interval(values: list[float]) -> None:
    found = mean_interval(values, bounds=None)
    known = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert found.mean == pytest.approx(np.mean(values))
    assert found.se == pytest.approx(scipy.stats.sem(values))
    assert (found.low, found.high) == pytest.approx(tuple(known))
    assert found.n == len(values)


@given(st.lists(st.floats(0.2, 0.8), min_size=24, max_size=40).filter(in_the_middle))
def test_fractions_in_the_middle_get_students_interval(values: list[float]) -> None:
    found = mean_interval(values)
    known = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(known))


@given(st.lists(st.booleans(), min_size=12, max_size=60), st.sampled_from([0.9, 0.95]))
def test_zeros_and_ones_get_wilsons_interval(correct: list[bool], level: float) -> None:
    """And where the mid-p interval ends farther out, that end."""
    hits, n, tail = sum(correct), len(correct), (1 - level) / 2
    found = mean_interval(correct, level=level)
    known = scipy.stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    assert found.low <= known.low + 1e-12
    assert found.high >= known.high - 1e-12

    def chances(p: float) -> tuple[float, float]:
        tie = scipy.stats.binom.pmf(hits, n, p) / 2
        return scipy.stats.binom.sf(hits, n, p) + tie, scipy.stats.binom.cdf(hits, n, p) - tie

    above, below = chances(found.low)[0], chances(found.high)[1]
    assert found.low == pytest.approx(known.low) or above == pytest.approx(tail) or not hits
    assert found.high == pytest.approx(known.high) or below == pytest.approx(tail) or hits == n
    assert not hits or above <= tail + 1e-9
    assert hits == n or below <= tail + 1e-9


@pytest.mark.parametrize("n", [30, 100, 500])
def test_a_shares_interval_covers_at_every_share(n: int) -> None:
    """By enumeration of all outcomes: at least 93 %, where Wilson's alone has 84 %."""
    ends = np.array([share_interval(k, n) for k in range(n + 1)])
    shares = np.concatenate((np.geomspace(1e-4, 0.02, 500), np.linspace(0.02, 0.5, 1000)))
    chances = scipy.stats.binom.pmf(np.arange(n + 1)[:, None], n, shares)
    held = (ends[:, :1] <= shares) & (shares <= ends[:, 1:])
    assert (held * chances).sum(axis=0).min() > 0.93


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (1, 30), (4, 100), (30, 30)])
def test_of_zeros_and_ones_the_exact_interval_is_clopper_and_pearsons(hits: int, n: int) -> None:
    values = np.repeat([1.0, 0.0], [hits, n - hits])
    units = Units(values, np.ones(n))
    rng = np.random.default_rng(0)
    found = bounds_of(units, 0, 1, resamples=200_000, rng=rng).interval(0.95)
    known = scipy.stats.binomtest(hits, n).proportion_ci(method="exact")
    assert clopper_pearson(hits, n) == pytest.approx((known.low, known.high))
    assert found == pytest.approx((known.low, known.high), abs=0.002)


def test_scores_that_are_all_equal_are_not_certain() -> None:
    for value in (0.0, 0.5, 1.0):
        found = mean_interval([value] * 40)
        assert found.mean == value
        assert found.low < value or value == 0
        assert found.high > value or value == 1
        assert 0 <= found.low < found.high <= 1
    unbounded = mean_interval([3.0] * 40, bounds=None)
    assert isnan(unbounded.low)
    assert "no bounds" in str(unbounded.flag)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=30))
@settings(max_examples=40)
def test_an_interval_of_shares_is_within_0_and_1_and_holds_the_mean(values: list[float]) -> None:
    for found in (mean_interval(values), ratio_interval(values, np.ones(len(values)))):
        assert 0 <= found.low <= found.mean <= found.high <= 1
        assert found.low < found.high


def test_a_rare_full_score_is_possible_beside_small_ones() -> None:
    """Three of 100 questions have 1/16: what did not occur is at most some 3.7 %."""
    found = mean_interval([1 / 16] * 3 + [0.0] * 97)
    assert 0.03 < found.high < 0.05


def test_a_long_tail_moves_the_end_on_its_side() -> None:
    values = np.exp(np.random.default_rng(3).normal(-3, 1.2, 100)).clip(0, 1)
    found, plain = mean_interval(values), scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert plain.high + 0.1 * found.se < found.high
    assert found.low <= plain.low + 0.01


def test_the_rounding_of_exact_values_is_none_of_their_spread() -> None:
    """Pick probabilities add up to 1 less some 1e-16: all right is still Wilson's."""
    almost = [1.0] * 50 + [1 - 2e-16] * 50
    assert mean_interval(almost) == mean_interval([1.0] * 100)
    assert mean_interval([1e-17, *almost]) == mean_interval([0.0] + [1.0] * 100)
    pairs = [str(i // 2) for i in range(100)]
    assert mean_interval(almost, clusters=pairs) == mean_interval([1.0] * 100, clusters=pairs)


def test_single_clusters_change_nothing() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.random(50), rng.integers(0, 2, 50)):
        assert mean_interval(values, clusters=[None] * 50) == mean_interval(values)
        names = [f"c{i}" for i in range(50)]
        assert mean_interval(values, clusters=names) == mean_interval(values)


def test_clustered_error_is_unbiased_under_its_working_model() -> None:
    """Clusters of all sizes whose questions are equal: the mean of se squared is the variance."""
    sizes = np.array([12, 5, 3, 2, 1, 1, 1, 1])
    names = [str(k) for k in np.repeat(np.arange(8), sizes)]
    rng = np.random.default_rng(0)
    found = [
        mean_interval(np.repeat(rng.normal(size=8), sizes), clusters=names, bounds=None)
        for _ in range(2000)
    ]
    squared = np.mean([each.se**2 for each in found])
    assert squared == pytest.approx(np.var([each.mean for each in found]), rel=0.1)
    assert squared == pytest.approx((sizes**2).sum() / sizes.sum() ** 2, rel=0.1)


def test_degrees_of_freedom_are_satterthwaites() -> None:
    """Of the quadratic form of se squared, by its matrix."""
    sizes = np.array([9.0, 4, 4, 2, 1, 1])
    for likeness in (1.0, 0.3, 0.0):
        units = Units(np.arange(6.0), sizes, likeness)
        p = sizes / sizes.sum()
        tau = likeness * p**2 + (1 - likeness) * p / sizes.sum()
        residual = np.eye(6) - np.outer(p, np.ones(6))
        spread = residual @ np.diag(tau) @ residual.T
        form = np.diag(tau / np.diag(spread)) @ spread
        assert units.degrees == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))
    assert Units(np.arange(7.0), np.full(7, 3.0)).degrees == pytest.approx(6)


def test_copies_of_a_question_are_one_question() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(120)
    names = [f"q{i}" for i in range(120)] * 3
    copied = mean_interval(np.tile(values, 3), clusters=names)
    once = mean_interval(values)
    assert copied.se == pytest.approx(once.se)
    assert copied.low == pytest.approx(once.low, abs=1e-3)
    naive = mean_interval(np.tile(values, 3))
    assert naive.high - naive.low < 0.7 * (copied.high - copied.low)


def test_clusters_that_all_agree_still_leave_doubt_about_zeros_and_ones() -> None:
    found = mean_interval([1] * 120, clusters=[f"q{i % 40}" for i in range(120)])
    known = scipy.stats.binomtest(40, 40).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.005)


def test_flags_name_what_spoils_an_interval() -> None:
    rng = np.random.default_rng(0)
    assert mean_interval(rng.random(100)).flag is None
    assert "fewer than 100" in str(mean_interval(rng.random(99)).flag)
    assert "fewer than 100" in str(mean_interval(rng.random(200), clusters=["a", "b"] * 100).flag)
    assert mean_interval([0.5] + [0] * 199).flag is None


def test_too_few_questions_have_a_mean_at_most() -> None:
    none, one = mean_interval([]), mean_interval([0.25])
    assert none.n == 0
    assert isnan(none.mean)
    assert (one.mean, one.n) == (0.25, 1)
    assert all(isnan(x) for found in (none, one) for x in (found.se, found.low, found.high))
    assert isnan(mean_interval([0, 1], clusters=["a", "a"]).se)
    assert isnan(mean_interval([], clusters=[]).mean)


def test_missing_values_and_lengths_are_the_callers_business() -> None:
    with pytest.raises(ValueError, match="1 of 2 values are NaN"):
        mean_interval([0.5, nan])
    with pytest.raises(ValueError, match="NaN"):
        paired_difference([0.5, nan], [0.5, 0.5])
    with pytest.raises(ValueError, match="not pairs"):
        paired_difference([0.5], [0.5, 0.5])
    with pytest.raises(ValueError, match="1 clusters"):
        mean_interval([0.5, 0.5], clusters=["a"])


@pytest.mark.parametrize("questions", [40, 300])
def test_difference_interval_is_students(questions: int) -> None:
    rng = np.random.default_rng(questions)
    a, b = rng.random(questions) ** 2, rng.random(questions)
    found = paired_difference(a, b)
    known = scipy.stats.ttest_rel(a, b).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(known))
    assert found.se == pytest.approx(scipy.stats.sem(a - b))


def test_skewed_differences_are_corrected_for_bias_and_skew() -> None:
    d = np.array([0.0, 0.01, 0.02, 0.02, 0.03, 0.05, 0.05, 0.1, 0.2, 1.0])
    rng, units = np.random.default_rng(0), Units(d, np.ones(10))
    low, high = bca(units, level=0.95, resamples=40_000, rng=rng)
    known, percentile = (
        scipy.stats.bootstrap(
            (d,), np.mean, n_resamples=40_000, method=method, rng=np.random.default_rng(1)
        ).confidence_interval
        for method in ("BCa", "percentile")
    )
    assert (low, high) == pytest.approx(tuple(known), abs=0.1 * units.se)
    assert high - percentile.high > 0.5 * units.se


def test_nothing_that_was_seen_makes_a_difference_certain() -> None:
    """Of 30 pairs without a hit, a true difference of 3.7 / 30 is possible on either side."""
    found = paired_difference([0] * 30, [0] * 30)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 30), abs=0.003)
    assert found.low == pytest.approx(-found.high)
    assert found.p == 1


def test_no_hit_by_one_draw_is_no_evidence_against_a_method_that_has_some() -> None:
    """Greedy hits nothing at 2 %, and single always has a little: all differences are negative."""
    single = np.random.default_rng(0).binomial(16, 0.02, 100) / 16
    found = paired_difference(np.zeros(100), single)
    assert found.p > 0.05
    assert found.low < 0 < found.high


@given(st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=40)
def test_the_interval_of_few_wins_says_what_mcnemars_exact_p_says(won: int, lost: int) -> None:
    a, b = (np.repeat([x, y, 0], [won, lost, 60]) for x, y in ((1, 0), (0, 1)))
    found = paired_difference(a, b)
    p = scipy.stats.binomtest(won, won + lost).pvalue if won + lost else 1
    assert found.p == pytest.approx(p)
    if abs(p - 0.05) > 0.005:
        assert (found.low > 0 or found.high < 0) == (p < 0.05)


@pytest.mark.parametrize(("questions", "torn"), [(30, 0.6), (100, 0.1)])
def test_the_same_method_twice_is_seldom_told_apart(questions: int, torn: float) -> None:
    """Most questions are always right; p and the interval err in about 5 % of runs or fewer."""
    rng = np.random.default_rng(4)
    told = np.zeros(2)
    for _ in range(400):
        ease = np.where(rng.random(questions) < torn, rng.beta(0.5, 0.5, questions), 1)
        a, b = rng.binomial(4, ease, (2, questions)) / 4
        found = paired_difference(a, b, resamples=499)
        told += [found.p < 0.05, found.low > 0 or found.high < 0]
    assert np.all(told <= 0.08 * 400), told


def test_differences_of_equal_clusters_are_those_of_their_means() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((40, 3)) ** 3, rng.random((40, 1))
    b = np.broadcast_to(b, a.shape)
    names = [f"c{i}" for i in range(40) for _ in range(3)]
    found = paired_difference(a.ravel(), b.ravel(), clusters=names)
    means = paired_difference(a.mean(axis=1), b.mean(axis=1))
    assert (found.low, found.high, found.se) == pytest.approx((means.low, means.high, means.se))
    assert found.p == pytest.approx(means.p, abs=1e-3)
    assert (found.n, means.n) == (120, 40)


def test_p_is_the_share_of_sign_flips_at_least_as_far() -> None:
    d = np.array([0.3, -0.2, 0.25, 0.4, -0.35, 0.1, 0.2, -0.1, 0.15, -0.25, 0.35, -0.2])
    totals = np.array([abs(d @ signs) for signs in product((1, -1), repeat=len(d))])
    found = paired_difference(0.5 + d / 2, 0.5 - d / 2)
    assert not is_skewed(Units.of(d))
    assert found.p == pytest.approx(np.mean(totals >= abs(d.sum()) - 1e-9))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 50))
@settings(max_examples=30)
def test_p_of_zeros_and_ones_is_mcnemars_exact_one(won: int, lost: int, tied: int) -> None:
    a = np.repeat([1, 0, 1], [won, lost, tied])
    b = np.repeat([0, 1, 1], [won, lost, tied])
    found = paired_difference(a, b, resamples=99)
    if won + lost:
        assert found.p == pytest.approx(scipy.stats.binomtest(won, won + lost).pvalue)
    elif tied:
        assert found.p == 1


def test_monte_carlo_p_is_near_the_exact_one() -> None:
    d = np.random.default_rng(3).uniform(-0.15, 0.25, size=14)
    left, right = 0.5 + d / 2, 0.5 - d / 2
    exact, drawn = paired_difference(left, right, resamples=2**14), paired_difference(left, right)
    error = sqrt(exact.p * (1 - exact.p) / 9999)
    assert exact.p != drawn.p
    assert abs(exact.p - drawn.p) < 4 * error + 1e-4


def test_p_never_reaches_zero() -> None:
    rng = np.random.default_rng(0)
    found = paired_difference(0.5 + rng.random(200) / 4, 0.25 + rng.random(200) / 4)
    assert found.p == pytest.approx(1e-4)


def test_methods_that_never_differ_may_still_differ_on_others() -> None:
    v = np.random.default_rng(0).random(50)
    found = paired_difference(v, v)
    assert (found.mean, found.se, found.p) == (0, 0, 1)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 50), abs=0.003)


def test_a_constant_difference_is_not_certain() -> None:
    v = np.random.default_rng(0).random(20) / 2
    found = paired_difference(v + 0.1, v)
    assert found.mean == pytest.approx(0.1)
    assert found.se == pytest.approx(0, abs=1e-12)
    assert found.low < 0 < 0.15 < found.high
    assert found.p > 0.05


def test_few_pairs_are_defined() -> None:
    none, one = paired_difference([], []), paired_difference([1], [0.5])
    assert none.n == 0
    assert all(isnan(x) for x in (none.mean, none.se, none.low, none.high, none.p))
    assert (one.mean, one.p, one.n) == (0.5, 1, 1)
    assert isnan(one.low)
    assert one.flag == "too few questions for an error bar"
    two = paired_difference([1, 0], [0.5, 0.25])
    assert -1 <= two.low < -0.5 < 0.5 < two.high <= 1


def test_one_question_of_many_that_differs() -> None:
    found = paired_difference([1] + [0] * 299, [0] * 300)
    assert found.p == 1
    assert found.low <= 0 <= found.mean <= found.high


@given(pairs)
@settings(max_examples=30)
def test_nothing_depends_on_what_was_computed_before(drawn: list[tuple[float, float]]) -> None:
    a, b = columns(drawn)
    first = paired_difference(a, b, resamples=200, seed=5)
    paired_difference(b, a, resamples=300)
    assert repr(paired_difference(a, b, resamples=200, seed=5)) == repr(first)


@given(pairs)
@settings(max_examples=30)
def test_swapping_the_methods_turns_the_sign(drawn: list[tuple[float, float]]) -> None:
    a, b = columns(drawn)
    forward, backward = (paired_difference(*order, resamples=999) for order in ((a, b), (b, a)))
    assert forward.mean == pytest.approx(-backward.mean)
    assert forward.p == pytest.approx(backward.p)
    assert forward.se == pytest.approx(backward.se, nan_ok=True)
    assert forward.low == pytest.approx(-backward.high, abs=0.03, nan_ok=True)


def test_intervals_cover() -> None:
    rng = np.random.default_rng(0)
    covered = np.zeros(3)
    for _ in range(400):
        hard = rng.normal(size=120)
        noisy = 0.8 * hard + 0.6 * rng.normal(size=120)
        b, a = scipy.stats.norm.cdf(hard), scipy.stats.norm.cdf(noisy) ** 0.5
        found: list[Interval | Difference] = [
            mean_interval(b),
            mean_interval(b < 0.8),
            paired_difference(a, b, resamples=999),
        ]
        truths = (1 / 2, 0.8, 2 / 3 - 1 / 2)
        covered += [i.low <= truth <= i.high for i, truth in zip(found, truths, strict=True)]
    assert np.all((covered >= 0.91 * 400) & (covered <= 0.985 * 400)), covered


def test_p_is_uniform_where_methods_do_not_differ() -> None:
    rng = np.random.default_rng(1)
    found = [paired_difference(rng.random(60), rng.random(60), resamples=399).p for _ in range(400)]
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.085


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for alpha in (0.01, 0.05, 0.2):
        rejected = 0
        for rank, p in enumerate(sorted(p_values)):
            if p * (len(p_values) - rank) > alpha:
                break
            rejected += 1
        assert np.count_nonzero(adjusted <= alpha) == rejected
    assert np.all(adjusted >= p_values)
    assert np.all(adjusted <= 1)


def test_holm_leaves_out_what_has_no_p() -> None:
    np.testing.assert_allclose(holm([0.03, nan, 0.01, 0.5]), [0.06, nan, 0.03, 0.5])
    assert holm([]).shape == (0,)
    assert isnan(holm([nan])[0])


def test_a_ratio_of_single_trials_is_a_share() -> None:
    hits = np.repeat([1.0, 0.0], [13, 27])
    found = ratio_interval([*hits, 0.0], [*np.ones(40), 0.0])
    assert (found.mean, found.n) == (13 / 40, 40)
    assert (found.low, found.high) == share_interval(13, 40)


def test_a_ratio_that_is_always_one_or_never_tried_is_defined() -> None:
    whole = ratio_interval([2.0, 3.0], [2.0, 3.0])
    assert (whole.mean, whole.high) == (1, 1)
    assert whole.low < 0.25
    assert isnan(ratio_interval([], []).mean)
    assert ratio_interval([0.0], [0.0]).n == 0
    assert isnan(ratio_interval([1.0], [2.0]).low)


def test_a_ratio_covers_where_the_trials_of_a_question_hang_together() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        trials = rng.integers(0, 5, size=150)
        ease = rng.beta(0.6, 0.2, size=150)
        found = ratio_interval(rng.binomial(trials, ease), trials)
        covered += found.low <= 0.75 <= found.high
    assert 0.92 * 400 <= covered <= 0.98 * 400


def test_a_quotient_is_that_of_the_means_with_scipys_interval() -> None:
    rng = np.random.default_rng(3)
    whole = rng.beta(0.5, 1, size=200)
    part = whole * rng.uniform(-0.2, 1, size=200)

    def ratio(a: FloatArray, b: FloatArray, axis: int = -1) -> FloatArray:
        quotient: FloatArray = a.mean(axis=axis) / b.mean(axis=axis)
        return quotient

    known = scipy.stats.bootstrap(
        (part, whole), ratio, paired=True, vectorized=True, method="BCa", rng=rng
    )
    found = quotient(part, whole)
    assert found.mean == pytest.approx(part.mean() / whole.mean())
    assert found.se == pytest.approx(known.standard_error, rel=0.05)
    interval = known.confidence_interval
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.01)


def test_a_quotient_by_what_may_be_nothing_is_undefined() -> None:
    assert isnan(quotient([0.5] + [0.0] * 9, [1.0] + [0.0] * 9).mean)
    assert isnan(quotient([], []).mean)
    assert quotient([0.25, 0.25], [0.5, 0.5]).mean == 0.5


def test_a_quotient_of_clusters_is_that_of_their_sums() -> None:
    rng = np.random.default_rng(4)
    whole = rng.uniform(0, 1, size=40)
    part = whole * rng.uniform(0, 1, size=40)
    twice = [str(k) for k in range(40)] * 2
    once, doubled = (
        quotient(part, whole),
        quotient([*part, *part], [*whole, *whole], clusters=twice),
    )
    assert doubled.n == 80
    assert (doubled.low, doubled.high) == pytest.approx((once.low, once.high))


def test_a_quotient_covers() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        whole = rng.beta(0.5, 1, size=100)
        found = quotient(whole * rng.beta(2, 2, size=100), whole)
        covered += found.low <= 0.5 <= found.high
    assert 0.9 * 200 <= covered <= 0.985 * 200


@pytest.mark.parametrize("effect", [0.1, 0.25])
def test_so_many_questions_do_settle_the_difference(effect: float) -> None:
    """Of samples of the size that is named, four in five have an interval without 0."""
    rng = np.random.default_rng(1)
    needed = questions_needed(effect, 0.05, 400)  # a standard deviation of 1
    assert needed is not None
    assert needed == pytest.approx((2.8016 / effect) ** 2, rel=0.01)
    means = rng.normal(effect, 1, size=(2000, needed)).mean(axis=1)
    assert np.mean(means - 1.96 / sqrt(needed) > 0) == pytest.approx(0.8, abs=0.03)


def test_no_number_of_questions_settles_what_does_not_differ() -> None:
    assert questions_needed(0.0, 0.1, 50) is None
    assert questions_needed(0.2, nan, 1) is None


def test_fewer_than_six_questions_settle_nothing() -> None:
    alike = [paired_difference([1] * n, [0] * n) for n in (3, 5, 6)]
    assert [found.needed for found in alike] == [6, 6, 6]
    assert [found.p < 0.05 for found in alike] == [False, False, True]


@pytest.mark.parametrize("count", [1, 7, 100, 250])
def test_the_published_error_is_that_of_a_direct_loop(count: int) -> None:
    """As simple-evals does: resample examples one by one, clip each mean, take the spread."""
    values = np.random.default_rng(count).normal(0.1, 0.6, size=count)
    rng, means = np.random.default_rng(0), []
    for _ in range(1000):
        drawn = [values[rng.integers(count)] for _ in range(count)]
        means.append(min(max(sum(drawn) / count, 0.0), 1.0))
    centre = sum(means) / 1000
    spread = sqrt(sum((mean - centre) ** 2 for mean in means) / 1000)
    assert bootstrap_error(values) == pytest.approx(spread, abs=1e-12)


def test_the_published_error_is_the_spread_of_clipped_bootstrap_means() -> None:
    values = np.random.default_rng(0).normal(0.4, 0.3, size=400)
    plain = values.std() / sqrt(400)
    assert bootstrap_error(values) == pytest.approx(plain, rel=0.1)
    assert bootstrap_error(values) == bootstrap_error(values)
    assert bootstrap_error(values - 2) == 0  # every mean is below 0
    assert 0 < bootstrap_error(values - values.mean()) < 0.7 * plain
    assert isnan(bootstrap_error([]))
    assert bootstrap_error([0.5]) == 0
