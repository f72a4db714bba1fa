"""Shuffled: compare each rollout with the reference of another question; a control.

The reference is made in the same way, from as many rollouts of the frozen initial policy, but for
an unrelated question. What a reward adds beyond this control is due to the right reference.
Spurious Rewards (Shao et al. 2025, arXiv 2506.10947) train on wrong labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from cat_bench.rewards.equivalence import Equivalence
from cat_bench.rewards.judge_match import JudgeMatch
from cat_bench.rewards.reference import ReferenceReward, reference
from cat_bench.rewards.rubric import SelfProposed
from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Marks, Question, Rollout
from cat_bench.types.traits import Need

COMPARING: Mapping[str, type[ReferenceReward]] = {
    "equivalence": Equivalence,
    "judge_match": JudgeMatch,
    "rubric": SelfProposed,
}


@dataclass(frozen=True)
class Shuffled:
    """The reward `by` with the `estimator`'s reference of another question of the task.

    The other question is the next one in an order by hash, so it stays the same throughout.
    """

    estimator: str = "cat"
    by: Literal["equivalence", "judge_match", "rubric"] = "equivalence"
    """The reward that compares rollouts with the reference."""

    control: ClassVar[Literal[True]] = True

    def __post_init__(self) -> None:
        _ = self._reward

    @property
    def needs(self) -> frozenset[Need]:
        """Another question, and the needs of the reward."""
        return self._reward.needs | {"others"}

    @property
    def _reward(self) -> ReferenceReward:
        return COMPARING[self.by](self.estimator)

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return the reward's marks, with the note `reference_of`: the other question's id."""
        neighbour, drawn, lent = await ctx.elsewhere(len(rollouts))
        wrong = await reference(self.estimator, neighbour, drawn, lent)
        marks = await self._reward.compare(wrong, question, rollouts, ctx)
        return replace(marks, notes={**marks.notes, "reference_of": neighbour.id})
