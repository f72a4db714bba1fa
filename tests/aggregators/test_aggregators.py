"""What each aggregator makes of a pool, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cat_bench.aggregators.best_of_n import BestOfN
from cat_bench.aggregators.select import Select
from cat_bench.aggregators.synthesis import Synthesis
from cat_bench.aggregators.vote import Vote
from cat_bench.backends import Request
from cat_bench.backends.scripted import Scripted
from cat_bench.cache import Cache
from cat_bench.types import Aggregator, Estimate, Pool, Reply, Rollout
from tests import toy


async def made(
    aggregator: Aggregator, pool: Pool, cache: Cache, *replies: str
) -> tuple[Estimate, Scripted]:
    """The estimate, and the model that gave these replies to whatever was asked."""
    waiting = list(replies)

    def reply(request: Request, seed: int) -> str:
        return waiting.pop(0)

    model = Scripted(reply, identity="replies")
    whole = await toy.evaluation(pool, toy.roles(cache, anchor=model, judge=model), cache)
    ctx = whole.context([r.slot for r in pool.rollouts])
    return await aggregator.aggregate(whole.question, pool.rollouts, ctx), model


@pytest.mark.parametrize(
    ("texts", "weights"),
    [
        (("= a", "= A", "= b", ""), {0: 0.5, 1: 0.5}),
        (("= a", "= b", "none"), {0: 0.5, 1: 0.5}),
        (("= a", "= b", "= b", "= a", "= c"), dict.fromkeys((0, 1, 2, 3), 0.25)),
        (("none", "", "="), {}),
    ],
)
async def test_vote(texts: tuple[str, ...], weights: dict[int, float], cache: Cache) -> None:
    estimate, _ = await made(Vote(), toy.pool(*texts), cache)
    assert dict(estimate.picks) == weights
    assert estimate.abstained == (not weights)


async def test_best_of_n_shares_ties_and_passes_over_nan(cache: Cache) -> None:
    scored = [{"rm": 2.0}, {"rm": 2.0}, {"rm": 1.0}, {}]
    rollouts = tuple(Rollout(k, Reply(text="x", scores=s)) for k, s in enumerate(scored))
    pool = Pool(toy.sample().question, rollouts)
    estimate, _ = await made(BestOfN("rm"), pool, cache)
    assert dict(estimate.picks) == {0: 0.5, 1: 0.5}
    estimate, _ = await made(BestOfN("other"), pool, cache)
    assert estimate.abstained
    assert estimate.reason == "other gives no rollout a number"


async def test_select_picks_the_one_that_is_named(cache: Cache) -> None:
    pool = toy.pool("= a", "= b", "= c")
    estimate, model = await made(Select(), pool, cache, "Not 3, so \\boxed{2}")
    assert estimate == Estimate(picks=((1, 1.0),))
    assert model.calls == 1


async def test_select_asks_again_and_then_marks_a_stand_in(cache: Cache) -> None:
    pool = toy.pool("= a", "= b", "= c")
    estimate, model = await made(Select(by="judge"), pool, cache, "none", "\\boxed{3}")
    assert (estimate.picks, estimate.fallback, model.calls) == (((2, 1.0),), None, 2)
    pool = toy.pool("= a", "= b", "= d")
    estimate, model = await made(Select(), pool, cache, "\\boxed{4}", "\\boxed{1.5}")
    assert len(estimate.picks) == 1
    assert estimate.fallback == "the selector named no candidate"
    again, _ = await made(Select(), pool, cache)
    assert again == estimate


async def test_select_needs_no_call_for_one_rollout(cache: Cache) -> None:
    estimate, model = await made(Select(), toy.pool("= a"), cache)
    assert (estimate.picks, model.calls) == (((0, 1.0),), 0)


@pytest.mark.parametrize(
    ("reply", "text", "fallback"),
    [
        ("# SUMMARY\nx\n# UNIFIED RESPONSE\n so = a ", "so = a", None),
        ("say # UNIFIED RESPONSE\nthen # UNIFIED RESPONSE\n= b", "= b", None),
        ("no heading, = c", "no heading, = c", "no section '# UNIFIED RESPONSE'"),
        ("# UNIFIED RESPONSE", "", None),
    ],
)
async def test_synthesis_takes_the_last_section(
    reply: str, text: str, fallback: str | None, cache: Cache
) -> None:
    estimate, _ = await made(Synthesis(), toy.pool("= a", "= b"), cache, reply)
    assert (estimate.text, estimate.fallback) == (text, fallback)


@pytest.mark.parametrize("style", ["math", "free"])
async def test_synthesis_hides_the_question_unless_told(style: str, cache: Cache) -> None:
    for shown in ("hidden", "shown"):
        aggregator = Synthesis(question=shown, style=style)  # type: ignore[arg-type]
        _, model = await made(aggregator, toy.pool("= a", "= b"), cache, "= c")
        prompt = model.requests[0].messages[0]["content"]
        assert ("Open q1." in prompt) == (shown == "shown")
        assert prompt.count("</draft>") == 2


async def test_a_signal_of_one_rollout_has_a_closed_form(cache: Cache) -> None:
    whole = await toy.evaluation(toy.pool("= a", "longer = b"), toy.roles(cache), cache)
    ctx = whole.context([0, 1])
    found = await BestOfN("length").pick_probabilities(whole.question, whole.rollouts, [1, 2], ctx)
    np.testing.assert_allclose(found, [[0.5, 0.5], [0, 1]])  # type: ignore[arg-type]
