"""Random: a coin for each rollout, the control that any label-free reward should beat.

Spurious Rewards (Shao et al. 2025, arXiv 2506.10947) found that some models improve on coins: the
clipping of the policy gradient favours what the policy already does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.rewards.reference import uniform
from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Question, Rollout


@dataclass(frozen=True)
class Random:
    """1 with the chance `share`, else 0, for any rollout, even an empty one.

    The coin is a hash of the seed, the question's id, and the rollout's slot and text. It depends
    neither on the order of groups nor on the process that asks, so a resumed training and several
    processes see the same coins. Equal texts in different slots have different coins.
    """

    share: float = 0.5
    """The chance of 1."""
    seed: int = 0
    """The seed of the coins."""

    control: ClassVar[Literal[True]] = True

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError("share should be between 0 and 1")

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> list[float]:
        """Return one coin per rollout."""
        seeds = (f"{self.seed}\0{question.id}\0{r.slot}\0{r.text}" for r in rollouts)
        return [float(uniform(seed) < self.share) for seed in seeds]
