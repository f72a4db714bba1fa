"""The mean over models that answered the same questions."""

from __future__ import annotations

from math import isnan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t

from cat_bench.stats.meta import average_over_models
from cat_bench.types.calls import FloatArray


def simulated(
    rng: np.random.Generator, *, models: int, questions: int, tau: float, shared: float
) -> FloatArray:
    """Values whose mean over all models and questions is 0."""
    return np.asarray(
        rng.normal(0, tau, (models, 1))
        + rng.normal(0, shared, (1, questions))
        + rng.normal(0, 0.3, (models, questions))
    )


def test_without_an_effect_of_the_questions_it_is_hartung_and_knapp() -> None:
    table = np.array([[0.0, 2.0], [3.0, 1.0], [5.0, 5.0]])  # every question has the same mean
    found = average_over_models(table)
    means = table.mean(axis=1)
    reach = t.ppf(0.975, 1) * means.std(ddof=1) / sqrt(3)
    assert found.mean == pytest.approx(8 / 3)
    assert (found.low, found.high) == pytest.approx((8 / 3 - reach, 8 / 3 + reach))


@given(arrays(float, st.tuples(st.integers(2, 5), st.integers(2, 5)), elements=st.integers(-9, 9)))
def test_its_variance_is_that_of_models_and_questions(table: FloatArray) -> None:
    """As sums of squares by hand: between rows, between columns, and what is left of the total."""
    rows, columns = table.shape
    found, grand = average_over_models(table), float(table.mean())
    between = columns * sum((float(row.mean()) - grand) ** 2 for row in table)
    shared = rows * sum((float(column.mean()) - grand) ** 2 for column in table.T)
    total = sum((float(value) - grand) ** 2 for value in table.flat)
    if not total:
        assert isnan(found.low)
        return
    m, q = between / (rows - 1), shared / (columns - 1)
    e = (total - between - shared) / ((rows - 1) * (columns - 1))
    reach = t.ppf(0.975, min(rows, columns) - 1) * sqrt(max(m, q, m + q - e) / table.size)
    assert found.high - found.low == pytest.approx(2 * reach)
    assert found.tau == pytest.approx(sqrt(max(0.0, m - e) / columns), abs=1e-6)


@pytest.mark.parametrize(("tau", "shared"), [(0.1, 0.0), (0.0, 0.3), (0.1, 0.3), (0.0, 0.0)])
def test_intervals_cover(tau: float, shared: float) -> None:
    """Of 1,000 draws; a prediction from as few as seven models holds a little less than it says."""
    rng = np.random.default_rng(1)
    held = predicted = 0
    rounds = 1000
    for _ in range(rounds):
        found = average_over_models(simulated(rng, models=7, questions=40, tau=tau, shared=shared))
        held += found.low <= 0 <= found.high
        predicted += found.predicted_low <= rng.normal(0, tau) <= found.predicted_high
    assert held / rounds > 0.935
    assert predicted / rounds > 0.92


def test_pairs_taken_as_independent_would_not_cover() -> None:
    """The fault that this module avoids is there to be avoided."""
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        table = simulated(rng, models=7, questions=40, tau=0.1, shared=0.3)
        held += abs(table.mean()) <= 1.96 * table.std(ddof=1) / sqrt(table.size)
    assert held / 300 < 0.7


def test_what_cannot_be_told_is_nan() -> None:
    assert isnan(average_over_models(np.zeros((4, 5))).low)
    assert isnan(average_over_models([[0.0, 1.0]]).low)
    assert isnan(average_over_models([[0.0, 1.0], [1.0, 1.0]]).predicted_low)
    assert isnan(average_over_models(np.empty((0, 0))).mean)
    with pytest.raises(ValueError, match="without NaN"):
        average_over_models([[0.0, float("nan")], [1.0, 1.0]])
    with pytest.raises(ValueError, match="models x questions"):
        average_over_models([0.0, 1.0])
