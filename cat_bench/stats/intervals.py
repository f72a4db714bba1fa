"""Error bars over questions, paired differences between methods, and Holm's correction.

The question is the unit (Miller 2024, arXiv 2411.00640): each value already averages a question's
rollouts and subsets, so repeats are never counted as independent. Questions that share a cluster (a
repeated prompt, a common stem) count together.

The number of questions with a hit decides the kind of interval:

- a share of right questions has Wilson's interval, or the mid-p interval where it is wider;
- if a mean or a difference rests on few questions, the interval and p are exact for any scores
  within their bounds;
- everything else has Student's t interval, corrected where the scores are skewed.

Invariants: the same input always gives the same output; equal values never give an interval of
width 0; if no interval can be computed, it is NaN and `flag` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, isnan, nan

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from cat_bench.stats.bootstrap import bca, bootstrap_means, sign_flip
from cat_bench.stats.bounded import bounds_of, share_interval
from cat_bench.stats.student import is_skewed, student_interval, student_p
from cat_bench.stats.units import Clusters, Units, concentration, rounding_of
from cat_bench.types.calls import FloatArray

SHARES = (0.0, 1.0)
_FEW = 100
"""Independent questions below which an interval is flagged."""
_ROUNDING, _BEYOND = 1e-9, 1e15
_HITS, _THIN = 6, 5
"""The effective number of units with a hit (or with a difference) that an interval from the spread
needs; a quarter of all units if that is fewer."""
_LOOSE = 20
"""Degrees of freedom below which t's interval may be wider than the exact one."""
_RESAMPLES = 9999
_TOO_FEW = "too few questions for an error bar"
_NO_BOUND = "all values are equal and have no bounds: no interval can be computed"


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over `n` questions and its interval; `flag` says why not to trust the interval."""

    mean: float
    se: float
    low: float
    high: float
    n: int
    flag: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean paired difference over `n` questions, its interval, and `p` of no difference.

    `flag` says why not to trust the interval.
    """

    mean: float
    se: float
    low: float
    high: float
    p: float
    n: int
    flag: str | None = None

    @property
    def needed(self) -> int | None:
        """How many questions in all would settle the difference: see `questions_needed`."""
        return questions_needed(self.mean, self.se, self.n)


def mean_interval(
    values: ArrayLike,
    *,
    clusters: Clusters | None = None,
    level: float = 0.95,
    bounds: tuple[float, float] | None = SHARES,
) -> Interval:
    """Return the mean of `values` (Q,) over questions, its standard error and interval.

    `clusters` names the cluster of each question; None is a cluster of one. `bounds` are the least
    and the largest possible value, or None; the interval lies within them, and observed values
    beyond them count as possible. Fewer than two clusters have no error bar (NaN). Raises
    ValueError on NaN values or a length that does not match.
    """
    data = _check_values(values)
    ints = np.rint(data)
    data = np.where(np.abs(data - ints) < _ROUNDING, ints, data)  # exact values are rounded, too
    units = Units.of(data, clusters)
    if len(units) < 2:
        mean = units.mean if len(units) else nan
        return Interval(mean, nan, nan, nan, len(data), _TOO_FEW)
    low, high = _ends(units, bounds, level=level)
    flag = _NO_BOUND if isnan(low) else _flag_few(units)
    return Interval(units.mean, units.se, low, high, len(data), flag)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    clusters: Clusters | None = None,
    level: float = 0.95,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Return the mean of a - b over the same questions, shapes (Q,), its interval and p value.

    Scores lie within [0, 1], or within the observed range. p is two-sided and comes from flipping
    the signs of units. It is exact if all nonzero differences have one size (McNemar's exact test
    for 0/1 scores) or if `resamples` + 1 covers every flip, else Monte-Carlo; it is corrected if
    the differences are skewed. If either method has few hits or misses, or few units differ, flips
    and spread ignore what did not occur: interval and p then come from `bounds_of`. NaN for fewer
    than two units. Raises ValueError on NaN values or lengths that do not match.
    """
    left, right = _check_values(a), _check_values(b)
    if left.shape != right.shape:
        raise ValueError(f"{len(left)} and {len(right)} values are not pairs of the same questions")
    differences = left - right
    scores = np.concatenate((left, right))
    differences[np.abs(differences) <= rounding_of(scores)] = 0
    units = Units.of(differences, clusters)
    count = len(left)
    if not count:
        return Difference(nan, nan, nan, nan, nan, 0)
    if len(units) < 2:
        return Difference(units.mean, nan, nan, nan, 1.0, count, _TOO_FEW)
    sign = -1.0 if units.mean < 0 else 1.0  # swapping the sides must change the sign only
    turned = Units(sign * units.sums, units.sizes, units.likeness)
    bounds = min(0.0, scores.min()), max(1.0, scores.max())
    sides = [Units.of(side, clusters) for side in (left, right)]
    rare = any(_is_rare(side, *bounds) for side in sides)
    reach = bounds[1] - bounds[0]
    low, high, p = _compare(turned, reach, rare, level=level, resamples=resamples, seed=seed)
    if sign < 0:
        low, high = -high, -low
    return Difference(units.mean, units.se, low, high, p, count)


def ratio_interval(
    hits: ArrayLike,
    trials: ArrayLike,
    *,
    clusters: Clusters | None = None,
    level: float = 0.95,
) -> Interval:
    """Return the share of `hits` among `trials`, shapes (Q,); trials vary between questions.

    The trials of one question are not independent, and neither are those of the questions of one
    cluster, as in `mean_interval`. `n` counts the questions with trials; NaN if no question has
    any.
    """
    tried, counts = np.asarray(hits, dtype=float), np.asarray(trials, dtype=float)
    some = counts > 0
    names = (
        None if clusters is None else [c for c, kept in zip(clusters, some, strict=True) if kept]
    )
    above, below = Units.of(tried[some], names), Units.of(counts[some], names)
    units, questions = Units(above.sums, below.sums), int(some.sum())
    if len(units) < 2:
        mean = units.mean if len(units) else nan
        return Interval(mean, nan, nan, nan, questions, _TOO_FEW)
    low, high = _ends(units, SHARES, level=level)
    return Interval(units.mean, units.se, low, high, questions, _flag_few(units))


def quotient(part: ArrayLike, whole: ArrayLike, *, clusters: Clusters | None = None) -> Interval:
    """Return mean(`part`) / mean(`whole`) on the same questions, shapes (Q,).

    The interval is the bootstrap of `paired_difference`, of the quotient. NaN where Student's
    interval of `whole` reaches 0, because the quotient is then undefined.
    """
    above, below = (Units.of(_check_values(values), clusters) for values in (part, whole))
    groups, count = len(below.sums), int(below.sizes.sum())
    if groups < 2 or not below.mean > below.se * stdtrit(groups - 1, 0.975):
        return Interval(nan, nan, nan, nan, count, flag="the whole may be 0")
    units = Units(above.sums, below.sums)
    low, high = bca(units, level=0.95, resamples=9999, rng=np.random.default_rng(0))
    return Interval(units.mean, units.se, low, high, count)


def questions_needed(mean: float, se: float, n: int, *, power: float = 0.8) -> int | None:
    """Return how many questions would tell a `mean` from 0, at 5 % two-sided, with this power.

    `se` is its standard error over `n` questions. The true mean is assumed to be the measured one,
    and further questions to be like the measured ones. The number is at least 6, because the signs
    of fewer have no p below 5 %; None if it is undefined, or so many that the mean is rounding.
    """
    if isnan(se) or not mean:
        return None
    needed = n * (float(ndtri(0.975) + ndtri(power)) * se / mean) ** 2
    return max(6, ceil(needed)) if needed < _BEYOND else None


def bootstrap_error(values: ArrayLike) -> float:
    """Return HealthBench's error (arXiv 2505.08775): the sd of bootstrap means, each in [0, 1].

    `values` (Q,) are drawn one by one, as if repeats of a prompt were independent. NaN for no
    value. Raises ValueError on NaN values.
    """
    data = _check_values(values)
    if not len(data):
        return nan
    rng = np.random.default_rng(0)
    means = bootstrap_means(Units(data, np.ones_like(data)), 1000, rng=rng)
    return float(np.clip(means, 0, 1).std())


def equivalence_needed(
    mean: float, se: float, n: int, *, margin: float, power: float = 0.8
) -> int | None:
    """Return how many questions would tell whether a difference lies within ±`margin`.

    The true difference is assumed to be the measured `mean`, of standard error `se` over `n`
    questions. If it lies within, the number is an upper bound for two one-sided tests at 5 %, or
    the rule of three if all questions differ by the same. If it lies outside, the number is
    `questions_needed` for the excess over the margin. None if it is undefined.
    """
    inside = margin - abs(mean)
    if isnan(se) or inside <= 0:
        return questions_needed(inside, se, n, power=power)
    if not se:
        return floor(3 / margin) + 1
    reach = float(ndtri(0.95) + ndtri((1 + power) / 2))
    return max(2, ceil(n * (reach * se / inside) ** 2))


def holm(p_values: ArrayLike) -> FloatArray:
    """Return Holm's step-down adjusted p values, in order; NaN stays NaN and is not counted."""
    raw = np.asarray(p_values, dtype=float)
    adjusted = np.full_like(raw, nan)
    order = np.argsort(raw)[: np.count_nonzero(~np.isnan(raw))]
    steps = raw[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _check_values(values: ArrayLike) -> FloatArray:
    data = np.asarray(values, dtype=float)
    if np.isnan(data).any():
        raise ValueError(
            f"{np.count_nonzero(np.isnan(data))} of {data.size} values are NaN: "
            "drop those questions and count them"
        )
    return data


def _ends(units: Units, bounds: tuple[float, float] | None, *, level: float) -> tuple[float, float]:
    """Return the interval of the mean of these units, at least two."""
    if bounds is None:
        return student_interval(units, level=level) if units.se > 0 else (nan, nan)
    if bounds == SHARES and (units.sizes == 1).all() and np.isin(units.sums, (0, 1)).all():
        return share_interval(int(units.sums.sum()), len(units), level=level)
    means = units.sums / units.sizes
    low, high = min(bounds[0], float(means.min())), max(bounds[1], float(means.max()))
    if not units.se or _is_rare(units, low, high):
        rng = np.random.default_rng(0)
        return bounds_of(units, low, high, resamples=_RESAMPLES, rng=rng).interval(level)
    return _student_within(units, low, high, level=level)


def _student_within(
    units: Units, least: float, largest: float, *, level: float
) -> tuple[float, float]:
    """Return Student's interval, cut at the bounds and at the exact interval."""
    low, high = student_interval(units, level=level)
    if is_skewed(units) or units.degrees < _LOOSE:
        rng = np.random.default_rng(0)
        exact = bounds_of(units, least, largest, resamples=_RESAMPLES, rng=rng).interval(level)
        low, high = max(low, exact[0]), min(high, exact[1])
    return max(low, least), min(high, largest)


def _compare(
    units: Units, reach: float, rare: bool, *, level: float, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Return the interval and p of the mean of differences in [-`reach`, `reach`]."""
    bounding, flipping = np.random.default_rng(seed).spawn(2)
    flipped = sign_flip(units.sums, resamples=resamples, rng=flipping)
    mcnemar = (units.sizes == 1).all() and np.isin(units.sums, (-reach, 0, reach)).all()
    if rare or units.spread_over < min(_THIN, len(units) / 4):
        bounds = bounds_of(units, -reach, reach, resamples=resamples, rng=bounding)
        return *bounds.interval(level), flipped if mcnemar else bounds.p
    corrected = is_skewed(units) and not mcnemar
    p = max(flipped, student_p(units)) if corrected else flipped
    return *_student_within(units, -reach, reach, level=level), p


def _is_rare(units: Units, low: float, high: float) -> bool:
    """Return whether few units differ from the lower bound, or few from the upper one."""
    sides = units.sums - low * units.sizes, high * units.sizes - units.sums
    return min(map(concentration, sides)) < min(_HITS, len(units) / 4)


def _flag_few(units: Units) -> str | None:
    return f"fewer than {_FEW} independent questions" if len(units) < _FEW else None
