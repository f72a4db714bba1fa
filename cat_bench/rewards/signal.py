"""Signal: the number that a signal gives to a rollout is its reward.

With self-certainty this is Intuitor (Zhao et al. 2025, arXiv 2505.19590), with negative entropy
RENT (arXiv 2505.22660). A reward model or a pointwise judge is a signal as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import ClassVar

from cat_bench.signals import rate, signal
from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Marks, Question, Rollout
from cat_bench.types.traits import Need, SignalTraits, traits


@dataclass(frozen=True)
class BySignal:
    """The number of the signal `by`; a rollout without a number is unscored.

    Raises ValueError for a signal that reads more than one rollout: its numbers would compare a
    group with itself, as `majority_share` does for answers.
    """

    by: str = "self_certainty"
    """The signal: one that rates each rollout on its own."""

    positive: ClassVar[None] = None

    def __post_init__(self) -> None:
        reads = traits(SignalTraits, signal(self.by)).reads
        if reads != "self":
            raise ValueError(f"the signal {self.by!r} reads {reads}: name one that reads self")

    @property
    def needs(self) -> frozenset[Need]:
        """The signal's needs."""
        return traits(SignalTraits, signal(self.by)).needs

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return one number per rollout."""
        numbers = (await rate(self.by, question, rollouts, ctx)).tolist()
        reason = f"{self.by} has no number for it"
        reasons = {str(place): reason for place, number in enumerate(numbers) if isnan(number)}
        values = [None if isnan(number) else number for number in numbers]
        return Marks(values, notes={"unscored": reasons} if reasons else {})
