"""Divide a fixed number of samples among questions: evenly, or to those whose answers disagree.

The estimate of each question is the vote over its samples. An even split is exact; the adaptive one
is replayed over random orders of each pool. A sample without an answer costs and does not vote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from cat_bench.stats.exact import majority_probabilities
from cat_bench.stats.vote_paths import Pooled, VotePaths
from cat_bench.types.calls import FloatArray

REPLAYS = 200
"""The number of random orders of every pool that the adaptive rule is replayed over."""


@dataclass(frozen=True, slots=True)
class Allocated:
    """The result of a number of samples: the mean score over questions, and its Monte-Carlo error.

    `tokens` are the mean per question, `samples` (questions,) the expected samples of each, and
    `scores` (questions,) the expected scores.
    """

    score: float
    error: float
    tokens: float
    samples: FloatArray
    scores: FloatArray


def allocate_evenly(pools: Sequence[Pooled], total: int) -> Allocated:
    """Return the exact expectation if each question gets `total` / questions samples or one more.

    The questions with one more are random. Raises ValueError if a pool has too few rollouts.
    """
    base, over = divmod(total, len(pools)) if pools else (0, 0)
    chance = over / max(len(pools), 1)
    _check(pools, base + (over > 0), base)
    scores = []
    for pool in pools:
        picks = np.nan_to_num(majority_probabilities(pool.labels, [base, base + 1]))
        low, high = picks @ pool.worth
        scores.append((1 - chance) * low + chance * high)
    tokens = (base + chance) * np.mean([pool.tokens.mean() for pool in pools])
    samples = np.full(len(pools), base + chance)
    return Allocated(float(np.mean(scores)), 0.0, float(tokens), samples, np.array(scores))


def allocate_by_disagreement(
    pools: Sequence[Pooled],
    totals: Sequence[int],
    *,
    rng: np.random.Generator,
    first: int = 1,
    replays: int = REPLAYS,
) -> list[Allocated]:
    """Return for each total the mean if each next sample goes where the leader is least certain.

    Every question gets `first` samples. Then the next one goes to the question with the smallest
    chance that its top answer beats the second, as Adaptive-Consistency computes it (arXiv
    2305.11860); ties are broken at random. A pool that is used up gets no more. All totals share
    the `replays` random orders. Raises ValueError if pools have fewer than `first` rollouts or
    fewer than a total in all.
    """
    _check(pools, first, 1)
    for total in totals:
        if not first * len(pools) <= total <= sum(len(pool.labels) for pool in pools):
            raise ValueError(f"{total} samples do not fit {len(pools)} pools with {first} each")
    paths = [VotePaths.of(pool, rng=rng, count=replays) for pool in pools]
    tables = [_certainty(path) for path in paths]
    places = np.cumsum([0, *(table.shape[1] for table in tables[:-1])])
    certainty = np.concatenate(tables, axis=1)
    used = np.full((replays, len(pools)), first)
    keys = certainty[:, places + first] + rng.random(used.shape)
    rows, allocated, spent = np.arange(replays), {}, first * len(pools)
    for total in sorted(set(totals)):
        for _ in range(total - spent):
            chosen = keys.argmin(axis=1)
            used[rows, chosen] += 1
            now = certainty[rows, places[chosen] + used[rows, chosen]]
            keys[rows, chosen] = now + rng.random(replays)
        spent = total
        allocated[total] = _allocated(paths, used)
    return [allocated[total] for total in totals]


def _certainty(path: VotePaths) -> FloatArray:
    """Return the certainty of each leader as a rank; infinity if the pool is used up."""
    top, second = path.leaders
    ranks = _ranks(top.shape[1] - 1)[top, second]
    ranks[:, -1] = np.inf
    return ranks


def _ranks(most: int) -> FloatArray:
    """Return the rank of P(p > 1/2) for p ~ Beta(a + 1, b + 1), shape (a, b) up to `most` each."""
    a, b = np.indices((most + 1, most + 1))
    _, rank = np.unique(betainc(b + 1, a + 1, 0.5).round(12), return_inverse=True)
    return rank.reshape(a.shape).astype(float)


def _allocated(paths: Sequence[VotePaths], used: NDArray[np.int64]) -> Allocated:
    """Return the means over orders; `used` (orders, questions) is the number of samples."""
    rows = np.arange(len(used))
    scores = np.stack([p.scores[rows, k] for p, k in zip(paths, used.T, strict=True)], axis=1)
    tokens = [p.tokens[rows, k].mean() for p, k in zip(paths, used.T, strict=True)]
    means = scores.mean(axis=1)
    error = float(means.std(ddof=1)) / sqrt(len(means)) if len(means) > 1 else float("nan")
    return Allocated(
        float(means.mean()), error, float(np.mean(tokens)), used.mean(axis=0), scores.mean(axis=0)
    )


def _check(pools: Sequence[Pooled], needed: int, least: int) -> None:
    if not pools or least < 1:
        raise ValueError("there should be questions, and a sample for each of them")
    if (smallest := min(len(pool.labels) for pool in pools)) < needed:
        raise ValueError(f"{needed} samples of one question, whose pool has {smallest}")
