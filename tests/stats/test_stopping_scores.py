"""Stopping by a number of each rollout, and of each token, against plain loops."""

from __future__ import annotations

from math import log, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cat_bench.stats.stopping_orders import random_orders
from cat_bench.stats.stopping_scores import replay_best, replay_cuts


@given(
    numbers=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0, nan]), min_size=1, max_size=9),
    cost=st.sampled_from([0.05, 0.3, 1.0]),
)
@settings(max_examples=40, deadline=None)
def test_pandora_is_its_loop(numbers: list[float], cost: float) -> None:
    pool, caps = len(numbers), [1, max(1, len(numbers) // 2), len(numbers)]
    orders = random_orders(pool, np.random.default_rng(pool), count=12)
    tokens = np.arange(pool) + 3.0
    found = replay_best(np.array(numbers), caps, cost=cost, doubt=0.1, tokens=tokens, orders=orders)
    picks, drawn = np.zeros((2, len(caps), pool))
    for order in orders.tolist():
        for row, n in enumerate(caps):
            read: list[int] = []
            for slot in order[:n]:
                read.append(slot)
                seen = [numbers[s] for s in read if numbers[s] == numbers[s]]
                scale = sum(seen) / len(seen) - min(seen) if seen else 0.0
                if len(seen) > 1 and scale > 0:
                    wider = 1 + sqrt(2 * log(10) / len(seen))
                    if max(seen) >= min(seen) + scale * wider * log(wider / cost):
                        break
            drawn[row, read] += 1 / len(orders)
            seen = [numbers[s] for s in read if numbers[s] == numbers[s]]
            top = [s for s in read if seen and numbers[s] == max(seen)]
            for slot in top:
                picks[row, slot] += 1 / len(top) / len(orders)
    np.testing.assert_allclose(found.picks, picks, atol=1e-12)
    np.testing.assert_allclose(found.drawn, drawn, atol=1e-12)
    np.testing.assert_allclose(found.sequential, drawn @ tokens)


def test_pandora_stops_sooner_the_more_a_sample_costs() -> None:
    rng = np.random.default_rng(1)
    numbers, orders = rng.exponential(size=60), random_orders(60, rng, count=400)
    used = [
        replay_best(
            numbers, [60], cost=cost, doubt=0.1, tokens=np.ones(60), orders=orders
        ).sequential[0]
        for cost in (0.01, 0.1, 0.5)
    ]
    assert used[0] > used[1] > used[2]


@given(seed=st.integers(0, 10_000), keep=st.sampled_from([0.1, 0.5, 0.9, 1.0]))
@settings(max_examples=30, deadline=None)
def test_deepconf_online_is_its_loop(seed: int, keep: float) -> None:
    rng = np.random.default_rng(seed)
    pool, window = 9, 3
    lengths = rng.integers(1, 12, pool)
    traces = [rng.exponential(size=k) for k in lengths]
    groups = []
    for trace in traces:
        size = min(window, len(trace))
        means = [trace[i : i + size].mean() for i in range(len(trace) - size + 1)]
        groups.append(np.array(means))
    labels = [None if k == 0 else "abc"[k % 3] for k in rng.integers(0, 6, pool)]
    caps, warmup = [2, 6, 9], 4
    orders = random_orders(pool, rng, count=10)
    found = replay_cuts(
        labels, caps, groups, warmup=warmup, keep=keep, tokens=lengths.astype(float), orders=orders
    )
    for row, n in enumerate(caps):
        picks, written, sequential = np.zeros(pool), np.zeros(pool), 0.0
        for order in orders.tolist():
            lows = [groups[s].min() for s in order[: min(warmup, n)]]
            bar = np.quantile(lows, 1 - keep)
            votes: dict[str, float] = {}
            rounds = [0, 0]
            for position, slot in enumerate(order[:n]):
                below = np.flatnonzero(groups[slot] < bar)
                size = min(window, int(lengths[slot]))
                whole = position < warmup or not len(below)
                made = int(lengths[slot]) if whole else size + int(below[0])
                written[slot] += made / lengths[slot] / len(orders)
                rounds[position >= warmup] = max(rounds[position >= warmup], made)
                label = labels[slot]
                if not len(below) and label is not None:
                    votes[label] = votes.get(label, 0.0) + groups[slot].min()
            sequential += sum(rounds) / len(orders)
            if votes:
                winner = max(votes, key=lambda label: votes[label])
                for slot in range(pool):
                    if labels[slot] == winner:
                        picks[slot] += 1 / labels.count(winner) / len(orders)
        assert found.written is not None
        np.testing.assert_allclose(found.picks[row], picks, atol=1e-9)
        np.testing.assert_allclose(found.written[row], written, atol=1e-9)
        assert found.sequential[row] == pytest.approx(sequential)
