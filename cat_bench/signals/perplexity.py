"""Perplexity under the generating model, as the mean token log-probability.

The rollout of minimum perplexity exp(-(1/T) Σ log p(token)) is the one of maximum mean
log-probability (the baseline of Compute as Teacher, arXiv 2509.14234, section 4).
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
class Perplexity:
    """Mean log-probability in nats per token; NaN for an empty rollout."""

    reads: ClassVar[Literal["self"]] = "self"
    from_replies: ClassVar[bool] = True
    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one mean per rollout."""
        return [mean_per_token(rollout, "logprobs") for rollout in rollouts]
