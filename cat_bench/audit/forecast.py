"""Forecast the gain of training on a reward, from groups with known scores, before any training.

The forecast assumes that training moves the policy from the group's mean towards the best (or the
worst) of the group, as far as the reward's advantages point there:

- A step of the policy gradient changes the expected score T at the rate of the covariance of
  advantage and score within groups (Williams 1992; the advantages are GRPO's, arXiv 2402.03300).
- *Alignment* is this rate, summed over groups, as a share of the rate under gold's advantages. It
  is 1 for gold and about 0 for coins. Groups without an advantage count 0; rewards for wrong
  rollouts or useless differences lower it; it is negative if wrong rollouts are preferred.
- Forecast = alignment x (mean best score of a group - mean score); with a negative alignment,
  alignment x mean score.

Nothing in it is fitted to outcomes. It is in points of mean@1, whatever the steps and rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from cat_bench.rewards.advantages import SAME, advantages
from cat_bench.stats.intervals import Interval
from cat_bench.types.calls import FloatArray

RESAMPLES = 2000
Pairs = Sequence[tuple[float, float]]
"""Reward and score of each rollout of a group that has both."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One group: the pairs, and the unit that is independent of other groups."""

    pairs: Pairs
    unit: str


def best_of_n(pairs: Pairs) -> float | None:
    """Return the score of the best-rewarded rollout minus the mean; ties share. None if empty."""
    if not pairs:
        return None
    top = max(reward for reward, _ in pairs)
    chosen = [score for reward, score in pairs if top - reward <= SAME]
    return fmean(chosen) - fmean(score for _, score in pairs)


def rate(pairs: Pairs) -> float:
    """Return the covariance of the group's advantages with its scores; 0 if empty."""
    if not pairs:
        return 0.0
    rewards, scores = zip(*pairs, strict=True)
    mean = fmean(scores)
    return fmean(
        (advantage or 0.0) * (score - mean)
        for advantage, score in zip(advantages(rewards), scores, strict=True)
    )


def forecast(groups: Sequence[Scored]) -> Interval:
    """Return the predicted gain in the mean score, with a percentile bootstrap over units.

    NaN if no group has different scores, because rewards cannot be compared then.
    """
    sums = _sum_by_unit(groups)
    rng = np.random.default_rng(0)
    count = len(sums)
    if not count:
        return Interval(np.nan, np.nan, np.nan, np.nan, 0)
    value = float(_predict(sums.sum(axis=0)))
    if count < 2:
        return Interval(value, np.nan, np.nan, np.nan, count)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    spread = _predict(drawn @ sums)
    finite = spread[np.isfinite(spread)]
    if np.isnan(value) or not len(finite):
        return Interval(value, np.nan, np.nan, np.nan, count)
    low, high = np.quantile(finite, (0.025, 0.975))
    return Interval(value, float(finite.std()), float(low), float(high), count)


def _sum_by_unit(groups: Sequence[Scored]) -> FloatArray:
    """Return for each unit the sums over groups: rate, gold's rate, best, mean, 1; (units, 5)."""
    units = {name: row for row, name in enumerate(dict.fromkeys(g.unit for g in groups if g.pairs))}
    sums = np.zeros((len(units), 5))
    for group in groups:
        if group.pairs:
            scores = [score for _, score in group.pairs]
            gold = rate([(score, score) for score in scores])
            row = (rate(group.pairs), gold, max(scores), fmean(scores), 1.0)
            sums[units[group.unit]] += row
    return sums


def _predict(sums: FloatArray) -> FloatArray:
    """Return the forecast for sums of shape (..., 5)."""
    reward_rate, gold, best, mean, count = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        alignment = np.where(gold > SAME, reward_rate / gold, np.nan)
        room = np.where(alignment >= 0, best - mean, mean) / count
    gains: FloatArray = alignment * room
    return gains
