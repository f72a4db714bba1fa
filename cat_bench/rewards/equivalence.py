"""Equivalence: 1 for a rollout whose answer equals the reference's for the task, else 0.

Compute as Teacher (arXiv 2509.14234, section 3) does this for verifiable tasks, by string match.
With the majority as estimator it is TTRL (Zuo et al. 2025, arXiv 2504.16084).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cat_bench.rewards.reference import Reference, ReferenceReward
from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Marks, Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class Equivalence(ReferenceReward):
    """Compare each answer with that of the `estimator`'s reference.

    A reference without an answer rewards no rollout, like an abstention; a synthesised one is
    placed in the group's own partition, or matches no rollout.
    """

    compares_with: ClassVar[frozenset[Need]] = frozenset({"answers"})

    async def compare(
        self, target: Reference, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return 1 where the answers are the same, else 0."""
        labels = await ctx.clusters(rollouts)
        notes = dict(target.notes)
        cluster = None
        if target.text is not None:
            cluster = await ctx.place(target.text)
            if ctx.answer(target.text) is None:
                notes["abstained"] = "the reference has no answer"
        same = [float(label is not None and label == cluster) for label in labels]
        return Marks(same, target.text, notes)
