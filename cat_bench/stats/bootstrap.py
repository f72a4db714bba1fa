"""The bootstrap over units, and the sign-flip test: how far a mean could be off by chance.

A unit is a question, or a cluster of dependent questions. The same input gives the same output;
memory is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import numpy as np
from scipy.special import bdtr, ndtr, ndtri

from cat_bench.stats.units import Units, rounding_of
from cat_bench.types.calls import FloatArray

_CHUNK = 2**18
"""Random numbers that are in memory at once."""
_MANY = 5_000
"""From this number of units on, units of equal value are drawn together: the distribution is
the same, with far fewer draws."""


def bca(
    units: Units, *, level: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the BCa interval of the mean (Efron 1987), or the percentile interval if undefined."""
    groups, rounding = len(units.sums), rounding_of(units.sums)
    if groups < 2:
        return nan, nan
    without = (units.sums.sum() - units.sums) / (units.sizes.sum() - units.sizes)
    pull = (groups - 1) * (without.mean() - without)
    if np.abs(pull).max() <= rounding:
        return units.mean, units.mean
    means = np.sort(bootstrap_means(units, resamples, rng=rng))
    tied = np.searchsorted(means, [units.mean - rounding, units.mean + rounding])
    bias = ndtri(tied.mean() / len(means))
    acceleration = (pull**3).sum() / (6 * (pull @ pull) ** 1.5)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    shifted = bias + ndtri(tails)
    scale = 1 - acceleration * shifted
    corrected = np.isfinite(bias) and scale.min() > 0
    low, high = np.quantile(means, ndtr(bias + shifted / scale) if corrected else tails)
    return float(low), float(high)


def bootstrap_means(units: Units, resamples: int, *, rng: np.random.Generator) -> FloatArray:
    """Return means of `resamples` samples of units with replacement, a bounded number at a time.

    A sample that holds no question has no mean and is left out.
    """
    groups = len(units.sums)
    if groups >= _MANY and (units.sizes == 1).all():
        values, times = np.unique(units.sums, return_counts=True)
        if len(values) < groups / 4:
            return _draw_in_chunks(
                lambda size: rng.multinomial(groups, times / groups, size) @ values / groups,
                resamples,
                width=len(values),
            )
    sums: FloatArray = np.empty(resamples)
    counts: FloatArray = np.full(resamples, float(groups))
    rows = max(1, _CHUNK // groups)
    for start in range(0, resamples, rows):
        chunk = slice(start, min(start + rows, resamples))
        drawn = rng.integers(groups, size=(chunk.stop - start, groups))
        sums[chunk] = units.sums[drawn].sum(axis=1)
        if (units.sizes != 1).any():
            counts[chunk] = units.sizes[drawn].sum(axis=1)
    return sums[counts > 0] / counts[counts > 0]


def _draw_in_chunks(draw: Callable[[int], FloatArray], count: int, *, width: int) -> FloatArray:
    """Return `count` draws of `width` numbers each, a bounded number at a time."""
    rows = max(1, _CHUNK // width)
    return np.concatenate([draw(min(rows, count - start)) for start in range(0, count, rows)])


def sign_flip(sums: FloatArray, *, resamples: int, rng: np.random.Generator) -> float:
    """Return the two-sided p of the total under random sign flips; the data count as one flip."""
    rounding = rounding_of(sums)
    moved = sums[np.abs(sums) > rounding]
    sizes = np.abs(moved)
    if not len(moved):
        return 1.0
    if np.ptp(sizes) <= rounding:
        fewer = min(np.count_nonzero(moved > 0), np.count_nonzero(moved < 0))
        return float(min(1.0, 2 * bdtr(fewer, len(moved), 0.5)))
    observed = abs(moved.sum()) - len(moved) * rounding
    if 2 ** len(moved) <= resamples + 1:
        return float((np.abs(_all_flips(sizes)) >= observed).mean())
    flipped = _random_flips(sizes, resamples, rng=rng)
    return float((1 + np.count_nonzero(np.abs(flipped) >= observed)) / (resamples + 1))


def _all_flips(sizes: FloatArray) -> FloatArray:
    """Return the total under each of the 2^k choices of signs."""
    totals = np.zeros(1)
    for size in sizes:
        totals = np.concatenate((totals + size, totals - size))
    return totals


def _random_flips(sizes: FloatArray, resamples: int, *, rng: np.random.Generator) -> FloatArray:
    """Return the total under random signs: eight at a time, looked up by a random byte."""
    values, times = np.unique(sizes, return_counts=True)
    if len(sizes) >= _MANY and len(values) < len(sizes) / 4:
        return _draw_in_chunks(
            lambda size: (2 * rng.binomial(times, 0.5, (size, len(times))) - times) @ values,
            resamples,
            width=len(values),
        )
    eights = np.pad(sizes, (0, -len(sizes) % 8)).reshape(-1, 8)
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    table = eights @ (1.0 - 2.0 * bits.T)
    totals = np.zeros(resamples)
    for by_byte in table:
        totals += by_byte[rng.integers(256, size=resamples, dtype=np.uint8)]
    return totals
