"""Format: 1 for a rollout whose answer can be read, right or wrong; a control.

Spurious Rewards (Shao et al. 2025, arXiv 2506.10947) reward only a box. What a reward adds beyond
this control is not due to answers that became readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class Format:
    """1 where the task reads a final answer, else 0."""

    control: ClassVar[Literal[True]] = True
    needs: ClassVar[frozenset[Need]] = frozenset({"answers"})

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> list[float]:
        """Return one number per rollout."""
        return [float(ctx.answer(rollout.text) is not None) for rollout in rollouts]
