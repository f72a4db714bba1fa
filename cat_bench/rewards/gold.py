"""Gold: the task's own score of each rollout, from the target. The supervised control.

Reinforcement learning with verifiable rewards (Lambert et al. 2024, arXiv 2411.15124) trains on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Marks, Rollout, Sample


@dataclass(frozen=True)
class Gold:
    """The task's score; a rollout that cannot be scored has no reward."""

    supervised: ClassVar[Literal[True]] = True

    async def rewards(
        self, sample: Sample, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return one score per rollout."""
        scores = await ctx.score(sample, [r.text for r in rollouts])
        unscored = {str(k): s.reason for k, s in enumerate(scores) if s.value is None}
        reasons = {place: reason or "no reason given" for place, reason in unscored.items()}
        return Marks([s.value for s in scores], notes={"unscored": reasons} if reasons else {})
