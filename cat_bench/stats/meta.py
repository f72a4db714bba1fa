"""Combine several models: a mean over models that answered the same questions.

The models are a sample, and so are the questions, which all models share. A value is the sum of the
overall mean, an effect of the model, an effect of the question, and a rest: crossed random effects.
Taking all pairs of model and question as independent would make the interval far too narrow; so
would a meta-analysis that takes the models' means as independent where a question is hard for all.

Each model has the same weight (Hedges and Olkin 1985), not the inverse of its variance: a rule that
never departs from the vote in one pool has a variance near 0 there, which is no reason to count
only that pool. The components of the variance come from the analysis of variance (Searle, Casella
and McCulloch 1992, section 4.3). If questions have no effect in common, the interval is Hartung and
Knapp's (2001) for equal weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from cat_bench.types.calls import FloatArray

_ROUNDING = 1e-9
"""A spread below it is rounding."""


@dataclass(frozen=True, slots=True)
class OverModels:
    """A mean over models and questions, its interval, and a prediction for a further model.

    `low` and `high` hold the mean over all such models and questions. `predicted_low` and
    `predicted_high` hold the mean of one further model. `tau` is the standard deviation of models'
    true means. NaN if it is unknown: below two models or questions, below three models for
    a prediction, or where all values are equal.
    """

    mean: float
    low: float
    high: float
    tau: float
    predicted_low: float
    predicted_high: float
    models: int
    questions: int


def average_over_models(values: ArrayLike, *, level: float = 0.95) -> OverModels:
    """Return the mean of `values` (models, questions); every model answered every question.

    Its variance is (M + Q - E) / (models x questions), of the mean squares between models (M),
    between questions (Q) and of the rest (E), and at least what M or Q alone would give; t has the
    degrees of freedom of the shorter side. The prediction interval adds tau² and has t with two
    degrees fewer than models (Higgins, Thompson and Spiegelhalter 2009, equation 12). Raises
    ValueError on NaN values or another shape.
    """
    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or np.isnan(table).any():
        raise ValueError(f"values of shape {table.shape} should be models x questions, without NaN")
    models, questions = table.shape
    mean = float(table.mean()) if table.size else nan
    if min(models, questions) < 2 or not np.ptp(table) > _ROUNDING:
        return OverModels(mean, nan, nan, nan, nan, nan, models, questions)
    between, shared, rest = _mean_squares(table)
    variance = max(between, shared, between + shared - rest) / table.size
    tau = sqrt(max(0.0, between - rest) / questions)
    degrees = min(models, questions) - 1
    reach = _t_quantile(degrees, level) * sqrt(variance)
    prediction = _t_quantile(min(models - 2, degrees), level) * sqrt(tau**2 + variance)
    ends = mean - reach, mean + reach, tau, mean - prediction, mean + prediction
    return OverModels(mean, *ends, models, questions)


def _mean_squares(table: FloatArray) -> tuple[float, float, float]:
    """Return the mean squares between rows, between columns, and of the residuals."""
    rows, columns = table.shape
    by_row = table.mean(axis=1, keepdims=True) - table.mean()
    by_column = table.mean(axis=0, keepdims=True) - table.mean()
    residuals = table - table.mean() - by_row - by_column
    return (
        float(columns * (by_row**2).sum() / (rows - 1)),
        float(rows * (by_column**2).sum() / (columns - 1)),
        float((residuals**2).sum() / ((rows - 1) * (columns - 1))),
    )


def _t_quantile(degrees: int, level: float) -> float:
    return float(stdtrit(degrees, (1 + level) / 2)) if degrees > 0 else nan
