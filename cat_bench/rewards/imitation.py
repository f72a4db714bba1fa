"""Imitation: only a reference for supervised fine-tuning, and no reward.

Compute as Teacher (arXiv 2509.14234) trains on the reference as the weaker alternative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cat_bench.rewards.reference import estimator_named, reference
from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Marks, Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class Imitation:
    """Ask only the `estimator`; every rollout is unscored."""

    estimator: str = "cat"

    def __post_init__(self) -> None:
        estimator_named(self.estimator)

    @property
    def needs(self) -> frozenset[Need]:
        """The estimator's needs."""
        return estimator_named(self.estimator).needs

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return the reference, with every rollout unscored."""
        teacher = await reference(self.estimator, question, rollouts, ctx)
        return Marks([None] * len(rollouts), teacher.text, teacher.notes)
