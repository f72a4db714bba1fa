"""What all stopping rules share: expected picks and samples over random orders, and the estimate.

If the exact expectation needs too many states, a mean over random orders replaces it. The orders
depend only on the question and its rollouts, so that all rules see the same ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from cat_bench.stats.stopping import IntArray, Rule, expect_stop
from cat_bench.stats.stopping_orders import fill_gaps, random_orders, replay_rule
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout, Stopped


async def stop_by_votes(
    pool: Sequence[Rollout], caps: Sequence[int], rule: Rule, ctx: Context
) -> Stopped:
    """Return what a rule that reads only votes picks and samples at each cap."""
    labels, tokens = await ctx.clusters(pool), lengths(pool)

    def means(rest: list[int]) -> Stopped:
        return replay_rule(labels, rest, rule, tokens=tokens, orders=shared_orders(pool, ctx))

    return fill_gaps(expect_stop(labels, caps, rule, tokens=tokens), means, caps)


def shared_orders(pool: Sequence[Rollout], ctx: Context) -> IntArray:
    """Return random orders of a pool, the same for every rule that asks, shape (orders, pool).

    They are orders of slots, so that the order of `pool` does not matter.
    """
    place = np.argsort([rollout.slot for rollout in pool])
    return place[random_orders(len(pool), ctx.rng)]


def lengths(pool: Sequence[Rollout]) -> FloatArray:
    """Return the completion tokens of each rollout, shape (pool,)."""
    return np.array([rollout.reply.usage.completion for rollout in pool], dtype=float)


class StoppedPick(ABC):
    """An aggregator that reads rollouts in a random order until its rule stops, and then picks."""

    reads: ClassVar[Literal["self"]] = "self"

    @property
    def without_picks(self) -> str:
        """The reason to abstain if no order has a pick."""
        return "no rollout has an answer"

    @abstractmethod
    async def expected_stops(
        self, question: Question, pool: Sequence[Rollout], caps: Sequence[int], ctx: Context
    ) -> Stopped:
        """Return the picks and the samples at each cap."""

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the rollouts, weighted by how often they win in a random order."""
        stopped = await self.expected_stops(question, rollouts, [len(rollouts)], ctx)
        return expected_pick(stopped, rollouts, otherwise=self.without_picks)


def expected_pick(stopped: Stopped, pool: Sequence[Rollout], *, otherwise: str) -> Estimate:
    """Return a whole pool's estimate: its rollouts, weighted by how often the rule picks them.

    Orders without a pick are left out; if all are, the estimate is an abstention.
    """
    weights = stopped.picks[-1]
    total = weights.sum()
    if total <= 0:
        return Estimate.abstain(otherwise)
    picks = ((r.slot, float(w / total)) for r, w in zip(pool, weights, strict=True))
    return Estimate(picks=tuple((slot, weight) for slot, weight in picks if weight > 0))
