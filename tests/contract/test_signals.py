"""What every signal owes to the aggregators that rank by it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cat_bench.cache import Cache
from cat_bench.models.backends.scripted import Scripted
from cat_bench.signals import mean_from_others, rate, signal
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Pairwise
from cat_bench.types.records import Rollout
from cat_bench.types.traits import SignalTraits, traits
from tests import toy
from tests.contract.conftest import SIGNALS, strings

TEXTS = ("one = a", "two is longer = b", "three", "", "one = a")

pytestmark = pytest.mark.parametrize("name", SIGNALS)


async def scores(
    name: str, rollouts: Sequence[Rollout], cache: Cache, policy: Scripted | None = None
) -> FloatArray:
    policy = policy or Scripted(
        toy.choosing,
        capabilities=toy.EVERYTHING,
        scoring=lambda messages, text: [-float(len(str(messages)) % 7)] * (len(text) or 1),
    )
    whole = await toy.evaluation(toy.pool(*TEXTS), toy.roles(cache, policy), cache)
    ctx = whole.context([r.slot for r in rollouts])
    found = np.asarray(await signal(name).scores(whole.question, rollouts, ctx), dtype=float)
    assert not [text for text in strings(ctx) if "sesame-of" in text]
    return found


async def test_gives_each_rollout_one_number_wherever_it_stands(name: str, cache: Cache) -> None:
    rollouts = toy.pool(*TEXTS).rollouts
    forward = await scores(name, rollouts, cache)
    backward = await scores(name, rollouts[::-1], cache)
    assert forward.shape == (len(TEXTS),)
    np.testing.assert_allclose(forward, backward[::-1])


async def test_manages_one_rollout_and_empty_ones(name: str, cache: Cache) -> None:
    assert (await scores(name, toy.pool("= a").rollouts, cache)).shape == (1,)
    assert (await scores(name, toy.pool("", "").rollouts, cache)).shape == (2,)


async def test_reads_what_it_says_it_reads(name: str, cache: Cache) -> None:
    assert signal(name).reads in {"self", "pairs", "subset"}
    if signal(name).reads == "self":
        rollouts = toy.pool(*TEXTS).rollouts
        together = await scores(name, rollouts, cache)
        alone = [float((await scores(name, [r], cache))[0]) for r in rollouts]
        np.testing.assert_allclose(alone, together)


async def test_asks_only_about_what_it_is_handed(name: str, cache: Cache) -> None:
    policy = Scripted(
        toy.choosing, capabilities=toy.EVERYTHING, scoring=lambda messages, text: [-1.0]
    )
    await scores(name, toy.pool(*TEXTS).rollouts[1:2], cache, policy)
    asked = "".join(m["content"] for r in policy.requests for m in r.messages)
    assert not [text for text in ("one = a", "three", "sesame-of") if text in asked]
    if traits(SignalTraits, signal(name)).from_replies:
        assert signal(name).reads == "self"
        assert not policy.requests


async def test_what_it_says_of_a_pair_is_a_column_of_its_matrix(name: str, cache: Cache) -> None:
    chosen = signal(name)
    if chosen.reads != "pairs":
        return
    assert isinstance(chosen, Pairwise)
    rollouts = toy.pool(*TEXTS).rollouts
    whole = await toy.evaluation(toy.pool(*TEXTS), toy.roles(cache), cache)
    every = await chosen.matrix(whole.question, rollouts, whole.context([0]))
    few = await chosen.matrix(whole.question, rollouts[1::2], whole.context([1]))
    off = ~np.eye(len(few), dtype=bool)
    np.testing.assert_allclose(few[off], every[1::2, 1::2][off])
    alone = await chosen.scores(whole.question, rollouts, whole.context([0]))
    np.testing.assert_allclose(alone, mean_from_others(every))
    np.testing.assert_allclose(
        await rate(name, whole.question, rollouts, whole.context([0])), alone
    )
