"""Intervals of means of bounded scores that stay valid when few questions have a hit.

An interval from the observed spread ignores scores that did not occur. These intervals add one
observation at the bound: with no hit in n questions, a mean of 3.7 / n is possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtrc, betaincinv, ndtri

from cat_bench.stats.units import Units
from cat_bench.types.calls import FloatArray

_CHUNK = 2**18
"""Random numbers that are in memory at once."""


def clopper_pearson(hits: float, n: float, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share (Clopper and Pearson 1934); `hits` may be a fraction."""
    tail = (1 - level) / 2
    low = betaincinv(hits, n - hits + 1, tail) if hits > 0 else 0.0
    high = betaincinv(hits + 1, n - hits, 1 - tail) if hits < n else 1.0
    return float(low), float(high)


def share_interval(hits: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share: at each end, the wider of Wilson's (1927) and the mid-p's.

    Wilson's covers as little as 84 % near 0 and 1, the mid-p interval (Lancaster 1961) 92 %;
    together they cover at least 93.3 % at every share, from 30 questions on.
    """
    z2, share, tail = float(ndtri((1 + level) / 2)) ** 2, hits / n, (1 - level) / 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)

    def beyond(p: float, wanted: float) -> float:
        """Return the chance of more hits, plus half the chance of as many, minus `wanted`."""
        return float(bdtrc(hits - 1, n, p) + bdtrc(hits, n, p)) / 2 - wanted

    low = brentq(beyond, 0, share, args=(tail,)) if hits else 0.0
    high = brentq(beyond, share, 1, args=(1 - tail,)) if hits < n else 1.0
    return min(max(centre - reach, 0.0), low), max(min(centre + reach, 1.0), high)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The mean could be at `lows` or below, at `highs` or above: one pair per resample, sorted."""

    lows: FloatArray
    highs: FloatArray

    def interval(self, level: float) -> tuple[float, float]:
        """Return the central interval."""
        tail = (1 - level) / 2
        return float(np.quantile(self.lows, tail)), float(np.quantile(self.highs, 1 - tail))

    @property
    def p(self) -> float:
        """Two-sided p value of a mean of 0; it is below 1 - level where `interval` excludes 0."""
        count = len(self.lows)
        below = count - np.searchsorted(self.highs, 0, side="left")
        above = np.searchsorted(self.lows, 0, side="right")
        return float(min(1.0, 2 * (1 + min(below, above)) / (1 + count)))


def bounds_of(
    units: Units, low: float, high: float, *, resamples: int, rng: np.random.Generator
) -> Bounds:
    """Return the bounds on the mean of units with values in [`low`, `high`].

    The units have random weights, from a Dirichlet distribution, and one more unit lies at the
    bound (Gaffke 2005; Learned-Miller and Thomas 2019). For values of 0 and 1 the interval is
    Clopper and Pearson's, for differences of -1, 0 and 1 its p is McNemar's exact one. The unit at
    the bound has the size of a mean unit, weighted by size.
    """
    (sums, sizes), times = np.unique(
        np.stack((units.sums, units.sizes)), axis=1, return_counts=True
    )
    extra = float(units.sizes @ units.sizes / units.sizes.sum())
    lows, highs = np.empty(resamples), np.empty(resamples)
    rows = max(1, _CHUNK // len(times))
    for start in range(0, resamples, rows):
        chunk = slice(start, min(start + rows, resamples))
        weights = rng.standard_gamma(times, (chunk.stop - start, len(times)))
        weight = extra * rng.standard_exponential(chunk.stop - start)
        totals, counts = weights @ sums, weights @ sizes + weight
        lows[chunk] = (totals + low * weight) / counts
        highs[chunk] = (totals + high * weight) / counts
    return Bounds(np.sort(lows), np.sort(highs))
