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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations_with_replacement
from math import comb, factorial, prod, sqrt

import numpy as np
from scipy.special import gammaln

from cat_bench.stats.ensembles import Polled
from cat_bench.stats.stopping import IntArray
from cat_bench.stats.wins import win_chances
from cat_bench.types.calls import FloatArray

STATES = 2_000
"""The most states of an exact expectation for one question."""
DRAWS = 1_000
"""The number of random draws that an inexact score is a mean over."""
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
        answered = counts.any(axis=0)
        return Ballots(counts[:, answered], self.worth[answered], [self.tokens[m] for m in chosen])


@dataclass(frozen=True, slots=True)
class Voted:
    """An ensemble at one n: its expected score and costs for one question.

    `error` is the Monte-Carlo standard error of the score; None if the score is exact.
    """

    score: float
    error: float | None
    tokens: float
    sequential: float


@dataclass(frozen=True, slots=True)
class _Division:
    """The division of n samples: `whole` (models,) are fixed, `left` are random by `fractions`."""

    whole: IntArray
    left: int
    fractions: FloatArray

    @classmethod
    def of(cls, weights: FloatArray, n: int) -> _Division:
        """Return the division of n samples by these weights."""
        shares = n * np.asarray(weights, dtype=float) / np.sum(weights)
        fixed = np.floor(shares + _ROUNDING).astype(np.int64)
        fractions = np.where(shares - fixed > _ROUNDING, shares - fixed, 0.0)
        return cls(fixed, n - int(fixed.sum()), fractions / max(fractions.sum(), _ROUNDING))

    @property
    def most(self) -> IntArray:
        """The most samples that each model may have to give, shape (models,)."""
        return self.whole + self.left * (self.fractions > 0)

    def ways(self) -> Iterator[tuple[IntArray, float]]:
        """Yield every number of samples of each model, and its chance."""
        open_to = np.flatnonzero(self.fractions).tolist()
        for way in combinations_with_replacement(open_to, self.left):
            sizes = np.bincount(way, minlength=len(self.whole)) if way else 0 * self.whole
            parts = zip(self.fractions, sizes.tolist(), strict=True)
            yield (
                self.whole + sizes,
                factorial(self.left) * prod(p**k / factorial(k) for p, k in parts),
            )


def vote_ensemble(
    question: Ballots,
    weights: FloatArray,
    n: int,
    *,
    rng: np.random.Generator,
    states: int = STATES,
    draws: int = DRAWS,
) -> Voted:
    """Return the expected result of n samples in all, with these `weights` of the models.

    Raises ValueError if a model may have to give more rollouts than its pool has.
    """
    division = _Division.of(weights, n)
    if (division.most > question.sizes).any():
        raise ValueError(f"{n} samples need more rollouts than the pools of {question.sizes} have")
    used = division.most > 0
    if not used.all():
        question = question.of(np.flatnonzero(used).tolist())
        division = _Division(division.whole[used], division.left, division.fractions[used])
    if len(question.sizes) == 1:
        score, error = _lone_score(question, n), None
    elif prod((division.most + 1).tolist()) * len(question.worth) * n <= states:
        score, error = _exact_score(question, division, n), None
    else:
        score, error = _drawn_score(question, division, draws=draws, rng=rng)
    expected = division.whole + division.left * division.fractions
    tokens = float(expected @ [lengths.mean() for lengths in question.tokens])
    return Voted(score, error, tokens, _longest(question, division))


def _lone_score(question: Ballots, n: int) -> float:
    """Return the exact expectation of one model's vote."""
    counts = question.counts[0].tolist()
    won = win_chances(int(question.sizes[0]), [n], counts)
    chances = np.array([won[count][0] for count in counts])
    return float(chances @ question.worth)


def _exact_score(question: Ballots, division: _Division, n: int) -> float:
    """Return the expectation over all draws, as coefficients of a polynomial in one x per model.

    An answer contributes the product over models of C(count_m, a_m) x_m^a_m: with fewer than s
    votes it is behind, with s it leads or ties. `plain` and `marked` collect, by the number of
    tied answers, the ways to draw and these ways times the worth of the tied answers.
    """
    shape = tuple((division.most + 1).tolist())
    silent = question.sizes - question.counts.sum(axis=1)
    answers = [_ways(column, shape) for column in question.counts.T]
    degree = np.indices(shape).sum(axis=0)
    weigh = np.zeros(shape)
    for way, chance in division.ways():
        drawn = zip(question.sizes.tolist(), way.tolist(), strict=True)
        weigh[tuple(way)] += chance / prod(comb(size, k) for size, k in drawn)
    expectation = 0.0
    for s in range(1, n + 1):
        most = min(n // s, len(answers))
        unmarked, marked = np.zeros((2, most + 1, *shape))
        unmarked[0] = _ways(silent, shape)
        for ways, score in zip(answers, question.worth, strict=True):
            behind, level = np.where(degree < s, ways, 0.0), np.where(degree == s, ways, 0.0)
            tied = [_times(part[:-1], level) for part in (unmarked, marked)]
            unmarked, marked = _times(unmarked, behind), _times(marked, behind)
            unmarked[1:] += tied[0]
            marked[1:] += tied[1] + score * tied[0]
        expectation += sum(float((weigh * marked[t]).sum()) / t for t in range(1, most + 1))
    return expectation


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
        target = (slice(None), *(slice(k, None) for k in place))
        source = (
            slice(None),
            *(slice(0, size - k) for k, size in zip(place, factor.shape, strict=True)),
        )
        out[target] += factor[place] * tables[source]
    return out


def _drawn_score(
    question: Ballots, division: _Division, *, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the mean over random draws and its standard error.

    The votes of one model are drawn answer by answer: each time a hypergeometric number among the
    rollouts that are left.
    """
    sizes = division.whole + rng.multinomial(division.left, division.fractions, size=draws)
    votes = np.zeros((draws, len(question.worth)), dtype=np.int64)
    for m, size in enumerate(question.sizes.tolist()):
        wanted = sizes[:, m]
        for answer, count in enumerate(question.counts[m].tolist()):
            if count:
                drawn = rng.hypergeometric(count, size - count, wanted)
                votes[:, answer] += drawn
                wanted, size = wanted - drawn, size - count
    top = votes.max(axis=1, initial=0, keepdims=True)
    leads = (votes == top) & (top > 0)
    scores = (leads @ question.worth) / np.maximum(leads.sum(axis=1), 1)
    return float(scores.mean()), float(scores.std(ddof=1)) / sqrt(draws)


def _longest(question: Ballots, division: _Division) -> float:
    """Return the expected tokens of the longest sample: all of them are written in parallel.

    If model m gives d samples, none of them is longer than v with the chance C(k, d) / C(size, d),
    with its k rollouts that are not longer. The samples left over are multinomial, so the
    expectation of the product over models is a coefficient of a product of polynomials.
    """
    values = np.unique(np.concatenate(question.tokens))
    extra = np.arange(division.left + 1)
    product = np.zeros((len(values), len(extra)))
    product[:, 0] = factorial(division.left)
    for m, tokens in enumerate(question.tokens):
        upto = np.searchsorted(np.sort(tokens), values, side="right")[:, None]
        drawn = np.minimum(division.whole[m] + extra, len(tokens))
        chance = np.exp(_log_comb(upto, drawn) - _log_comb(len(tokens), drawn)) * (upto >= drawn)
        factor = (
            chance * division.fractions[m] ** extra / np.exp(_log_factorials(len(extra))[extra])
        )
        before, product = product, np.zeros_like(product)
        for k in extra.tolist():
            product[:, k:] += before[:, : len(extra) - k] * factor[:, [k]]
    return float(np.diff(product[:, -1], prepend=0.0) @ values)


def _log_comb(top: IntArray | int, chosen: IntArray) -> FloatArray:
    """Return log C(top, chosen); an undefined one counts as C(chosen, chosen)."""
    defined = np.maximum(top, chosen)
    logs = _log_factorials(int(defined.max()))
    ways: FloatArray = logs[defined] - logs[chosen] - logs[defined - chosen]
    return ways


@lru_cache
def _log_factorials(most: int) -> FloatArray:
    """Return log k! for k = 0..most."""
    return np.asarray(gammaln(np.arange(most + 1) + 1.0))
