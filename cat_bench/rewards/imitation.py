"""Imitation: gives a reference for supervised fine-tuning, but no rewards.

Compute as Teacher (arXiv 2509.14234) found this weaker than rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cat_bench.rewards.reference import Reference, ReferenceReward
from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Marks, Question, Rollout


@dataclass(frozen=True)
class Imitation(ReferenceReward):
    """Return the reference of the `estimator`; no rollout gets a reward."""

    async def compare(
        self, target: Reference, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return the reference, with every rollout unscored."""
        return Marks([None] * len(rollouts), target.text, target.notes)
