"""Majority share: the share of the group that gives the same answer.

A soft form of the majority's reward (TTRL, arXiv 2504.16084): every answer counts by its votes,
and not only the most common one. SCRL (arXiv 2603.19880) weighs its rewards by this share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class MajorityShare:
    """The votes for the rollout's answer over the size of the group; 0 without an answer."""

    needs: ClassVar[frozenset[Need]] = frozenset({"answers"})

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> list[float]:
        """Return one share per rollout."""
        labels = await ctx.clusters(rollouts)
        votes = Counter(label for label in labels if label is not None)
        return [0.0 if label is None else votes[label] / len(labels) for label in labels]
