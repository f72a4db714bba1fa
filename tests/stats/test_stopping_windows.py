"""Early-stopping self-consistency against every order of small pools, and against many orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cat_bench.stats.stopping import Label
from cat_bench.stats.stopping_orders import random_orders, replay_windows
from cat_bench.stats.stopping_windows import expect_windows
from cat_bench.types.records import Stopped
from tests.stats.every_order import Played, over_every_order


def by_hand(
    labels: Sequence[Label], caps: Sequence[int], window: int, tokens: Sequence[float]
) -> Stopped:
    """What windows do over every order of the pool."""

    def play(order: Sequence[int]) -> Played:
        read: list[int] = []
        sequential = 0.0
        voters: Sequence[int] = read
        for start in range(0, len(order), window):
            part = order[start : start + window]
            read += part
            sequential += max(tokens[slot] for slot in part)
            answers = {labels[slot] for slot in part}
            if len(part) == window and len(answers) == 1 and None not in answers:
                voters = part
                break
        votes = Counter(labels[slot] for slot in voters if labels[slot] is not None)
        return read, votes, sequential

    return over_every_order(labels, caps, play)


@given(
    labels=st.lists(st.sampled_from(["a", "a", "b", "c", None]), min_size=1, max_size=6),
    window=st.integers(2, 4),
)
@settings(max_examples=30, deadline=None)
def test_the_expectation_is_the_mean_over_all_orders(labels: list[Label], window: int) -> None:
    caps = list(range(1, len(labels) + 1))
    tokens = (np.arange(len(labels)) * 7) % 5 + 1.0
    expected = by_hand(labels, caps, window, tokens.tolist())
    orders = np.array(list(permutations(range(len(labels)))), dtype=np.int64)
    exact = expect_windows(labels, caps, window=window, tokens=tokens)
    drawn = replay_windows(labels, caps, window=window, tokens=tokens, orders=orders)
    assert exact.exact
    assert not drawn.exact
    for found in (exact, drawn):
        np.testing.assert_allclose(found.picks, expected.picks, atol=1e-12)
        np.testing.assert_allclose(found.drawn, expected.drawn, atol=1e-12)
        np.testing.assert_allclose(found.sequential, expected.sequential, atol=1e-9)


@pytest.mark.parametrize("window", [3, 5, 8])
@pytest.mark.parametrize(
    "labels",
    [
        [*"a" * 30, *"b" * 14, *"c" * 9, *"defg", None, None, None],
        [*"a" * 20, *"b" * 20, *"c" * 20],
        [*"a" * 58, "b", None],
        [str(k) for k in range(40)],
    ],
)
def test_a_mean_over_random_orders_is_near_the_expectation(
    labels: list[Label], window: int
) -> None:
    caps, rng = [7, 24, 40], np.random.default_rng(len(labels))
    tokens = rng.integers(10, 99, len(labels)).astype(float)
    orders = random_orders(len(labels), rng, count=20_000)
    exact = expect_windows(labels, caps, window=window, tokens=tokens)
    drawn = replay_windows(labels, caps, window=window, tokens=tokens, orders=orders)
    assert drawn.each is not None
    worth = np.array([label == "a" for label in labels], dtype=float)
    each = drawn.each @ worth
    error = each.std(axis=0, ddof=1) / len(orders) ** 0.5
    assert (np.abs(each.mean(axis=0) - exact.picks @ worth) <= 5 * error + 1e-9).all()
    np.testing.assert_allclose(drawn.drawn, exact.drawn, atol=0.02)
    np.testing.assert_allclose(drawn.sequential, exact.sequential, rtol=0.01)
    np.testing.assert_allclose(exact.picks.sum(axis=1), 1, atol=1e-9)


def test_many_large_clusters_are_given_up_and_a_cap_beyond_the_pool_is_undefined() -> None:
    labels = [k % 8 for k in range(160)]
    assert np.isnan(expect_windows(labels, [160], window=5, tokens=np.ones(160)).picks).all()
    found = expect_windows([*"aab"], [4, 0], window=2, tokens=np.ones(3))
    assert np.isnan(found.picks).all()
    assert np.isnan(found.sequential).all()


def test_a_long_run_of_one_answer_loses_no_precision() -> None:
    found = expect_windows(["a"] * 155 + ["b"] * 5, [160], window=5, tokens=np.ones(160))
    np.testing.assert_allclose(found.picks.sum(axis=1), 1, atol=1e-9)
    assert (found.drawn >= 0).all()


@pytest.mark.parametrize(("pool", "n"), [(1024, 1024), (2048, 512)])
def test_what_floats_cannot_hold_is_not_stated(pool: int, n: int) -> None:
    """Alternating sums over 256 windows gave picks of 1.2, and C(2048, 512) an OverflowError."""
    labels = [0] * (pool * 2 // 3) + [None] * (pool - pool * 2 // 3)
    found = expect_windows(labels, [64, n], window=4, tokens=np.ones(pool))
    assert found.picks[0].sum() == pytest.approx(1)
    assert np.isnan(found.sequential[1])
    assert np.isnan(found.picks[1]).all()
