"""A Swiss tournament of pairs, ranked by margin-weighted wins (V1-Infer).

Singh et al. 2026 (arXiv 2603.04304): every candidate is compared a few times; then candidates of
nearly equal rank meet, because their comparisons are the most informative. Prompts and weights
differ from the paper's: here the weight of a comparison is its margin, and at least `floor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cat_bench.models.throttling import gather_all
from cat_bench.signals import rate_pairs
from cat_bench.stats.pairings import Pair, neighbours, rounds_of
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class Swiss:
    """The candidate with the highest weighted share of comparisons won; ties share.

    `budget` is in comparisons per rollout, each one call; `coverage` is the number of random rounds
    before the Swiss rounds. A comparison without a readable reply, or without a margin, is a draw.
    Rounds follow one another; the calls of one round run at the same time.
    """

    by: Literal["judge", "anchor"] = "judge"
    budget: float = 3.0
    coverage: int = 2
    floor: float = 0.1

    reads: ClassVar[Literal["pairs"]] = "pairs"

    def __post_init__(self) -> None:
        if self.budget <= 0 or self.coverage < 1 or not 0 < self.floor <= 1:
            raise ValueError("budget, coverage and floor should be above 0, floor at most 1")

    @property
    def needs(self) -> frozenset[Need]:
        """The model that compares."""
        return frozenset({self.by})

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the winner."""
        ordered = sorted(rollouts, key=lambda r: r.slot)
        size = len(ordered)
        lots = ctx.rng.permutation(size)
        drawn = rounds_of(lots.tolist(), self.coverage)
        margins, left = np.full((size, size), np.nan), round(self.budget * size)
        while left > 0:
            met = [(int(a), int(b)) for a, b in np.argwhere(~np.isnan(margins))]
            ranked = sorted(lots.tolist(), key=lambda k: -self.shares(margins)[k])
            pairs = (drawn.pop(0) if drawn else neighbours(ranked, met))[:left]
            if not pairs:
                break
            await gather_all(*(self._play(question, ordered, pair, margins, ctx) for pair in pairs))
            left -= len(pairs)
        shares = self.shares(margins)
        return Estimate.pick(
            *(r for r, s in zip(ordered, shares, strict=True) if s == shares.max())
        )

    def shares(self, margins: FloatArray) -> FloatArray:
        """Return each candidate's weighted share won, shape (n,); 0.5 without a comparison."""
        weights = np.where(np.isnan(margins), 0, np.maximum(np.abs(margins), self.floor))
        won = (weights * (np.sign(np.nan_to_num(margins)) + 1) / 2).sum(axis=0)
        total = weights.sum(axis=0)
        shares = np.divide(won, total, out=np.full(len(won), 0.5), where=total > 0)
        rounded: FloatArray = np.round(shares, 9)
        return rounded

    async def _play(
        self,
        question: Question,
        rollouts: Sequence[Rollout],
        pair: Pair,
        margins: FloatArray,
        ctx: Context,
    ) -> None:
        """Fill in both entries of a pair."""
        both = [rollouts[k] for k in pair]
        margin = np.nan_to_num(
            (await rate_pairs(f"ratings{{by={self.by}}}", question, both, ctx))[0, 1]
        )
        margins[pair], margins[pair[::-1]] = margin, -margin
