"""A uniformly random rollout: the value of one sample, and the floor of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cat_bench.stats.exact import uniform_probabilities
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout


@dataclass(frozen=True)
class Uniform:
    """Pick any rollout with equal chance; its expectation is the mean over the pool."""

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return all rollouts with equal weight."""
        return Estimate.pick(*rollouts)

    async def pick_probabilities(
        self, question: Question, pool: Sequence[Rollout], budgets: Sequence[int], ctx: Context
    ) -> FloatArray:
        """Return 1 / N for every rollout and budget; shape (budgets, pool)."""
        return uniform_probabilities(len(pool), budgets)
