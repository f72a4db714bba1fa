"""Compute the vote of several models that share n samples, over random draws from their pools.

Of n samples, model m gives `floor(n w_m)`. Each sample that is left over is given to a model at
random, by the fractions that were cut off, so that model m gives n w_m in expectation. With n = 1,
the sample is a random model's, as in Best-of-infinity (arXiv 2509.21091, section 4). Each sample is
one vote, a sample without an answer is paid for and does not vote, and tied answers share evenly.

The expected score is exact where that needs at most `STATES` states: the numbers of samples from
each model, times the answers, times n. Otherwise it is a mean over random draws, with its
Monte-Carlo error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations_with_replacement
from math import comb, factorial, prod, sqrt

import numpy as np
from scipy.special import gammaln

from cat_bench.stats.ensembles import Polled
from cat_bench.stats.exact import win_chances
from cat_bench.stats.stopping import IntArray
from cat_bench.types.calls import FloatArray

STATES = 2_000
"""The most states of an exact expectation for one question."""
DRAWS = 1_000
"""The number of random draws that an inexact score is a mean over."""
_SPLITS = 1_000
"""The most ways to give out the samples left over that are enumerated."""
_ROUNDING = 1e-9


@dataclass(frozen=True, repr=False)
class Ballots:
    """One question's pools, one for each model.

    `counts` (models, answers) are the rollouts that give each answer, `worth` (answers,) each
    answer's score in [0, 1], and `tokens` the completion tokens of each rollout, by model.
    """

    counts: IntArray
    worth: FloatArray
    tokens: Sequence[FloatArray]

    @cached_property
    def sizes(self) -> IntArray:
        """The number of rollouts of each model, shape (models,)."""
        return np.array([len(tokens) for tokens in self.tokens])

    @property
    def polled(self) -> Polled:
        """The question in the limit of many samples."""
        return Polled(self.counts / self.sizes[:, None], self.worth)

    def of(self, models: Sequence[int]) -> Ballots:
        """Return the pools of some of the models."""
        chosen = list(models)
        counts = self.counts[chosen]
        given = counts.any(axis=0)
        return Ballots(counts[:, given], self.worth[given], [self.tokens[m] for m in chosen])


@dataclass(frozen=True, slots=True)
class Voted:
    """An ensemble at one n: its expected score and costs for one question.

    `error` is the Monte-Carlo standard error of the score, 0 where it is exact.
    """

    score: float
    error: float
    tokens: float
    sequential: float


@dataclass(frozen=True, slots=True)
class _Splits:
    """The numbers of samples from each model, shape (ways, models), and the chance of each way."""

    samples: IntArray
    chances: FloatArray
    whole: bool
    """Whether these are all ways, and not some drawn at random."""


def vote_ensemble(
    question: Ballots,
    weights: FloatArray,
    n: int,
    *,
    rng: np.random.Generator,
    states: int = STATES,
    draws: int = DRAWS,
) -> Voted:
    """Return what n samples in all give in expectation, with these `weights` of the models.

    The weights sum to 1. Raises ValueError where a model may have to give more rollouts than its
    pool has.
    """
    splits = _split(weights, n, rng=rng)
    if (splits.samples > question.sizes).any():
        raise ValueError(f"{n} samples need more rollouts than the pools of {question.sizes} have")
    used = splits.samples.any(axis=0)
    if not used.all():
        question = question.of(np.flatnonzero(used).tolist())
        splits = _Splits(splits.samples[:, used], splits.chances, splits.whole)
    tokens = splits.chances @ splits.samples @ [each.mean() for each in question.tokens]
    reach = splits.samples.max(axis=0)
    if len(question.sizes) == 1:
        score, error = _lone_score(question, n), 0.0
    elif splits.whole and prod(reach + 1) * len(question.worth) * n <= states:
        score, error = _exact_score(question, splits, n), 0.0
    else:
        score, error = _drawn_score(question, splits, draws=draws, rng=rng)
    return Voted(score, error, float(tokens), _longest(question, splits))


def _split(weights: FloatArray, n: int, *, rng: np.random.Generator) -> _Splits:
    """Return how n samples are divided among the models."""
    shares = n * np.asarray(weights, dtype=float) / np.sum(weights)
    whole = np.floor(shares + _ROUNDING).astype(np.int64)
    left = n - int(whole.sum())
    if not left:
        return _Splits(whole[None], np.ones(1), whole=True)
    fractions = np.clip(shares - whole, 0, None)
    fractions = np.where(fractions > _ROUNDING, fractions, 0.0)
    fractions /= fractions.sum()
    open_to = np.flatnonzero(fractions)
    if comb(len(open_to) + left - 1, left) > _SPLITS:
        given = rng.multinomial(left, fractions, size=_SPLITS)
        return _Splits(whole + given, np.full(_SPLITS, 1 / _SPLITS), whole=False)
    ways = [
        np.bincount(way, minlength=len(shares))
        for way in combinations_with_replacement(open_to.tolist(), left)
    ]
    chances = [
        factorial(left) * prod(p**k / factorial(k) for p, k in zip(fractions, way, strict=True))
        for way in map(np.ndarray.tolist, ways)
    ]
    return _Splits(whole + np.array(ways), np.array(chances), whole=True)


def _lone_score(question: Ballots, n: int) -> float:
    """Return the exact expectation of one model's vote."""
    counts = question.counts[0].tolist()
    won = win_chances(int(question.sizes[0]), [n], counts)
    chances = np.array([won[count][0] for count in counts])
    return float(chances @ question.worth)


def _exact_score(question: Ballots, splits: _Splits, n: int) -> float:
    """Return the expectation over all draws, as coefficients of a polynomial in one x per model.

    An answer contributes the product over models of C(count_m, a_m) x_m^a_m: with fewer than s
    votes it is behind, with s it leads or ties. `plain` and `marked` collect, by the number of
    tied answers, the ways to draw and these ways times the worth of the tied answers.
    """
    shape = tuple((splits.samples.max(axis=0) + 1).tolist())
    silent = question.sizes - question.counts.sum(axis=1)
    answers = [_ways(column, shape) for column in question.counts.T]
    degree = np.indices(shape).sum(axis=0)
    weigh = np.zeros(shape)
    for way, chance in zip(splits.samples.tolist(), splits.chances, strict=True):
        subsets = prod(comb(size, k) for size, k in zip(question.sizes.tolist(), way, strict=True))
        weigh[tuple(way)] += chance / subsets
    found = 0.0
    for s in range(1, n + 1):
        most = min(n // s, len(answers))
        plain, marked = np.zeros((2, most + 1, *shape))
        plain[0] = _ways(silent, shape)
        for ways, worth in zip(answers, question.worth, strict=True):
            behind, level = np.where(degree < s, ways, 0.0), np.where(degree == s, ways, 0.0)
            tied = [_times(part[:-1], level) for part in (plain, marked)]
            plain, marked = _times(plain, behind), _times(marked, behind)
            plain[1:] += tied[0]
            marked[1:] += tied[1] + worth * tied[0]
        found += sum(float((weigh * marked[t]).sum()) / t for t in range(1, most + 1))
    return found


def _ways(counts: IntArray, shape: tuple[int, ...]) -> FloatArray:
    """Return the product over models of C(count, a), for every a within `shape`."""
    ways: FloatArray = np.ones(shape)
    for axis, (count, size) in enumerate(zip(counts.tolist(), shape, strict=True)):
        column = np.array([float(comb(count, a)) for a in range(size)])
        ways *= column.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return ways


def _times(tables: FloatArray, factor: FloatArray) -> FloatArray:
    """Return each of `tables` (k, *shape) times a polynomial (*shape), cut off at the shape."""
    out = np.zeros_like(tables)
    for place in map(tuple, np.argwhere(factor > 0).tolist()):
        into = (slice(None), *(slice(k, None) for k in place))
        kept = (
            slice(None),
            *(slice(0, size - k) for k, size in zip(place, factor.shape, strict=True)),
        )
        out[into] += factor[place] * tables[kept]
    return out


def _drawn_score(
    question: Ballots, splits: _Splits, *, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the mean over random draws and its standard error.

    The votes of one model are drawn answer by answer: each time a hypergeometric number among the
    rollouts that are left.
    """
    way = rng.choice(len(splits.chances), size=draws, p=splits.chances / splits.chances.sum())
    votes = np.zeros((draws, len(question.worth)), dtype=np.int64)
    for m, size in enumerate(question.sizes.tolist()):
        wanted = splits.samples[way, m].copy()
        for answer, count in enumerate(question.counts[m].tolist()):
            if count:
                drawn = rng.hypergeometric(count, size - count, wanted)
                votes[:, answer] += drawn
                wanted, size = wanted - drawn, size - count
    top = votes.max(axis=1, initial=0, keepdims=True)
    leads = (votes == top) & (top > 0)
    scores = (leads @ question.worth) / np.maximum(leads.sum(axis=1), 1)
    return float(scores.mean()), float(scores.std(ddof=1)) / sqrt(draws)


def _longest(question: Ballots, splits: _Splits) -> float:
    """Return the expected tokens of the longest sample: all of them are written in parallel.

    For one split, the chance that none is longer than v is the product over models of C(k, d) /
    C(size, d), with the k rollouts of the model that are not longer.
    """
    values = np.unique(np.concatenate(question.tokens))
    none_longer = np.zeros((len(splits.samples), len(values)))
    for m, tokens in enumerate(question.tokens):
        upto = np.searchsorted(np.sort(tokens), values, side="right")
        drawn = splits.samples[:, [m]]
        none_longer += np.where(
            upto >= drawn, _log_comb(upto, drawn) - _log_comb(len(tokens), drawn), -np.inf
        )
    chance = splits.chances @ np.exp(none_longer) / splits.chances.sum()
    return float(np.diff(chance, prepend=0.0) @ values)


def _log_comb(top: IntArray | int, chosen: IntArray) -> FloatArray:
    """Return log C(top, chosen); what is not defined gets that of C(chosen, chosen)."""
    there = np.maximum(top, chosen)
    logs = _log_factorials(int(there.max()))
    found: FloatArray = logs[there] - logs[chosen] - logs[there - chosen]
    return found


@lru_cache
def _log_factorials(most: int) -> FloatArray:
    """Return log k! for k = 0..most."""
    return np.asarray(gammaln(np.arange(most + 1) + 1.0))
