"""Expected scores of aggregators over uniformly random n-subsets of a pool, without resampling.

A pool holds N exchangeable rollouts of one question, so the mean over its n-subsets (drawn without
replacement) is unbiased for n fresh rollouts. Everything here is pure arithmetic on arrays.

Invariants:

- A budget n outside 1..N is undefined: NaN, never a clamped or stale number.
- Pick probabilities have shape (budgets, N); a row sums to 1 minus the mass of the subsets that
  abstain. Ties share their mass evenly, so nothing depends on the order of the pool.
- A rollout with NaN in a signal or None in a label is never picked. NaN in a score means
  "unscored": its mass is removed and reported, never counted as wrong.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate
from math import comb, isfinite, nan
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy.special import roots_sh_legendre

from cat_bench.types.calls import FloatArray

Label: TypeAlias = int | str | None
"""The cluster that a rollout votes for; None and the empty string mean no answer."""

_ROUNDING = 1e-12
_REMEMBERED = 16
"""Results for pools of at most this size are kept: questions share them."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """An expected score at each budget; arrays of shape (budgets,).

    `value` is the mean over the scored mass, where abstentions count as 0; NaN if no mass is left
    or the budget is undefined. `lost` is the mass of unscored picks, `abstained` that of no pick.
    """

    value: FloatArray
    lost: FloatArray
    abstained: FloatArray


def uniform_probabilities(pool: int, budgets: Sequence[int]) -> FloatArray:
    """Return the pick probabilities of a random rollout of an n-subset: (budgets, pool)."""
    return _mask_undefined(np.full((len(budgets), pool), 1 / max(pool, 1)), budgets, pool=pool)


def best_of_probabilities(signal: ArrayLike, budgets: Sequence[int]) -> FloatArray:
    """Return the pick probabilities of the highest `signal` (N,) in an n-subset: (budgets, N).

    Rank i from 1 is picked with C(N-i, n-1) / C(N, n); tied rollouts share the mass of their ranks.
    NaN ranks last and is never picked: a subset that is all NaN abstains.
    """
    ranks = _rank(np.asarray(signal, dtype=float))
    if len(ranks) > _REMEMBERED:
        return _best_of(ranks, tuple(budgets))
    return _known_best_of(ranks, tuple(budgets)).copy()


def _rank(values: FloatArray) -> tuple[int, ...]:
    """Return each value's place from the highest, from 0 and shared by ties; -1 for NaN."""
    listed = values.tolist()
    places = {v: k for k, v in enumerate(sorted({v for v in listed if v == v}, reverse=True))}
    return tuple(places.get(v, -1) for v in listed)


def _best_of(ranks: tuple[int, ...], budgets: tuple[int, ...]) -> FloatArray:
    """Return `best_of_probabilities` of a signal with these ranks: see `_rank`."""
    pool, there = len(ranks), max(ranks, default=-1) + 1
    tie = np.array([there if rank < 0 else rank for rank in ranks], dtype=int)
    picks, weights = np.zeros((len(budgets), pool)), _rank_weights(pool, budgets)
    if there == pool:
        np.take(weights, tie, axis=1, out=picks)
    elif there:
        size = np.bincount(tie)
        first = np.cumsum(size) - size
        np.take(np.add.reduceat(weights, first, axis=1) / size, tie, axis=1, out=picks)
        picks[:, tie == there] = 0
    return _mask_undefined(picks, budgets, pool=pool)


_known_best_of = lru_cache(maxsize=4096)(_best_of)


def majority_probabilities(labels: Sequence[Label], budgets: Sequence[int]) -> FloatArray:
    """Return the exact pick probabilities of the commonest label in an n-subset: (budgets, N).

    Tied labels win with equal chances, and a winner's mass spreads evenly over its members. A
    rollout without an answer takes a place and never wins; a subset without any answer abstains.
    This equals "first seen wins", averaged over orders. Raises ValueError where C(N, n) overflows a
    float.
    """
    numbers = {label: k for k, label in enumerate(dict.fromkeys(labels)) if _is_vote(label)}
    votes = tuple(numbers.get(label, -1) for label in labels)
    if len(votes) > _REMEMBERED:
        return _majority(votes, tuple(budgets))
    return _known_majority(votes, tuple(budgets)).copy()


def _majority(labels: tuple[int, ...], budgets: tuple[int, ...]) -> FloatArray:
    """Return `majority_probabilities` of labels that are numbers, or -1 for no vote."""
    sizes = Counter(label for label in labels if label >= 0)
    chances = win_chances(len(labels), budgets, list(sizes.values()))
    distinct = list(chances)
    shares = np.zeros((len(budgets), len(distinct) + 1))
    for k, size in enumerate(distinct):
        shares[:, k] = chances[size] / size
    place = {size: k for k, size in enumerate(distinct)}
    column = [place[sizes[label]] if label in sizes else len(distinct) for label in labels]
    picks = np.take(shares, np.array(column, dtype=int), axis=1)
    return _mask_undefined(picks, budgets, pool=len(labels))


_known_majority = lru_cache(maxsize=4096)(_majority)


def tie_rate(labels: Sequence[Label], budgets: Sequence[int]) -> FloatArray:
    """Return the chance that the commonest label of an n-subset is tied, shape (budgets,)."""
    pool, sizes = len(labels), list(_votes(labels).values())
    alone = win_chances(pool, budgets, sizes, ties=False)
    silent = [
        comb(pool - sum(sizes), n) / comb(pool, n) if 1 <= n <= pool else nan for n in budgets
    ]
    tied = 1 - np.array(silent) - sum((alone[size] for size in sizes), np.zeros(len(budgets)))
    return _mask_undefined(_clean(tied), budgets, pool=pool)


def max_at(scores: ArrayLike, budgets: Sequence[int]) -> FloatArray:
    """Return the expected best score, shape (budgets,), in a random n-subset: the oracle.

    Unscored (NaN) rollouts are ignored: the value is the mean over the subsets with a scored
    rollout, NaN if no subset has one.
    """
    values = np.asarray(scores, dtype=float)
    if len(values) > _REMEMBERED:
        return _max_at(values.tobytes(), tuple(budgets))
    return _known_max_at(values.tobytes(), tuple(budgets)).copy()


def _max_at(scores: bytes, budgets: tuple[int, ...]) -> FloatArray:
    values = np.frombuffer(scores)
    picks = best_of_probabilities(values, budgets)
    return _ratio(picks @ np.nan_to_num(values), picks.sum(axis=1))


_known_max_at = lru_cache(maxsize=4096)(_max_at)


def min_at(scores: ArrayLike, budgets: Sequence[int]) -> FloatArray:
    """Return the expected worst score in a random n-subset: shape and NaN as in `max_at`."""
    return 0 - max_at(-np.asarray(scores, dtype=float), budgets)


def expected_score(probabilities: ArrayLike, scores: ArrayLike) -> Expectation:
    """Return the expected score of picks: probabilities (budgets, T) times scores (T,).

    The mass of an unscored (NaN) text is removed and the rest renormalised, including the abstained
    mass, which scores 0. For drawn subsets, a row holds the mean of the draws' pick weights. The
    arrays may be read-only: questions whose picks and scores are equal share them.
    """
    picks, values = np.asarray(probabilities, dtype=float), np.asarray(scores, dtype=float)
    if len(values) > _REMEMBERED:
        return _expected(picks, values)
    return _known_expected(picks.tobytes(), values.tobytes(), len(picks))


@lru_cache(maxsize=8192)
def _known_expected(picks: bytes, scores: bytes, rows: int) -> Expectation:
    values = np.frombuffer(scores)
    found = _expected(np.frombuffer(picks).reshape(rows, len(values)), values)
    for array in (found.value, found.lost, found.abstained):
        array.flags.writeable = False
    return found


def _expected(picks: FloatArray, values: FloatArray) -> Expectation:
    abstained = _clean(1 - picks.sum(axis=1))
    if isfinite(values.sum() + abstained.sum()):  # no score and no pick is NaN
        return Expectation(picks @ values, lost=np.zeros(len(picks)), abstained=abstained)
    lost = _clean(picks @ np.isnan(values))
    value = _ratio(picks @ np.nan_to_num(values), 1 - lost)
    return Expectation(value, lost=lost, abstained=abstained)


def expected_parts(
    probabilities: ArrayLike, parts: Sequence[Mapping[str, float]]
) -> list[dict[str, float]]:
    """Return `expected_score` for each part of T texts' scores: one mapping per row of picks.

    A text without any part is unscored; a row whose texts are all unscored has no parts.
    """
    names = dict.fromkeys(name for scores in parts for name in scores)
    if not names:
        return [{} for _ in np.atleast_2d(probabilities)]
    by_name = {
        name: expected_score(probabilities, [scores.get(name, nan) for scores in parts]).value
        for name in names
    }
    return [
        {name: float(values[k]) for name, values in by_name.items() if values[k] == values[k]}
        for k in range(len(np.atleast_2d(probabilities)))
    ]


def draw_error(spread: ArrayLike, *, draws: ArrayLike, subsets: ArrayLike) -> FloatArray:
    """Return Monte-Carlo standard error of means of `draws` values, each from a different subset.

    `spread` is the values' standard deviation (divided by draws - 1) and `subsets` is C(N, n), or
    infinite if a value is random beyond its subset. The error is 0 once all subsets were drawn, NaN
    for fewer than two draws. Disjoint and balanced draws tend to vary less.
    """
    drawn, existing = np.asarray(draws, dtype=float), np.asarray(subsets, dtype=float)
    left = 1 - np.divide(drawn, existing, out=np.ones_like(drawn), where=drawn < existing)
    error = np.asarray(spread, dtype=float) * np.sqrt(left / np.maximum(drawn, 1))
    estimated: FloatArray = np.where(drawn < 2, nan, error)
    return np.where((drawn == existing) & (drawn > 0), 0.0, estimated)


def _votes(labels: Sequence[Label]) -> Counter[Label]:
    return Counter(filter(_is_vote, labels))


def _is_vote(label: Label) -> bool:
    return label is not None and label != ""


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
    votes, or m and a priority below y. Integrating y out gives the 1 / (1 + t) of t tied rivals; y
    = 0 alone gives the wins without a tie (`ties=False`). Only wins with at most `most` votes
    count. The arrays are read-only: questions whose clusters have the same sizes share them.
    """
    return _win_chances(pool, tuple(budgets), tuple(sorted(sizes)), ties=ties, most=most)


@lru_cache(maxsize=4096)
def _win_chances(
    pool: int, budgets: tuple[int, ...], sizes: tuple[int, ...], *, ties: bool, most: int | None
) -> Mapping[int, FloatArray]:
    defined = {k: n for k, n in enumerate(budgets) if 1 <= n <= pool}
    longest = max(defined.values(), default=0)
    if comb(pool, min(longest, pool // 2)) > sys.float_info.max:
        raise ValueError(
            f"exact majority@{longest} of {pool} rollouts overflows; draw subsets instead"
        )
    chances: dict[int, FloatArray] = {size: np.zeros(len(budgets)) for size in sizes}
    reach = min(longest, max(sizes, default=0), longest if most is None else most)
    for m in range(1, reach + 1):
        left = {k: n - m for k, n in defined.items() if n >= m}
        for size, ways in _ways_to_lead(pool, sizes, m=m, left=list(left.values()), ties=ties):
            for k, way in zip(left, ways, strict=True):
                chances[size][k] += comb(size, m) * way / comb(pool, budgets[k])
    for column in chances.values():
        column.flags.writeable = False
    return MappingProxyType(chances)


def _ways_to_lead(
    pool: int, sizes: Sequence[int], *, m: int, left: Sequence[int], ties: bool
) -> Iterator[tuple[int, list[float]]]:
    """Return for each size >= m the ways in which m votes win with `left` other rollouts drawn.

    They are coefficients of the product over the rivals i of (sum_{a<m} C(n_i, a) x^a + y C(n_i, m)
    x^m) and of (1 + x) for every rollout that cannot reach m votes, integrated over y on enough
    Gauss-Legendre nodes to be exact. All terms are positive, so nothing cancels.
    """
    rivals = sorted(size for size in sizes if size >= m)
    most_tied = min(len(rivals) - 1, max(left) // m)
    y, weights = _nodes(most_tied // 2 + 1) if ties else (np.zeros(1), np.ones(1))
    free = np.outer(weights, _binomials(pool - sum(rivals), max(left)))
    unit = np.outer(np.ones_like(y), _binomials(0, max(left)))
    step = partial(_multiply_rival, m=m, y=y)
    last = {size: k for k, size in enumerate(rivals)}
    upward = enumerate(accumulate(rivals[:-1], step, initial=free))
    downward = enumerate(accumulate(rivals[:0:-1], step, initial=unit))
    before = {k: ways for k, ways in upward if k in last.values()}
    after = {k: ways for j, ways in downward if (k := len(rivals) - 1 - j) in last.values()}
    for size, k in last.items():
        yield size, [float(np.sum(before[k][:, : e + 1] * after[k][:, e::-1])) for e in left]


def _multiply_rival(ways: FloatArray, size: int, *, m: int, y: FloatArray) -> FloatArray:
    """Multiply `ways` (nodes, degree + 1) by sum_{a<m} C(size, a) x^a + y C(size, m) x^m."""
    width = ways.shape[1]
    fewer = _binomials(size, min(m, width) - 1)
    padded = np.pad(ways, ((0, 0), (len(fewer) - 1, 0)))
    product: FloatArray = sliding_window_view(padded, len(fewer), axis=1) @ fewer[::-1]
    if m < width:
        product[:, m:] += ways[:, : width - m] * (comb(size, m) * y)[:, None]
    return product


@lru_cache(maxsize=4096)
def _binomials(top: int, degree: int) -> FloatArray:
    """Return C(top, 0), ..., C(top, degree): the coefficients of (1 + x)^top."""
    return np.array([float(comb(top, k)) for k in range(degree + 1)])


@lru_cache(maxsize=512)
def _nodes(count: int) -> tuple[FloatArray, FloatArray]:
    """Return Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = roots_sh_legendre(count)
    return nodes, weights


@lru_cache(maxsize=64)
def _rank_weights(pool: int, budgets: tuple[int, ...]) -> FloatArray:
    """Return C(N-i, n-1) / C(N, n), shape (budgets, N), for i = 1..N, by the ratio of neighbours.

    The row of a budget outside 1..N is 0.
    """
    above = np.arange(1, pool)
    weights = np.zeros((len(budgets), pool))
    for row, n in zip(weights, budgets, strict=True):
        if 1 <= n <= pool:
            ratios = np.maximum(pool - above - n + 1, 0) / (pool - above)
            row[:] = n / pool * np.cumprod(np.concatenate(([1.0], ratios)))
    weights.flags.writeable = False
    return weights


def _mask_undefined(rows: FloatArray, budgets: Sequence[int], *, pool: int) -> FloatArray:
    """Return `rows` with NaN in those of budgets outside 1..pool."""
    undefined = [not 1 <= n <= pool for n in budgets]
    if any(undefined):
        rows[undefined] = nan
    return rows


def _ratio(total: FloatArray, mass: FloatArray) -> FloatArray:
    """Return `total / mass`; NaN where the mass is 0."""
    return np.divide(total, mass, out=np.full_like(mass, nan), where=mass > _ROUNDING)


def _clean(mass: FloatArray) -> FloatArray:
    """Return `mass` with rounding residue around 0 removed."""
    return np.where(np.abs(mass) < _ROUNDING, 0.0, mass)
