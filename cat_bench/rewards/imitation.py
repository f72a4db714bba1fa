"""Imitation: gives a reference for supervised fine-tuning, but no rewards.

Compute as Teacher (arXiv 2509.14234) found this weaker than rewards.
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
    """Return the reference of the `estimator`; no rollout gets a reward."""

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
        found = await reference(self.estimator, question, rollouts, ctx)
        return Marks([None] * len(rollouts), found.text, found.notes)
