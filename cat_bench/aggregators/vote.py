"""Majority vote over final answers (self-consistency; Wang et al. 2022, arXiv 2203.11171)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cat_bench.estimators import majority_probabilities
from cat_bench.types import Context, Estimate, FloatArray, Need, Question, Rollout


@dataclass(frozen=True)
class Vote:
    """Pick from the largest cluster of equivalent answers.

    Tied clusters share evenly, and a cluster's mass spreads evenly over its members. A rollout
    without an answer casts no vote; where none has one, the vote abstains.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"answers"})

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """The members of the winning clusters, weighted."""
        labels = await ctx.clusters(rollouts)
        votes = Counter(label for label in labels if label is not None)
        if not votes:
            return Estimate.abstain("no rollout has an answer")
        top = max(votes.values())
        winners = [label for label, count in votes.items() if count == top]
        return Estimate.pick(
            *(r for r, label in zip(rollouts, labels, strict=True) if label in winners)
        )

    async def pick_probabilities(
        self, question: Question, pool: Sequence[Rollout], budgets: Sequence[int], ctx: Context
    ) -> FloatArray:
        """The exact law of the vote over random n-subsets; shape (budgets, pool)."""
        return majority_probabilities(await ctx.clusters(pool), budgets)
