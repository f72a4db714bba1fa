"""The chance that a cluster of a pool wins the vote of a random n-subset, counted exactly."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import accumulate
from math import comb
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import roots_sh_legendre

from cat_bench.types.calls import FloatArray

Terms: TypeAlias = Callable[[int], FloatArray]
"""C(top, 0), ..., C(top, longest budget) by `top`, or multiples of them whose ratios are equal."""

_COUNTABLE = sys.float_info.max
"""The most subsets that are counted; with more, chances take the place of counts."""


def win_chances(
    pool: int,
    budgets: Sequence[int],
    sizes: Sequence[int],
    *,
    ties: bool = True,
    most: int | None = None,
) -> Mapping[int, FloatArray]:
    """Return the chance, shape (budgets,), that one cluster of each distinct size wins the vote.

    The clusters have these `sizes`; the rest of the pool abstains. A tie at m votes is broken by
    independent uniform priorities: a cluster of priority y wins iff each other one has fewer than m
    votes, or m and a priority below y. Integrating y out gives the 1 / (1 + t) of t tied rivals;
    only y = 0 gives the wins without a tie (`ties=False`). Only wins with at most `most` votes
    count. The arrays are read-only: questions whose clusters have the same sizes share them.
    """
    return _win_chances(pool, tuple(budgets), tuple(sorted(sizes)), ties=ties, most=most)


@lru_cache(maxsize=4096)
def _win_chances(
    pool: int, budgets: tuple[int, ...], sizes: tuple[int, ...], *, ties: bool, most: int | None
) -> Mapping[int, FloatArray]:
    chances: dict[int, FloatArray] = {size: np.zeros(len(budgets)) for size in sizes}
    defined = {k: n for k, n in enumerate(budgets) if 1 <= n <= pool}
    small = {k: n for k, n in defined.items() if comb(pool, min(n, pool // 2)) <= _COUNTABLE}
    large = ({k: n} for k, n in defined.items() if k not in small)
    for columns in filter(None, (small, *large)):
        longest = max(columns.values())
        terms: Terms = partial(_binomials, degree=longest)
        if columns is not small:
            terms = partial(_binomial_chances, degree=longest, share=longest / pool)
        reach = min(longest, max(sizes, default=0), longest if most is None else most)
        for m in range(1, reach + 1):
            others = {k: n - m for k, n in columns.items() if n >= m}
            ahead = _ways_to_lead(pool, sizes, terms, m=m, left=list(others.values()), ties=ties)
            for size, ways in ahead:
                for k, way in zip(others, ways, strict=True):
                    chances[size][k] += terms(size)[m] * way / terms(pool)[budgets[k]]
    for column in chances.values():
        column.flags.writeable = False
    return MappingProxyType(chances)


def _ways_to_lead(
    pool: int, sizes: Sequence[int], terms: Terms, *, m: int, left: Sequence[int], ties: bool
) -> Iterator[tuple[int, list[float]]]:
    """Return for each size >= m the ways in which m votes win with `left` other rollouts drawn.

    They are coefficients of the product over the rivals i of (sum_{a<m} C(n_i, a) x^a + y C(n_i, m)
    x^m) and of (1 + x) for every rollout that cannot reach m votes, integrated over y on enough
    Gauss-Legendre nodes to be exact. All terms are positive, so nothing cancels. `terms` gives the
    C(n_i, a), or multiples of them.
    """
    rivals = sorted(size for size in sizes if size >= m)
    most_tied, width = min(len(rivals) - 1, max(left) // m), max(left) + 1
    y, weights = _nodes(most_tied // 2 + 1) if ties else (np.zeros(1), np.ones(1))
    free = np.outer(weights, terms(pool - sum(rivals))[:width])
    unit = np.outer(np.ones_like(y), terms(0)[:width])
    step = partial(_multiply_rival, terms=terms, m=m, y=y)
    last = {size: k for k, size in enumerate(rivals)}
    upward = enumerate(accumulate(rivals[:-1], step, initial=free))
    downward = enumerate(accumulate(rivals[:0:-1], step, initial=unit))
    before = {k: ways for k, ways in upward if k in last.values()}
    after = {k: ways for j, ways in downward if (k := len(rivals) - 1 - j) in last.values()}
    for size, k in last.items():
        yield size, [float(np.sum(before[k][:, : e + 1] * after[k][:, e::-1])) for e in left]


def _multiply_rival(
    ways: FloatArray, size: int, *, terms: Terms, m: int, y: FloatArray
) -> FloatArray:
    """Multiply `ways` (nodes, degree + 1) by sum_{a<m} C(size, a) x^a + y C(size, m) x^m."""
    width, binomials = ways.shape[1], terms(size)
    fewer = binomials[: min(m, width)]
    padded = np.pad(ways, ((0, 0), (len(fewer) - 1, 0)))
    product: FloatArray = sliding_window_view(padded, len(fewer), axis=1) @ fewer[::-1]
    if m < width:
        product[:, m:] += ways[:, : width - m] * (binomials[m] * y)[:, None]
    return product


@lru_cache(maxsize=4096)
def _binomials(top: int, *, degree: int) -> FloatArray:
    """Return C(top, 0), ..., C(top, degree): the coefficients of (1 + x)^top."""
    return np.array([float(comb(top, k)) for k in range(degree + 1)])


@lru_cache(maxsize=4096)
def _binomial_chances(top: int, *, degree: int, share: float) -> FloatArray:
    """Return C(top, k) share^k (1 - share)^(top - k) for k = 0..degree: a binomial distribution.

    In a ratio of products of equal degree over equal numbers of rollouts, the powers cancel. With
    `share` = n / N, the terms that matter are neither too large nor too small for a float.
    """
    from scipy.stats import binom  # takes half a second of CPU time

    return np.asarray(binom.pmf(np.arange(degree + 1), top, share))


@lru_cache(maxsize=512)
def _nodes(count: int) -> tuple[FloatArray, FloatArray]:
    """Return Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = roots_sh_legendre(count)
    return nodes, weights
