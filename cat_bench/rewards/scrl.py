"""Selective rewards from the vote: clear majorities are rewarded, rare uncertain answers punished.

SCRL (arXiv 2603.19880). With 0/1 rewards of which a share f is 1, a positive advantage is sqrt((1 -
f) / f), so that the weakest majorities have the largest effect; here their effect is in proportion
to their share, or none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from cat_bench.errors import NotAvailable
from cat_bench.rewards.reference import weighted_draw
from cat_bench.signals.tokens import per_token
from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Marks, Question, Rollout
from cat_bench.types.traits import Need

UNREADABLE = -1.0
WEIGHT = 0.1
ROUNDING = 1e-12


@dataclass(frozen=True)
class Scrl:
    """Reward by the share p of a rollout's answer in the group and its mean token entropy H:

    p if the answer is the label, plus p - `rare` if p < `rare` and H is at least the group's mean
    H̄, minus 0.1 (H - H̄). A rollout without an answer gets -1. The label is the top answer if its
    share is at least `clear` and leads the second by more than `lead`; else there is no label, and
    the estimate abstains.

    Entropies, in nats, are those of the policy that wrote the rollouts. Without them the reward is
    not available, unless `entropy` is false, which leaves out every term with entropies.
    """

    clear: float = 0.375
    lead: float = 0.125
    rare: float = 0.125
    entropy: bool = True

    positive: ClassVar[float] = 0.1875
    """Half of the least reward for the label, without the entropy term."""

    @property
    def needs(self) -> frozenset[Need]:
        """Answers, and the tokens' entropies."""
        return frozenset({"answers", "entropies"} if self.entropy else {"answers"})

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return one reward per rollout; the reference is a rollout with the label."""
        labels = await ctx.clusters(rollouts)
        means = [_mean_entropy(r) for r in rollouts] if self.entropy else None
        label = self.label(labels)
        if label is None:
            text, notes = None, {"abstained": "no answer leads clearly"}
        else:
            texts = {
                r.text: 1.0 for r, cluster in zip(rollouts, labels, strict=True) if cluster == label
            }
            text, notes = weighted_draw(question.id, texts), {}
        return Marks(self.values(labels, means), text, notes)

    def label(self, labels: Sequence[int | None]) -> int | None:
        """Return the clear majority's cluster, or None."""
        votes = Counter(label for label in labels if label is not None).most_common(2)
        if not votes:
            return None
        (top, most), second = votes[0], votes[1][1] if len(votes) > 1 else 0
        clear = most >= self.clear * len(labels) and most - second > self.lead * len(labels)
        return top if clear else None

    def values(
        self, labels: Sequence[int | None], entropies: Sequence[float] | None
    ) -> list[float]:
        """Return the rewards for clusters and mean entropies; None: no entropy terms."""
        votes = Counter(labels)
        spread = entropies or [0.0] * len(labels)
        mean = {
            label: fmean(h for h, cluster in zip(spread, labels, strict=True) if cluster == label)
            for label in votes
        }
        overall, positive = fmean(spread) if spread else 0.0, self.label(labels)

        def reward_of(label: int | None) -> float:
            if label is None:
                return UNREADABLE
            share, distance = votes[label] / len(labels), mean[label] - overall
            unsure = share < self.rare and distance >= -ROUNDING
            value = share * (label == positive) + (share - self.rare) * unsure
            return value - WEIGHT * distance

        return [reward_of(label) for label in labels]


def _mean_entropy(rollout: Rollout) -> float:
    """Return the mean entropy in nats per token; 0 for a rollout without tokens."""
    try:
        entropies = per_token(rollout, "entropies")
    except NotAvailable as error:
        raise NotAvailable(f"{error}: give scrl{{entropy=false}}") from None
    return float(entropies.mean()) if entropies.size else 0.0
