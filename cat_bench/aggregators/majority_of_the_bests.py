"""Majority-of-the-Bests: the answer that wins best-of-m most often (arXiv 2511.18630).

Best-of-n trusts one number, the highest. Here every m-subset of the n rollouts has a best rollout,
and the most common answer among these winners is the estimate. The paper draws bootstrap samples;
here the chance that a rollout is the best of m is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

import numpy as np

from cat_bench.signals import rate, signal
from cat_bench.stats.exact import best_of_probabilities
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need, SignalTraits, traits

TIED = 1e-9
"""Chances that differ by less, from rounding, are tied."""


@dataclass(frozen=True)
class MajorityOfTheBests:
    """Pick from the answer with the largest chance to hold the highest `by` of m random rollouts.

    `by` is the name of a signal or of an imported score. `m` is by default the square root of n,
    rounded up; 1 is the majority, n is best-of-n. Tied answers share evenly, and within an answer
    the rollouts share by their own chances. A rollout without an answer or a number never wins; if
    all lack one, the method abstains.
    """

    by: str
    m: int | None = None

    def __post_init__(self) -> None:
        if self.m is not None and self.m < 1:
            raise ValueError("m should be at least 1")

    @property
    def needs(self) -> frozenset[Need]:
        """Answers, and the signal's needs."""
        return traits(SignalTraits, signal(self.by)).needs | {"answers"}

    @property
    def reads(self) -> Literal["self", "pairs", "subset"]:
        """The reads that the signal declares."""
        return signal(self.by).reads

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the members of the winning answers, weighted."""
        labels = await ctx.clusters(rollouts)
        numbers = np.array(await rate(self.by, question, rollouts, ctx), dtype=float)
        numbers[[label is None for label in labels]] = np.nan
        size = min(self.m or ceil(sqrt(len(rollouts))), len(rollouts))
        (wins,) = best_of_probabilities(numbers, [size])
        chance: dict[int, float] = {}
        for label, win in zip(labels, wins, strict=True):
            if label is not None and win > 0:
                chance[label] = chance.get(label, 0.0) + float(win)
        if not chance:
            return Estimate.abstain(f"no rollout has an answer and a number by {self.by}")
        most = max(chance.values())
        best = [label for label, total in chance.items() if total >= most - TIED]
        picks = (
            (r.slot, float(win) / chance[label] / len(best))
            for r, label, win in zip(rollouts, labels, wins, strict=True)
            if label in best and win > 0
        )
        return Estimate(picks=tuple(picks))
