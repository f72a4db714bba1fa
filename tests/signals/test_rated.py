"""What a signal says of a rollout or a pair is found out once, and billed to all who use it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from cat_bench.cache import Cache
from cat_bench.errors import ConfigError
from cat_bench.models.backends.scripted import Scripted
from cat_bench.signals import mean_from_others, rate, rate_pairs, signal
from tests import toy

POOL = toy.pool("one = a", "two = a", "three = b", "four = c")


def judging() -> Scripted:
    return Scripted(lambda request, seed: "\\boxed{1}", identity="judge")


@pytest.mark.parametrize(("by", "calls"), [("judge", 4), ("preference", 12)])
async def test_subsets_share_calls_and_each_has_the_whole_bill(
    by: str, calls: int, cache: Cache
) -> None:
    judge = judging()
    whole = await toy.evaluation(POOL, toy.roles(cache, judge=judge), cache)
    subsets = [POOL.rollouts, POOL.rollouts[:3], POOL.rollouts[1:], POOL.rollouts[::-1]]
    contexts = [whole.context([r.slot for r in subset]) for subset in subsets]
    await asyncio.gather(
        *(
            rate(by, whole.question, subset, ctx)
            for subset, ctx in zip(subsets, contexts, strict=True)
        )
    )
    assert judge.completions == calls
    expected = [
        len(subset) * (len(subset) - 1) if by == "preference" else len(subset) for subset in subsets
    ]
    assert [len(ctx.bill) for ctx in contexts] == expected
    assert sum(charge.fresh for ctx in contexts for charge in ctx.bill) == calls


async def test_a_pair_says_the_same_whoever_else_is_there(cache: Cache) -> None:
    by = "mutual_predictability{given=each}"
    whole = await toy.evaluation(POOL, toy.roles(cache), cache)
    every = await rate_pairs(by, whole.question, POOL.rollouts, whole.context([0]))
    few = await rate_pairs(by, whole.question, POOL.rollouts[1::2], whole.context([1]))
    np.testing.assert_array_equal(few, every[1::2, 1::2])
    assert np.isnan(every.diagonal()).all()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("async def scores(self, *_): ...", "reads: is None, and should be 'self' or 'pairs'"),
        ("reads = 'slef'", "reads: is 'slef', and should be 'self' or 'pairs' or 'subset'"),
        ("reads = 'self'", "has no method `scores`"),
        ("reads = 'pairs'\n    async def scores(self, *_): ...", "has no method `matrix`"),
    ],
)
def test_what_is_no_signal_is_refused(body: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(f"class Own:\n    {body}\n")
    with pytest.raises(ConfigError, match=problem):
        signal(f"{tmp_path}/own.py:Own")


@pytest.mark.parametrize("reads", ["self", "subset"])
async def test_a_signal_gives_as_many_numbers_as_there_are_rollouts(
    reads: str, tmp_path: Path, cache: Cache
) -> None:
    body = f"reads = {reads!r}\n    async def scores(self, *_): return [1.0, 2.0]"
    (tmp_path / "own.py").write_text(f"class Own:\n    {body}\n")
    whole = await toy.evaluation(POOL, toy.roles(cache), cache)
    with pytest.raises(ValueError, match=r"gave 2 numbers for [14] rollouts"):
        await rate(f"{tmp_path}/own.py:Own", whole.question, POOL.rollouts, whole.context([0]))


async def test_only_pairs_have_a_matrix(cache: Cache) -> None:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache)
    with pytest.raises(TypeError, match="'length' has no matrix"):
        await rate_pairs("length", whole.question, POOL.rollouts, whole.context([0]))


def test_what_others_say_is_a_columns_mean_without_the_diagonal() -> None:
    matrix = np.array([[9, 1, np.nan], [2, 9, np.nan], [4, np.nan, 9]])
    np.testing.assert_array_equal(mean_from_others(matrix), [3, 1, np.nan])
    np.testing.assert_array_equal(mean_from_others(np.array([[np.nan]])), [0])
