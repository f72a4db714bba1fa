"""Self-certainty: the distance of the next-token distributions from uniform (Kang et al. 2025).

arXiv 2502.18581: -(1/(nV)) Σ_i Σ_j log(V p(j | x, y_<i)), the mean over tokens of KL(uniform || p).
It needs the mean log-probability over the whole vocabulary, which neither the chosen tokens'
log-probabilities nor the entropies determine: the backend must give `certainties`.
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
class SelfCertainty:
    """Mean divergence in nats per token; NaN for an empty rollout."""

    reads: ClassVar[Literal["self"]] = "self"
    from_replies: ClassVar[bool] = True
    needs: ClassVar[frozenset[Need]] = frozenset({"certainties"})

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one mean per rollout."""
        return [mean_per_token(rollout, "certainties") for rollout in rollouts]
