"""Tournaments of rollouts that a model compares two at a time, in both orders.

Chen et al. 2024 (arXiv 2411.19477): a league ranks by average win rate over all pairs; a knockout
sends the winner of each pair to the next round. A league of random pairs, ranked by the strengths
of Bradley and Terry (1952), is the method of OpenDeepThink (2026, arXiv 2605.15177).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cat_bench.aggregators.best_of_n import BestOfN
from cat_bench.models.throttling import gather_all
from cat_bench.signals import rate_pairs
from cat_bench.stats.pairings import rounds_of, strengths
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need

_EQUAL = 1e-6
"""Strengths that differ by less are tied, because they are computed by iteration."""


@dataclass(frozen=True)
class Pairwise:
    """The winner of a `league` (tied winners share the pick) or a `knockout` among the rollouts.

    A league compares all pairs, or random ones in `matches` rounds, in which each rollout has at
    most one match (one of an odd number has none). It ranks by the share of comparisons won, 0.5
    for a rollout without any, or by Bradley-Terry strength, which also considers the opponents. In
    a league of all pairs both rankings agree.

    A knockout's bracket is random, and a drawn pair (one win each) is decided at random; both are
    seeded. One of an odd number of players advances without a match, and then plays first. Each
    pair is compared once, in two calls, for all subsets.
    """

    by: Literal["judge", "anchor"] = "judge"
    schedule: Literal["league", "knockout"] = "league"
    matches: int | None = None
    scoring: Literal["wins", "bradley-terry"] = "wins"

    reads: ClassVar[Literal["pairs"]] = "pairs"

    def __post_init__(self) -> None:
        if self.schedule == "knockout" and (self.matches or self.scoring != "wins"):
            raise ValueError("matches and scoring are for a league only")
        if self.matches is not None and self.matches < 1:
            raise ValueError("matches should be at least 1")

    @property
    def needs(self) -> frozenset[Need]:
        """The model that compares."""
        return frozenset({self.by})

    @property
    def _signal(self) -> str:
        return f"preference{{by={self.by}}}"

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the winner."""
        if self.schedule == "league":
            if self.matches is None and self.scoring == "wins":
                return await BestOfN(self._signal).aggregate(question, rollouts, ctx)
            return await self._league(question, rollouts, ctx)
        rng = ctx.rng
        ordered = sorted(rollouts, key=lambda r: r.slot)
        players = [ordered[k] for k in rng.permutation(len(ordered))]
        while len(players) > 1:
            lots = rng.random(len(players) // 2)
            pairs = zip(players[::2], players[1::2], lots, strict=False)
            winners = await gather_all(*(self._winner(question, *pair, ctx) for pair in pairs))
            players = [*players[2 * len(winners) :], *winners]
        return Estimate.pick(*players)

    async def _league(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        ordered = sorted(rollouts, key=lambda r: r.slot)
        size = len(ordered)
        rounds = rounds_of(ctx.rng.permutation(size).tolist(), self.matches or size)
        wins = np.zeros((size, size))

        async def play(i: int, j: int) -> None:
            shares = await rate_pairs(self._signal, question, [ordered[i], ordered[j]], ctx)
            wins[i, j], wins[j, i] = shares[0, 1], shares[1, 0]

        await gather_all(*(play(i, j) for matches in rounds for i, j in matches))
        if self.scoring == "wins":
            played = (wins + wins.T).sum(axis=0)
            values = np.where(played > 0, wins.sum(axis=0) / np.maximum(played, 1), 0.5)
        else:
            values = strengths(wins)
        best = values >= values.max() - _EQUAL
        return Estimate.pick(*(r for r, top in zip(ordered, best, strict=True) if top))

    async def _winner(
        self, question: Question, first: Rollout, second: Rollout, lot: float, ctx: Context
    ) -> Rollout:
        share = (await rate_pairs(self._signal, question, [first, second], ctx))[0, 1]
        return second if share > 0.5 or (share == 0.5 and lot < 0.5) else first
