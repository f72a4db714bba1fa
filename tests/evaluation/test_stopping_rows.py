"""Rows of stopping rules: what they score and cost, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from cat_bench.aggregators.adaptive_consistency import AdaptiveConsistency
from cat_bench.aggregators.pandora import Pandora
from cat_bench.cache import Cache
from cat_bench.errors import NotAvailable
from cat_bench.stats.stopping import expect_stop
from cat_bench.stats.stopping_rules import beta, majority_share
from cat_bench.types.plugins import Context, Stopping
from cat_bench.types.records import Estimate, Question, Rollout, Stopped
from tests import toy

POOL = toy.pool(
    "one = right", "a b = right", "a b c = right", "a b c d e = wrong", "no answer here"
)


async def test_score_and_costs_are_expectations_over_orders(cache: Cache) -> None:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(2, 5))
    rows = await whole.rows(toy.method(AdaptiveConsistency("majority", 0.8), "stops"))
    labels = ["right"] * 3 + ["wrong", None]
    lengths = np.array([float(r.reply.usage.completion) for r in POOL.rollouts])
    exact = expect_stop(labels, [2, 5], majority_share(0.8), tokens=lengths)
    for k, row in enumerate(rows[:2]):
        drawn = exact.drawn[k]
        assert row.n == (2, 5)[k]
        assert row.draw is None
        assert row.draw_se is None
        assert row.score == pytest.approx(exact.picks[k][:3].sum())
        assert row.abstained == pytest.approx(1 - exact.picks[k].sum())
        assert row.calls == row.policy_calls == pytest.approx(drawn.sum())
        assert row.prompt_tokens == pytest.approx(7 * drawn.sum())
        assert row.shared_prompt_tokens == pytest.approx(7)
        assert row.completion_tokens == pytest.approx(drawn @ lengths)
        assert row.sequential_tokens == pytest.approx(drawn @ lengths)
    assert rows[1].calls < 5


async def test_budgets_beyond_are_served_and_larger_ones_left_out(cache: Cache) -> None:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(1, 9))
    rows = await whole.rows(toy.method(AdaptiveConsistency(), "stops"))
    assert {row.n for row in rows} <= {1, 2, 4, 5}


async def test_a_mean_over_orders_has_its_error(cache: Cache) -> None:
    whole = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(4,))
    (row,) = await whole.rows(toy.method(Pandora("length", cost=0.8), "stops"))
    assert row.draw_se is not None
    assert 0 < row.draw_se < 0.02
    assert row.rollout_var is None


async def test_a_number_that_takes_calls_is_refused(cache: Cache) -> None:
    judge = toy.roles(cache, judge=toy.saying(*["\\boxed{3}"] * 5))
    whole = await toy.evaluation(POOL, judge, cache, budgets=(2,))
    with pytest.raises(NotAvailable, match="a signal that calls a model"):
        await whole.rows(toy.method(Pandora("judge"), "stops"))


@dataclass(frozen=True)
class Broken:
    """A rule with a bug: `gives` one of several."""

    gives: str

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Is not asked for."""
        raise AssertionError

    async def expected_stops(
        self, question: Question, pool: Sequence[Rollout], caps: Sequence[int], ctx: Context
    ) -> Stopped:
        """Something that is no expectation."""
        shape = (len(caps), len(pool))
        if self.gives == "an error":
            raise KeyError("lost")
        if self.gives == "another shape":
            return Stopped(np.zeros((1, 1)), np.zeros(shape), np.zeros(len(caps)))
        if self.gives == "more than 1":
            return Stopped(np.full(shape, 0.9), np.full(shape, 0.9), np.zeros(len(caps)))
        return Stopped(np.full(shape, -0.5), np.zeros(shape), np.zeros(len(caps)))


@pytest.mark.parametrize("gives", ["an error", "another shape", "more than 1", "less than 0"])
async def test_a_rule_with_a_bug_has_rows_that_say_so(gives: str, cache: Cache) -> None:
    rule = Broken(gives)
    assert isinstance(rule, Stopping)
    whole = await toy.evaluation(POOL, toy.roles(cache), cache, budgets=(2, 4))
    rows = await whole.rows(toy.method(rule, "broken"))
    assert rows
    assert all(row.failed and row.score is None for row in rows)


def test_a_rule_that_never_stops_is_the_vote() -> None:
    found = expect_stop(["a", "a", "b"], [3], beta(1.0), tokens=np.ones(3))
    np.testing.assert_allclose(found.picks, [[0.5, 0.5, 0]])
