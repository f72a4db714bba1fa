"""Estimate the accuracy of several imperfect judges without labels."""

from __future__ import annotations

import numpy as np

from cat_bench.types.calls import FloatArray

ROUNDS = 200
_ENOUGH = 1e-9
_SMOOTH = 1.0
"""Pseudo-votes, so that no judge is estimated to be always right or always wrong."""


def dawid_skene(votes: FloatArray) -> FloatArray:
    """Return the posterior chance that each item is positive, shape (items,).

    `votes` (items, judges) are 1 for, 0 against, NaN for no vote. Each judge has a chance to vote
    for positive items and another for negative ones, and items are independent (Dawid and Skene
    1979, eqs. 2.3 to 2.5; expectation maximisation from the mean vote). The two classes are named
    so that judges are right more often than wrong on average. NaN for an item without a vote.
    """
    voted = ~np.isnan(votes)
    cast = np.where(voted, votes, 0.0)
    count = voted.sum(axis=1)
    seen = count > 0
    if not seen.any():
        return np.full(len(votes), np.nan)
    chance = np.where(seen, cast.sum(axis=1) / np.maximum(count, 1), 0.5)
    for _ in range(ROUNDS):
        before = chance
        mass = np.stack([chance[seen], 1 - chance[seen]])
        prior = (mass.sum(axis=1) + _SMOOTH) / (seen.sum() + 2 * _SMOOTH)
        total = mass @ voted[seen] + 2 * _SMOOTH
        yes = (mass @ cast[seen] + _SMOOTH) / total
        for_each = cast @ np.log(yes).T + (voted * (1 - cast)) @ np.log(1 - yes).T + np.log(prior)
        chance = 1 / (1 + np.exp(np.clip(for_each[:, 1] - for_each[:, 0], -700, 700)))
        if np.abs(chance - before).max() < _ENOUGH:
            break
    if (yes[0] - yes[1]).sum() < 0:
        chance = 1 - chance
    return np.where(seen, chance, np.nan)
