"""Estimate the result of a stopping rule by replaying it over random orders of a pool.

It is for rules whose exact expectation needs too many states, and for rules that see more than
counts. The caller gives the orders, so that different rules see the same ones and are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cat_bench.stats.stopping import IntArray, Label, Rule
from cat_bench.types.calls import FloatArray
from cat_bench.types.records import Stopped

ORDERS = 1_000
"""The number of orders that an inexact value is a mean over."""


def random_orders(pool: int, rng: np.random.Generator, *, count: int = ORDERS) -> IntArray:
    """Return random orders of a pool's rollouts, shape (count, pool)."""
    return rng.permuted(np.tile(np.arange(pool), (count, 1)), axis=1)


def replay_rule(
    labels: Sequence[Label],
    caps: Sequence[int],
    rule: Rule,
    *,
    tokens: FloatArray,
    orders: IntArray,
) -> Stopped:
    """Return the mean of `rule` over `orders`, at each cap, one rollout sampled at a time.

    Arguments and NaN are as in `stopping.stopped`; `orders` has shape (orders, pool).
    """
    members = membership(labels)
    last = max((n for n in caps if n <= len(labels)), default=0)
    counts = np.zeros((len(orders), max(members.shape[0], 1)), dtype=np.int64)
    histogram = np.zeros((len(orders), last + 1), dtype=np.int16)
    label_of = np.where(members.any(axis=0), np.arange(len(members)) @ members, -1)
    ends = np.full(len(orders), last)
    at = {0: counts.copy()}
    running = np.ones(len(orders), dtype=bool)
    for t in range(last):
        vote = label_of[orders[:, t]]
        rows = np.flatnonzero(running & (vote >= 0))
        previous = counts[rows, vote[rows]]
        counts[rows, vote[rows]] += 1
        histogram[rows, previous] -= previous > 0
        histogram[rows, previous + 1] += 1
        stops = rows[rule(histogram[rows])] if len(rows) else rows
        ends[stops], running[stops] = t + 1, False
        if t + 1 in caps:
            at[t + 1] = counts.copy()
    used = np.array([np.minimum(ends, n) for n in caps], dtype=np.int64).reshape(len(caps), -1)
    won = [vote_shares(at[n], members) if n in at else None for n in caps]
    drawn, sequential = share_draws(used, orders, tokens)
    return average_orders(won, drawn, sequential)


def membership(labels: Sequence[Label]) -> NDArray[np.bool_]:
    """Return which rollout is in which cluster, shape (clusters, pool), in order of appearance."""
    seen = list(dict.fromkeys(label for label in labels if label not in (None, "")))
    rows = [[label == cluster for label in labels] for cluster in seen]
    return np.array(rows, dtype=bool).reshape(len(seen), len(labels))


def vote_shares(counts: IntArray, members: NDArray[np.bool_]) -> FloatArray:
    """Return each order's pick weights, shape (orders, pool), from its counts (orders, clusters).

    Tied clusters share evenly, and a cluster's mass spreads evenly over its members. Orders without
    a vote pick nothing.
    """
    if not len(members):
        return np.zeros((len(counts), members.shape[1]))
    top = counts.max(axis=1, keepdims=True)
    leading = (counts == top) & (top > 0)
    share = leading / np.maximum(leading.sum(axis=1, keepdims=True), 1)
    weights: FloatArray = (share / members.sum(axis=1)) @ members
    return weights


def share_draws(
    used: IntArray, orders: IntArray, tokens: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the share of orders that draw each rollout (caps, pool), and the mean tokens (caps,).

    `used` (caps, orders) is how many rollouts each order samples before it stops.
    """
    place = np.argsort(orders, axis=1)
    drawn: FloatArray = np.stack([(place < stop[:, None]).mean(axis=0) for stop in used])
    return drawn, drawn @ np.asarray(tokens, dtype=float)


def average_orders(
    won: Sequence[FloatArray | None], drawn: FloatArray, sequential: FloatArray
) -> Stopped:
    """Return the means over orders, `won` (orders, pool) at each cap; NaN at caps without any."""
    shape = next((w.shape for w in won if w is not None), (1, drawn.shape[1]))
    picks = np.stack([np.full(shape, np.nan) if w is None else w for w in won], axis=1)
    undefined = [w is None for w in won]
    drawn[undefined], sequential[undefined] = np.nan, np.nan
    return Stopped(picks.mean(axis=0), drawn, sequential, means=tuple(range(len(won))), each=picks)


def fill_gaps(
    exact: Stopped, means: Callable[[list[int]], Stopped], caps: Sequence[int]
) -> Stopped:
    """Return the exact values, and the `means` at caps without an exact value."""
    missing = [k for k in range(len(caps)) if np.isnan(exact.sequential[k])]
    if not missing:
        return exact
    replayed = means([caps[k] for k in missing])
    exact.picks[missing], exact.drawn[missing] = replayed.picks, replayed.drawn
    exact.sequential[missing] = replayed.sequential
    return replace(exact, means=tuple(missing), each=replayed.each)


def replay_windows(
    labels: Sequence[Label],
    caps: Sequence[int],
    *,
    window: int,
    tokens: FloatArray,
    orders: IntArray,
) -> Stopped:
    """Return the mean of ESC with windows of this many rollouts; otherwise like `replay_rule`."""
    members, lengths = membership(labels), np.asarray(tokens, dtype=float)
    pool, rows = len(labels), np.arange(len(orders))
    label_of = np.where(members.any(axis=0), np.arange(len(members)) @ members, -1)
    votes = label_of[orders]
    last = max((n for n in caps if n <= pool), default=0)
    starts = range(0, last - window + 1, window)
    parts = [votes[:, t : t + window] for t in starts]
    unanimous = [(part == part[:, :1]).all(axis=1) & (part[:, 0] >= 0) for part in parts]
    hit = np.stack([*unanimous, np.ones(len(orders), dtype=bool)], axis=1).argmax(axis=1)
    ends = np.where(hit < len(parts), (hit + 1) * window, last + 1)
    longest = np.maximum.reduceat(lengths[orders], range(0, pool, window), axis=1).cumsum(axis=1)
    won: list[FloatArray | None] = []
    used, sequential = np.zeros((len(caps), len(orders)), dtype=np.int64), np.zeros(len(caps))
    for row, n in enumerate(caps):
        if not 1 <= n <= pool:
            won.append(None)
            continue
        stops = ends <= n
        used[row] = np.minimum(ends, n)
        counts = np.zeros((len(orders), len(members)), dtype=np.int64)
        for t in range(n):
            voted = rows[votes[:, t] >= 0]
            counts[voted, votes[voted, t]] += 1
        winner = votes[rows, np.minimum(ends, n) - 1]
        counts[stops] = np.arange(len(members)) == winner[stops, None]
        won.append(vote_shares(counts, members))
        windows, rest = divmod(n, window)
        tail = lengths[orders[:, n - rest : n]].max(axis=1) if rest else 0.0
        full = longest[:, windows - 1] + tail if windows else tail
        early = longest[rows, np.minimum(ends, n) // window - 1]
        sequential[row] = np.where(stops, early, full).mean()
    drawn, _ = share_draws(used, orders, lengths)
    return average_orders(won, drawn, sequential)
