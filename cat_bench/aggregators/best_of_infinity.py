"""Best-of-infinity: sample until a Bayes factor decides the vote (arXiv 2509.21091).

Komiyama et al. 2025 compare the odds that the leading answer has the largest probability with a
threshold. Here the odds are computed by quadrature, not from 1,000 samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cat_bench.aggregators.stopping import StoppedPick, stop_by_votes
from cat_bench.stats.stopping_rules import UNSEEN, bayes_factor
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout, Stopped
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class BestOfInfinity(StoppedPick):
    """The majority of the answers that were sampled before the Bayes factor reached `threshold`.

    All unseen answers count as one answer with `unseen` votes. A rollout without an
    answer is paid for and does not vote.
    """

    threshold: float = 10.0
    unseen: float = UNSEEN

    needs: ClassVar[frozenset[Need]] = frozenset({"answers"})

    def __post_init__(self) -> None:
        if self.threshold <= 0 or self.unseen < 0:
            raise ValueError("threshold should be above 0, and unseen at least 0")

    async def expected_stops(
        self, question: Question, pool: Sequence[Rollout], caps: Sequence[int], ctx: Context
    ) -> Stopped:
        """Return the picks and the samples at each cap."""
        return await stop_by_votes(
            pool, caps, bayes_factor(self.threshold, unseen=self.unseen), ctx
        )
