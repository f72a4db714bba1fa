"""Stop best-of-n when one more sample is not worth it (Kalayci et al. 2025, arXiv 2510.01394).

In Pandora's-box search, opening a box (here, sampling a rollout) has a cost and reveals a number.
`stats.stopping_scores.replayed_best` has the formula of the upper confidence bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cat_bench.aggregators.stopping import StoppedPick, lengths, shared_orders
from cat_bench.signals import rate, signal
from cat_bench.stats.stopping_scores import replay_best
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout, Stopped
from cat_bench.types.traits import Need, SignalTraits, traits


@dataclass(frozen=True)
class Pandora(StoppedPick):
    """The highest number by the signal `by` among the rollouts sampled before the rule stopped.

    `cost` is the cost of one rollout in units of the numbers' spread: a larger one stops sooner.
    `doubt` is the error probability of the confidence bound. The signal must rate each rollout on
    its own. A rollout without a number is paid for and never picked.
    """

    by: str
    cost: float = 0.1
    doubt: float = 0.1

    def __post_init__(self) -> None:
        if self.cost <= 0 or not 0 < self.doubt < 1:
            raise ValueError("cost should be above 0, and doubt between 0 and 1")
        if signal(self.by).reads != "self":
            raise ValueError(f"the number {self.by} depends on more than one rollout")

    @property
    def without_picks(self) -> str:
        """The reason to abstain if no order has a pick."""
        return f"{self.by} gives no rollout a number"

    @property
    def needs(self) -> frozenset[Need]:
        """The signal's needs."""
        return traits(SignalTraits, signal(self.by)).needs

    async def expected_stops(
        self, question: Question, pool: Sequence[Rollout], caps: Sequence[int], ctx: Context
    ) -> Stopped:
        """Return the picks and the samples at each cap; always a mean over random orders."""
        numbers = await rate(self.by, question, pool, ctx)
        return replay_best(
            np.asarray(numbers, dtype=float),
            caps,
            cost=self.cost,
            doubt=self.doubt,
            tokens=lengths(pool),
            orders=shared_orders(pool, ctx),
        )
