"""Compute a stopping rule at many thresholds from the same random orders of a pool.

A family of rules is one statistic of the votes so far, and the rule stops at the first sample where
the statistic reaches its threshold. All thresholds, and all families, see the same orders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import betainc

from cat_bench.stats.stopping import IntArray
from cat_bench.stats.stopping_rules import leading_chance
from cat_bench.stats.vote_paths import VotePaths
from cat_bench.types.calls import FloatArray

Statistic = Callable[[VotePaths], FloatArray]
"""The statistic, shape (orders, samples + 1), to compare with the threshold; -inf never stops."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The mean over orders at each threshold: score, samples, tokens and sequential tokens."""

    score: FloatArray
    samples: FloatArray
    tokens: FloatArray
    sequential: FloatArray


def beta_chance(paths: VotePaths) -> FloatArray:
    """Return the chance that the top answer beats the second; see `stopping_rules.beta`."""
    top, second = paths.leaders
    chance = _beta_table(int(top.max(initial=0)))[top, second]
    return np.where(top > 0, chance, -np.inf)


def top_share(paths: VotePaths) -> FloatArray:
    """Return the top answer's share of two or more votes; see `stopping_rules.majority_share`."""
    top, total = paths.leaders[0], paths.votes.sum(axis=2)
    return np.where(total > 1, top / np.maximum(total, 1), -np.inf)


def bayes_odds(paths: VotePaths) -> FloatArray:
    """Return Best-of-infinity's odds; see `stopping_rules.bayes_factor`."""
    top, second = paths.leaders
    ordered = np.sort(paths.votes, axis=2).reshape(-1, paths.votes.shape[2])
    distinct, place = np.unique(ordered, axis=0, return_inverse=True)
    most = int(top.max(initial=0))
    histograms = np.stack([(distinct == c).sum(axis=1) for c in range(most + 1)], axis=1)
    histograms[:, 0] = 0
    voted = histograms.any(axis=1)
    odds = np.full(len(distinct), -np.inf)
    if voted.any():
        seen = histograms[voted].astype(np.int16)
        chance = leading_chance(seen)
        with np.errstate(divide="ignore"):
            odds[voted] = (seen.sum(axis=1) + 1) * chance / (1 - chance)
    return np.where(top > second, odds[place.reshape(top.shape)], -np.inf)


def replay_thresholds(paths: VotePaths, statistic: Statistic, thresholds: Sequence[float]) -> Curve:
    """Return the rule at each threshold, sampling one rollout at a time up to the last sample."""
    reached = np.maximum.accumulate(statistic(paths)[:, 1:], axis=1)
    ends = [
        np.where(over.any(axis=1), over.argmax(axis=1) + 1, over.shape[1])
        for over in (reached >= threshold for threshold in thresholds)
    ]
    rows = np.arange(len(reached))
    tokens = np.array([paths.tokens[rows, end].mean() for end in ends])
    return Curve(
        np.array([paths.scores[rows, end].mean() for end in ends]),
        np.array([end.mean() for end in ends]),
        tokens,
        tokens,
    )


def replay_window_sizes(paths: VotePaths, windows: Sequence[int]) -> Curve:
    """Return early-stopping self-consistency with each window; see `stopping_windows`."""
    rows = np.array([_replay_window(paths, window) for window in windows])
    return Curve(*rows.T)


def _replay_window(paths: VotePaths, window: int) -> tuple[float, float, float, float]:
    """Return score, samples, tokens and sequential tokens with one size of window."""
    rows, last = np.arange(len(paths.drawn)), paths.drawn.shape[1]
    windows_full = last // window
    parts = paths.drawn[:, : windows_full * window].reshape(len(rows), windows_full, window)
    unanimous = ((parts == parts[..., :1]) & (parts >= 0)).all(axis=2)
    hit = unanimous.any(axis=1)
    first = unanimous.argmax(axis=1)
    ends: IntArray = np.where(hit, (first + 1) * window, last)
    scores = paths.scores[:, last].copy()
    scores[hit] = paths.worth[parts[rows[hit], first[hit], 0]]
    longest = np.maximum.reduceat(paths.lengths, range(0, last, window), axis=1).cumsum(axis=1)
    sequential = longest[rows, (ends - 1) // window]
    tokens = paths.tokens[rows, ends]
    return scores.mean(), ends.mean(), tokens.mean(), sequential.mean()


@lru_cache(maxsize=8)
def _beta_table(most: int) -> FloatArray:
    a, b = np.indices((most + 1, most + 1))
    return np.asarray(betainc(b + 1, a + 1, 0.5))
