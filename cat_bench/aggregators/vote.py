"""Majority vote over final answers (self-consistency; Wang et al. 2022, arXiv 2203.11171).

A signal may weight the votes: its rank to a power gives the Borda vote of Kang et al. 2025 (arXiv
2502.18581), its value the confidence-weighted vote of DeepConf (Fu et al. 2025, arXiv 2508.15260),
which also drops the least confident rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from cat_bench.signals import rate, signal
from cat_bench.stats.exact import majority_probabilities
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need, Reads, SignalTraits, traits

_UNANSWERED = -1
"""The cluster of the rollouts without an answer; the partition numbers its clusters from 0."""
TIED = 1e-9
"""Sums of weights that differ by less, relative to the largest, are tied (rounding)."""


@dataclass(frozen=True)
class Vote:
    """Pick from the cluster of equivalent answers with the most votes.

    Without `by`, each rollout has one vote. With `by`, only the `keep` share with the highest
    numbers by that signal votes, including ties at the edge; a rollout with NaN never votes.
    `weight` is the weight of a vote: `rank`, its rank from below among the voters (ties share the
    mean rank) to the `power`; `softmax`, the exponential of its number over `temperature`; `value`,
    the number itself, or 0 if it is negative.

    Tied clusters share evenly, and a cluster's mass spreads evenly over its members. A rollout
    without an answer casts no vote; without any vote, the method abstains. With `unanswered=vote`,
    such rollouts are one cluster that may win the plain vote. This shows the cost of a harness that
    counts empty strings as an answer.
    """

    by: str | None = None
    weight: Literal["rank", "softmax", "value"] = "rank"
    power: float = 1.0
    temperature: float = 1.0
    keep: float = 1.0
    unanswered: Literal["abstain", "vote"] = "abstain"

    def __post_init__(self) -> None:
        if self.by and self.unanswered == "vote":
            raise ValueError("unanswered=vote is for the plain vote: leave out `by`")
        if self.temperature <= 0 or not 0 < self.keep <= 1:
            raise ValueError("temperature should be above 0, and keep above 0 and at most 1")

    @property
    def needs(self) -> frozenset[Need]:
        """Answers, and the signal's needs."""
        of_signal = traits(SignalTraits, signal(self.by)).needs if self.by else frozenset()
        return of_signal | {"answers"}

    @property
    def reads(self) -> Reads:
        """The reads that the signal declares."""
        return signal(self.by).reads if self.by else "self"

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the members of the winning clusters, weighted."""
        labels = await self._clusters(rollouts, ctx)
        weights = await self._weights(question, rollouts, ctx)
        votes: dict[int, float] = {}
        for label, weight in zip(labels, weights, strict=True):
            if label is not None and not np.isnan(weight):
                votes[label] = votes.get(label, 0.0) + float(weight)
        if not votes:
            return Estimate.abstain("no rollout has an answer and a vote")
        least = max(votes.values()) * (1 - TIED)
        winners = [label for label, total in votes.items() if total >= least]
        share = {label: 1 / len(winners) / labels.count(label) for label in winners}
        picks = zip(rollouts, labels, strict=True)
        return Estimate(picks=tuple((r.slot, share[k]) for r, k in picks if k in share))

    async def pick_probabilities(
        self, question: Question, pool: Sequence[Rollout], budgets: Sequence[int], ctx: Context
    ) -> FloatArray | None:
        """Return the plain vote's probabilities, shape (budgets, pool); None for weighted votes.

        Sums of weights have no closed form.
        """
        if self.by:
            return None
        return majority_probabilities(await self._clusters(pool, ctx), budgets)

    async def _clusters(self, rollouts: Sequence[Rollout], ctx: Context) -> list[int | None]:
        """Return each rollout's cluster; None for one that has no answer and casts no vote."""
        labels = list(await ctx.clusters(rollouts))
        if self.unanswered == "abstain":
            return labels
        return [_UNANSWERED if label is None else label for label in labels]

    async def _weights(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> FloatArray:
        """Return each rollout's vote, at least 0; NaN for no vote."""
        if not self.by:
            return np.ones(len(rollouts))
        numbers = await rate(self.by, question, rollouts, ctx)
        ascending = np.sort(numbers[~np.isnan(numbers)])
        if not ascending.size:
            return numbers
        edge = ascending[-ceil(self.keep * ascending.size)]
        numbers = np.where(numbers >= edge, numbers, np.nan)
        match self.weight:
            case "rank":
                return _mean_ranks(numbers, ascending[ascending >= edge]) ** self.power
            case "softmax":
                return np.asarray(np.exp((numbers - ascending[-1]) / self.temperature))
            case "value":
                return np.maximum(numbers, 0.0)


def _mean_ranks(numbers: FloatArray, ascending: FloatArray) -> FloatArray:
    """Return each number's rank from 1 in `ascending`, the mean of its ties' ranks; NaN for NaN.

    This is `scipy.stats.rankdata`, whose checks take ten times as long as a dozen numbers.
    """
    below, upto = (np.searchsorted(ascending, numbers, side=side) for side in ("left", "right"))
    return np.where(np.isnan(numbers), np.nan, (below + upto + 1) / 2)
