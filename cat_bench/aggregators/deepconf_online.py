"""DeepConf online: cut rollouts that lose confidence (Fu et al. 2025, arXiv 2508.15260)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cat_bench.aggregators.stopping import StoppedPick, shared_orders
from cat_bench.signals.confidence import Confidence
from cat_bench.stats.stopping_scores import replay_cuts
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout, Stopped
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class DeepConfOnline(StoppedPick):
    """The confidence-weighted vote of the rollouts that were not cut.

    The first `warmup` rollouts set the bar that the `keep` share of them reaches with their lowest
    group confidence (the paper's `low` keeps 0.1, its `high` 0.9). Each later one is cut when a
    group of `window` tokens falls below the bar. `of` is as in the signal `confidence`.
    """

    warmup: int = 16
    keep: float = 0.1
    window: int = 2048
    of: Literal["confidences", "logprobs", "entropies"] = "confidences"

    def __post_init__(self) -> None:
        if self.warmup < 1 or not 0 < self.keep <= 1:
            raise ValueError("warmup should be at least 1, and keep above 0 and at most 1")

    @property
    def without_picks(self) -> str:
        """The reason to abstain if no order has a pick."""
        return "no rollout that was kept has an answer"

    @property
    def needs(self) -> frozenset[Need]:
        """Answers and numbers per token."""
        return frozenset({"answers", self.of})

    async def expected_stops(
        self, question: Question, pool: Sequence[Rollout], caps: Sequence[int], ctx: Context
    ) -> Stopped:
        """Return the picks and the samples at each cap; always a mean over random orders."""
        signal = Confidence(window=self.window, of=self.of)
        groups = [signal.groups(rollout) for rollout in pool]
        return replay_cuts(
            await ctx.clusters(pool),
            caps,
            groups,
            warmup=self.warmup,
            keep=self.keep,
            tokens=np.array([signal.tokens(rollout) for rollout in pool]),
            orders=shared_orders(pool, ctx),
        )
