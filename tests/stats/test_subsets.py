"""The subset plan: blocks that only append, balanced extras, and no dependence on history."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from math import comb, factorial, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cat_bench.stats.subsets import blocks, count_subsets, shuffle_slots, subsets

counts = st.integers(0, 24)
ids = st.text(max_size=8)


def test_the_number_of_subsets_is_infinite_if_it_overflows() -> None:
    assert (count_subsets(8, 4), count_subsets(2048, 512)) == (70, inf)


@given(counts, counts, counts)
def test_a_larger_pool_only_appends_blocks(pool: int, more: int, n: int) -> None:
    before, after = blocks(pool, n), blocks(pool + more, n)
    assert after[: len(before)] == before


@given(counts, st.integers(1, 24))
def test_blocks_are_disjoint_and_as_many_as_fit(pool: int, n: int) -> None:
    plan = blocks(pool, n)
    assert list(chain.from_iterable(plan)) == list(range(n * (pool // n)))
    assert all(len(block) == n for block in plan)


def test_blocks_stop_at_the_cap() -> None:
    assert blocks(64, 8, draws=2) == [tuple(range(8)), tuple(range(8, 16))]


@given(counts, counts, ids, st.integers(0, 40))
def test_every_draw_is_a_new_sorted_subset(pool: int, n: int, question: str, draws: int) -> None:
    plan = subsets(pool, n, question=question, draws=draws)
    assert len(plan) == len(set(plan)) == min(draws, comb(pool, n))
    assert all(list(s) == sorted(set(s)) and len(s) == n for s in plan)
    assert all(0 <= slot < pool for slot in chain.from_iterable(plan))
    assert plan[: pool // n if n else 1] == blocks(pool, n, draws=draws)


@given(st.integers(1, 20), st.integers(1, 20), ids, st.integers(0, 40), st.integers(0, 40))
def test_more_draws_only_append(pool: int, n: int, question: str, few: int, more: int) -> None:
    small = subsets(pool, n, question=question, draws=few)
    large = subsets(pool, n, question=question, draws=few + more)
    assert set(small) <= set(large)
    if few + more < comb(pool, n):
        assert large[: len(small)] == small


@pytest.mark.parametrize(("pool", "n", "draws"), [(64, 8, 50), (64, 7, 31), (50, 16, 64)])
def test_slots_are_read_equally_often(pool: int, n: int, draws: int) -> None:
    used = Counter(chain.from_iterable(subsets(pool, n, question="q", draws=draws)))
    reads = [used[slot] for slot in range(pool)]
    assert max(reads) - min(reads) <= 1


def test_extra_draws_are_uniform() -> None:
    # Two blocks fill N = 8 at n = 4, so the first extra is a uniform one of 70 subsets.
    extras = [subsets(8, 4, question=f"q{i}", draws=3)[2] for i in range(4000)]
    assert np.mean([7 in s for s in extras]) == pytest.approx(1 / 2, abs=0.04)
    assert np.mean([0 in s and 7 in s for s in extras]) == pytest.approx(3 / 14, abs=0.03)


def test_growth_changes_an_extra_draw_only_where_a_new_slot_comes_first() -> None:
    for i in range(200):
        small = subsets(16, 8, question=str(i), draws=3)[2]
        large = subsets(17, 8, question=str(i), draws=3)[2]
        assert 16 in large, "the slot that no block holds is read first"
        assert len(set(small) & set(large)) == 7, "the other slots keep their order"


def test_questions_budgets_and_draws_differ() -> None:
    plans = {
        (q, n, k): s
        for q in ("a", "b")
        for n in (4, 5)
        for k, s in enumerate(subsets(64, n, question=q, draws=40)[16:])
    }
    assert len(set(plans.values())) == len(plans)


def test_the_plan_is_pinned() -> None:
    # A change here makes every cached synthesis on an extra draw worthless.
    assert subsets(6, 4, question="q", draws=3) == [(0, 1, 2, 3), (0, 3, 4, 5), (1, 2, 4, 5)]
    assert shuffle_slots("q", range(5)) == (4, 1, 3, 0, 2)


def test_nothing_to_draw() -> None:
    assert subsets(4, 5, question="q", draws=3) == []
    assert subsets(4, 2, question="q", draws=0) == []
    assert subsets(4, 0, question="q", draws=3) == [()]
    assert subsets(0, 0, question="q", draws=3) == [()]
    with pytest.raises(ValueError, match="negative"):
        subsets(4, 2, question="q", draws=-1)


@given(ids, st.sets(st.integers(0, 300), max_size=12))
def test_hand_over_order_ignores_input_order(question: str, slots: set[int]) -> None:
    listed = sorted(slots)
    assert shuffle_slots(question, listed[::-1]) == shuffle_slots(question, listed)
    assert sorted(shuffle_slots(question, listed)) == listed


def test_hand_over_orders_are_uniform() -> None:
    orders = Counter(shuffle_slots(str(i), (1, 5, 9)) for i in range(3000))
    assert len(orders) == factorial(3)
    assert all(abs(count - 500) < 120 for count in orders.values())


def test_hand_over_order_depends_on_the_whole_subset() -> None:
    def order_of_low(i: int, last: int) -> tuple[int, ...]:
        return tuple(s for s in shuffle_slots(str(i), (0, 1, 2, last)) if s < 3)

    same = sum(order_of_low(i, 7) == order_of_low(i, 8) for i in range(600))
    assert same < 200
