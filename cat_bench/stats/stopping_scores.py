"""Estimate stopping rules that read a number for each rollout, or for each token.

Both are replayed over the caller's orders, as in `stopping_orders`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log, sqrt

import numpy as np

from cat_bench.stats.stopping import IntArray, Label
from cat_bench.stats.stopping_orders import average_orders, membership, share_draws, vote_shares
from cat_bench.types.calls import FloatArray
from cat_bench.types.records import Stopped


def replay_best(
    numbers: FloatArray,
    caps: Sequence[int],
    *,
    cost: float,
    doubt: float,
    tokens: FloatArray,
    orders: IntArray,
) -> Stopped:
    """Return the mean of stopping best-of-n by a UCB on Pandora's index (arXiv 2510.01394).

    Opening one more box is worth it while the best number so far is below the index t at which the
    expected gain E[(x - t)+] equals the cost. The numbers (pool,) are taken as a shifted
    exponential: location the least so far, scale s their mean minus the least, so that the index is
    location + s' log(s' / c). s' = s (1 + sqrt(2 log(1 / doubt) / t)) is the upper confidence bound
    after t numbers, and c = `cost` s makes the rule independent of the numbers' unit. It needs two
    different numbers. A rollout with NaN is paid for and never best; tied rollouts share evenly.
    """
    values = np.asarray(numbers, dtype=float)[orders]
    present = ~np.isnan(values)
    count = present.cumsum(axis=1)
    best = np.maximum.accumulate(np.where(present, values, -np.inf), axis=1)
    least = np.minimum.accumulate(np.where(present, values, np.inf), axis=1)
    total = np.where(present, values, 0.0).cumsum(axis=1)
    with np.errstate(invalid="ignore"):
        scale = total / np.maximum(count, 1) - least
        wider = 1 + sqrt(2 * log(1 / doubt)) / np.sqrt(np.maximum(count, 1))
        index = least + scale * wider * np.log(wider / cost)
        stops = (count > 1) & (scale > 0) & (best >= index)
    ends = np.where(stops.any(axis=1), stops.argmax(axis=1) + 1, values.shape[1] + 1)
    used = np.stack([np.minimum(ends, n) for n in caps])
    place, raw = np.argsort(orders, axis=1), np.asarray(numbers, dtype=float)
    rows = np.arange(len(orders))
    won: list[FloatArray | None] = []
    for n, stop in zip(caps, used, strict=True):
        if not 1 <= n <= len(raw):
            won.append(None)
            continue
        top = (place < stop[:, None]) & (raw == best[rows, stop - 1][:, None])
        won.append(top / np.maximum(top.sum(axis=1, keepdims=True), 1))
    drawn, sequential = share_draws(used, orders, tokens)
    return average_orders(won, drawn, sequential)


def replay_cuts(
    labels: Sequence[Label],
    caps: Sequence[int],
    groups: Sequence[FloatArray],
    *,
    warmup: int,
    keep: float,
    tokens: FloatArray,
    orders: IntArray,
) -> Stopped:
    """Return the mean of DeepConf online (Fu et al. 2025, arXiv 2508.15260, algorithm 2).

    The first `warmup` rollouts are written whole. Their lowest group confidences give the bar: the
    value that a `keep` share of them reaches. Each later rollout is cut where a group falls below
    the bar, and does not vote; the others vote with their lowest group confidence. `groups` holds
    each rollout's group confidences in the order of its tokens, the first one after as many tokens
    as a group has. The warm-up and the rest are one round each.
    """
    members, lengths = membership(labels), np.asarray(tokens, dtype=float)
    lowest = np.array([g.min() if len(g) else np.nan for g in groups])
    floored = np.where(np.isnan(lowest), np.nanmin([*lowest, 0.0]), lowest)
    pool = len(labels)
    won: list[FloatArray | None] = []
    drawn, written = np.zeros((2, len(caps), pool))
    sequential = np.zeros(len(caps))
    place = np.argsort(orders, axis=1)
    for row, n in enumerate(caps):
        if not 1 <= n <= pool:
            won.append(None)
            continue
        bar = np.quantile(floored[orders[:, : min(warmup, n)]], 1 - keep, axis=1)
        read, warm = place < n, place < min(warmup, n)
        cuts = zip(groups, lengths, strict=True)
        shares = np.stack([_share_written(g, bar, length=k) for g, k in cuts], axis=1)
        shares = np.where(warm, 1.0, shares) * read
        votes = np.where(read & (lowest >= bar[:, None]), np.maximum(lowest, 0.0), 0.0)
        weights = np.nan_to_num(votes) @ members.T
        won.append(vote_shares(np.round(weights, 9), members))
        drawn[row], written[row] = read.mean(axis=0), shares.mean(axis=0)
        rest = (shares * lengths * ~warm).max(axis=1)
        sequential[row] = ((lengths * warm).max(axis=1) + rest).mean()
    stopped = average_orders(won, drawn, sequential)
    written[[w is None for w in won]] = np.nan
    return replace(stopped, written=written)


def _share_written(groups: FloatArray, bar: FloatArray, *, length: float) -> FloatArray:
    """Return the share of a rollout's tokens that is written below each bar, shape (orders,)."""
    if not len(groups) or not length:
        return np.ones_like(bar)
    lows = np.minimum.accumulate(groups)
    passed = np.searchsorted(-lows, -bar, side="right")
    return np.where(passed < len(lows), (length - len(groups) + 1 + passed) / length, 1.0)
