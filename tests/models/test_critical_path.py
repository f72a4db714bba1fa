"""Tokens that are written one after another: calls in turn add up, gathered calls do not."""

from __future__ import annotations

import asyncio

import pytest

from cat_bench.aggregators.recursive_synthesis import RecursiveSynthesis
from cat_bench.cache import Cache
from cat_bench.loading import catalog
from cat_bench.models.critical_path import count_path, extend
from cat_bench.models.throttling import gather_all
from cat_bench.types.plugins import Context
from tests import toy

POOL = toy.pool("one = a", "one two three = b", "one two = b", "one two three four = c")


async def written(tokens: int) -> None:
    await asyncio.sleep(0)
    extend(tokens)


async def test_calls_in_turn_add_up_and_gathered_ones_are_as_long_as_the_longest() -> None:
    async def rounds(first: int, second: int) -> None:
        await written(first)
        await gather_all(written(second), written(1))

    with count_path() as whole:
        await written(5)
        await gather_all(written(7), rounds(4, 6), written(2))
        await written(1)
    assert whole.tokens == 5 + (4 + 6) + 1


async def test_a_failed_call_leaves_the_length_of_the_others() -> None:
    async def fails() -> None:
        await written(9)
        raise ValueError

    with count_path() as whole, pytest.raises(ValueError):  # noqa: PT011
        await gather_all(written(3), fails())
    assert whole.tokens == 9


async def test_outside_of_a_path_nothing_is_counted() -> None:
    extend(3)
    with count_path() as inner:
        pass
    assert inner.tokens == 0


async def test_what_is_computed_once_is_on_every_path(cache: Cache) -> None:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache)
    ctx = whole.context([0])

    async def work(lent: Context) -> int:
        await written(4)
        return 1

    for _ in range(2):
        with count_path() as own:
            await ctx.once("key", work)
        assert own.tokens == 4


async def test_a_synthesis_comes_after_the_longest_rollout(cache: Cache) -> None:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(4,), draws=1)
    (cat,) = (await whole.rows(catalog.method("cat")))[:1]
    longest = max(r.reply.usage.completion for r in POOL.rollouts)
    assert cat.anchor_completion_tokens > 0
    assert cat.sequential_tokens == longest + cat.anchor_completion_tokens


async def test_rounds_of_synthesis_add_up_and_each_is_as_long_as_one_member(cache: Cache) -> None:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(4,), draws=1)
    three = toy.method(RecursiveSynthesis(population=5, subset=2, rounds=3), "three")
    (row,) = (await whole.rows(three))[:1]
    longest = max(r.reply.usage.completion for r in POOL.rollouts)
    member = row.anchor_completion_tokens / 15
    assert row.anchor_calls == 15
    assert row.sequential_tokens == pytest.approx(longest + 3 * member)
