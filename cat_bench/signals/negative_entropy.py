"""Negative entropy: how sharp the next-token distributions are, on average.

RENT (Prabhudesai et al. 2025, arXiv 2505.22660) trains on it as its only reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.signals.tokens import mean_per_token
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class NegativeEntropy:
    """Minus the mean entropy in nats per token; NaN for an empty rollout."""

    reads: ClassVar[Literal["self"]] = "self"
    needs: ClassVar[frozenset[Need]] = frozenset({"entropies"})

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one mean per rollout, with the sign reversed."""
        return [-mean_per_token(rollout, "entropies") for rollout in rollouts]
