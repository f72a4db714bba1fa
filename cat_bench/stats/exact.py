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

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, isfinite, nan
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from cat_bench.stats.wins import win_chances
from cat_bench.types.calls import FloatArray

Label: TypeAlias = int | str | None
"""The cluster that a rollout votes for; None and the empty string mean no answer."""

_ROUNDING = 1e-12
_REMEMBERED = 16
"""Results for pools of at most this size are kept: questions share them."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """An expected score at each budget; arrays of shape (budgets,).

    `value` is the mean over the scored mass, where abstentions count as 0; NaN if none is left or
    the budget is undefined. `lost` is the mass of unscored picks, `abstained` the mass without a
    pick.
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
    numbers = values.tolist()
    places = {v: k for k, v in enumerate(sorted({v for v in numbers if v == v}, reverse=True))}
    return tuple(places.get(v, -1) for v in numbers)


def _best_of(ranks: tuple[int, ...], budgets: tuple[int, ...]) -> FloatArray:
    """Return `best_of_probabilities` of a signal with these ranks: see `_rank`."""
    pool, ranked = len(ranks), max(ranks, default=-1) + 1
    tie = np.array([ranked if rank < 0 else rank for rank in ranks], dtype=int)
    picks, weights = np.zeros((len(budgets), pool)), _rank_weights(pool, budgets)
    if ranked == pool:
        np.take(weights, tie, axis=1, out=picks)
    elif ranked:
        size = np.bincount(tie)
        first = np.cumsum(size) - size
        np.take(np.add.reduceat(weights, first, axis=1) / size, tie, axis=1, out=picks)
        picks[:, tie == ranked] = 0
    return _mask_undefined(picks, budgets, pool=pool)


_known_best_of = lru_cache(maxsize=4096)(_best_of)


def majority_probabilities(labels: Sequence[Label], budgets: Sequence[int]) -> FloatArray:
    """Return the exact pick probabilities of the commonest label in an n-subset: (budgets, N).

    Tied labels win with equal chances, and a winner's mass spreads evenly over its members. A
    rollout without an answer counts in n and never wins; a subset without any answer abstains. This
    is "first seen wins", averaged over orders.
    """
    number_of = {label: k for k, label in enumerate(dict.fromkeys(labels)) if _is_vote(label)}
    votes = tuple(number_of.get(label, -1) for label in labels)
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
    untied = win_chances(pool, budgets, sizes, ties=False)
    silent = [
        comb(pool - sum(sizes), n) / comb(pool, n) if 1 <= n <= pool else nan for n in budgets
    ]
    tied = 1 - np.array(silent) - sum((untied[size] for size in sizes), np.zeros(len(budgets)))
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

    The mass of an unscored (NaN) text is removed; the rest, with the abstained mass (which scores
    0), is renormalised. For drawn subsets, a row holds the mean of the draws' pick weights. The
    arrays may be read-only: questions whose picks and scores are equal share them.
    """
    picks, values = np.asarray(probabilities, dtype=float), np.asarray(scores, dtype=float)
    if len(values) > _REMEMBERED:
        return _expected(picks, values)
    return _known_expected(picks.tobytes(), values.tobytes(), len(picks))


@lru_cache(maxsize=8192)
def _known_expected(picks: bytes, scores: bytes, rows: int) -> Expectation:
    values = np.frombuffer(scores)
    expected = _expected(np.frombuffer(picks).reshape(rows, len(values)), values)
    for array in (expected.value, expected.lost, expected.abstained):
        array.flags.writeable = False
    return expected


def _expected(picks: FloatArray, values: FloatArray) -> Expectation:
    abstained = _clean(1 - picks.sum(axis=1))
    if isfinite(values.sum() + abstained.sum()):  # every text scored, every budget defined
        return Expectation(picks @ values, lost=np.zeros(len(picks)), abstained=abstained)
    lost = _clean(picks @ np.isnan(values))
    value = _ratio(picks @ np.nan_to_num(values), 1 - lost)
    return Expectation(value, lost=lost, abstained=abstained)


def expected_parts(
    probabilities: ArrayLike, parts: Sequence[Mapping[str, float]]
) -> list[dict[str, float]]:
    """Return the expected score of each named part: one mapping per row of `probabilities`.

    `parts` has each text's scores by part. A text without any part is unscored; a row whose texts
    are all unscored has no parts.
    """
    names = dict.fromkeys(name for scores in parts for name in scores)
    by_name = {
        name: expected_score(probabilities, [scores.get(name, nan) for scores in parts]).value
        for name in names
    }
    return [
        {name: float(values[k]) for name, values in by_name.items() if values[k] == values[k]}
        for k in range(len(np.asarray(probabilities)))
    ]


def draw_error(spread: ArrayLike, *, draws: ArrayLike, subsets: ArrayLike) -> FloatArray:
    """Return the Monte-Carlo error of means of `draws` values, each from a different subset.

    `spread` is the values' standard deviation (divided by draws - 1) and `subsets` is C(N, n), or
    infinite if a value is random beyond its subset. The error is 0 once all subsets were drawn, NaN
    for fewer than two draws. Disjoint and balanced draws tend to vary less.
    """
    drawn, existing = np.asarray(draws, dtype=float), np.asarray(subsets, dtype=float)
    remaining = 1 - np.divide(drawn, existing, out=np.ones_like(drawn), where=drawn < existing)
    error = np.asarray(spread, dtype=float) * np.sqrt(remaining / np.maximum(drawn, 1))
    estimated: FloatArray = np.where(drawn < 2, nan, error)
    return np.where((drawn == existing) & (drawn > 0), 0.0, estimated)


def _votes(labels: Sequence[Label]) -> Counter[Label]:
    return Counter(filter(_is_vote, labels))


def _is_vote(label: Label) -> bool:
    return label is not None and label != ""


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
    """Return `rows` with NaN at budgets outside 1..pool."""
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
