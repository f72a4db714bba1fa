"""Adaptive-Consistency: sample until the vote is decided (Aggarwal et al. 2023, arXiv 2305.11860).

Answers are sampled one at a time; after each one, a rule looks at the votes so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.aggregators.stopping import StoppedPick, stop_by_votes
from cat_bench.stats.stopping import Rule
from cat_bench.stats.stopping_rules import beta, entropy, majority_share
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout, Stopped
from cat_bench.types.traits import Need

_RULES = {"beta": beta, "majority": majority_share, "entropy": entropy}
_THRESHOLDS = {"beta": 0.95, "majority": 0.8, "entropy": 0.75}


@dataclass(frozen=True)
class AdaptiveConsistency(StoppedPick):
    """The majority of the answers that were sampled before the rule stopped, at most n of them.

    The `rule` says when to stop: `beta` when the chance that the top answer beats the second is at
    least `threshold`; `majority` when the top answer has at least that share of two or more votes;
    `entropy` when the votes' entropy is at most that share of its maximum. The default thresholds
    are the paper's: 0.95, 0.8, 0.75. A rollout without an answer is paid for and does not vote.
    """

    rule: Literal["beta", "majority", "entropy"] = "beta"
    threshold: float | None = None

    needs: ClassVar[frozenset[Need]] = frozenset({"answers"})

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ValueError("threshold should be above 0 and at most 1")

    async def expected_stops(
        self, question: Question, pool: Sequence[Rollout], caps: Sequence[int], ctx: Context
    ) -> Stopped:
        """Return the picks and the samples at each cap."""
        return await stop_by_votes(pool, caps, self._rule, ctx)

    @property
    def _rule(self) -> Rule:
        return _RULES[self.rule](
            _THRESHOLDS[self.rule] if self.threshold is None else self.threshold
        )
