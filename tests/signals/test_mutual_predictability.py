"""Each rollout given the others: what is asked, in which order, and the two forms."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from cat_bench.cache import Cache
from cat_bench.models.backends.scripted import Scripted
from cat_bench.signals import rate, signal
from cat_bench.types.calls import Failure, FloatArray, Message
from cat_bench.types.records import Pool
from tests import toy

POOL = toy.pool("one = a", "two = a", "three = b", "four = c")
Asked = list[tuple[list[str], str]]


def listening(asked: Asked) -> Scripted:
    """Scores a text by how many drafts end like it; keeps what it was asked."""

    def score(messages: Sequence[Message], text: str) -> list[float]:
        drafts = re.findall(r"(\w+ = \w)", messages[-1]["content"])
        asked.append((drafts, text))
        alike = sum(draft[-1] == text[-1:] for draft in drafts)
        return [-1.0 / (1 + alike), -3.0 / (1 + alike)]

    return Scripted(toy.choosing, identity="policy", scoring=score)


async def numbers(spec: str, pool: Pool, policy: Scripted, cache: Cache) -> FloatArray:
    whole = await toy.evaluation(pool, toy.roles(cache, policy), cache)
    ctx = whole.context([r.slot for r in pool.rollouts])
    return await rate(spec, whole.question, pool.rollouts, ctx)


async def test_each_is_scored_once_given_all_the_others(cache: Cache) -> None:
    asked: Asked = []
    found = await numbers("mutual_predictability", POOL, listening(asked), cache)
    assert found.tolist() == [-1, -1, -2, -2]
    texts = {r.text for r in POOL.rollouts}
    assert {text: set(drafts) for drafts, text in asked} == {t: texts - {t} for t in texts}
    assert len(asked) == 4


async def test_the_order_is_random_but_always_the_same(cache: Cache) -> None:
    pool = toy.pool(*(f"draft{k} = a" for k in range(8)))
    first: Asked = []
    again: Asked = []
    await numbers("mutual_predictability", pool, listening(first), cache)
    whole = await toy.evaluation(pool, toy.roles(cache, listening(again)), cache)
    rollouts = pool.rollouts[::-1]
    await signal("mutual_predictability").scores(
        whole.question, rollouts, whole.context([r.slot for r in rollouts])
    )
    assert again == []  # every prompt was in the cache: the orders were the same
    in_order = [f"draft{k} = a" for k in range(8)]
    shuffled = [drafts for drafts, text in first if drafts != [d for d in in_order if d != text]]
    assert len(shuffled) >= 7


async def test_one_by_one_it_is_the_mean_over_the_others(cache: Cache) -> None:
    asked: Asked = []
    found = await numbers("mutual_predictability{given=each}", POOL, listening(asked), cache)
    assert found.tolist() == pytest.approx([-5 / 3, -5 / 3, -2, -2])
    assert sorted(len(drafts) for drafts, _ in asked) == [1] * 12


@pytest.mark.parametrize("given", ["all", "each"])
async def test_one_alone_has_a_number(given: str, cache: Cache) -> None:
    asked: Asked = []
    policy = listening(asked)
    found = await numbers(f"mutual_predictability{{given={given}}}", toy.pool("= a"), policy, cache)
    assert not np.isnan(found).any()


async def test_what_does_not_fit_has_no_number(cache: Cache) -> None:
    def score(messages: Sequence[Message], text: str) -> list[float] | Failure:
        if text.startswith("one"):
            return Failure("context", "too long", permanent=True)
        return [-1.0]

    policy = Scripted(toy.choosing, identity="policy", scoring=score)
    found = await numbers("mutual_predictability", POOL, policy, cache)
    np.testing.assert_array_equal(found, [np.nan, -1, -1, -1])
    paired = await numbers("mutual_predictability{given=each}", POOL, policy, cache)
    np.testing.assert_array_equal(paired, [np.nan, -1, -1, -1])
