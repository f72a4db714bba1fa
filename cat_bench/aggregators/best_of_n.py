"""Best-of-n: the rollout that a signal ranks highest.

With `perplexity` this is the minimum-perplexity baseline of Compute as Teacher (arXiv 2509.14234,
section 4), with `judge` a pointwise judge, with an imported score a reward model's best-of-n, with
`consistency` minimum Bayes risk, with `preference` a league.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cat_bench.signals import rate, signal
from cat_bench.stats.exact import best_of_probabilities
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need, Reads, SignalTraits, traits


@dataclass(frozen=True)
class BestOfN:
    """Pick the rollout with the highest `by`: the name of a signal or of an imported score.

    Tied rollouts share evenly. A NaN ranks last; if every number is NaN, the method abstains.
    """

    by: str

    @property
    def needs(self) -> frozenset[Need]:
        """The signal's needs."""
        return traits(SignalTraits, signal(self.by)).needs

    @property
    def reads(self) -> Reads:
        """The reads that the signal declares."""
        return signal(self.by).reads

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the top rollouts, evenly weighted."""
        values = await rate(self.by, question, rollouts, ctx)
        if np.isnan(values).all():
            return Estimate.abstain(f"{self.by} gives no rollout a number")
        best = values == np.nanmax(values)
        return Estimate.pick(*(r for r, top in zip(rollouts, best, strict=True) if top))

    async def pick_probabilities(
        self, question: Question, pool: Sequence[Rollout], budgets: Sequence[int], ctx: Context
    ) -> FloatArray | None:
        """Return the closed form if a rollout's number depends only on itself, else None."""
        if self.reads != "self":
            return None
        return best_of_probabilities(await rate(self.by, question, pool, ctx), budgets)
