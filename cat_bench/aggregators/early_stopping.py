"""Early-stopping self-consistency, ESC: sample in windows (Li et al. 2024, arXiv 2401.10480)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cat_bench.aggregators.stopping import StoppedPick, lengths, shared_orders
from cat_bench.stats.stopping_orders import fill_gaps, replay_windows
from cat_bench.stats.stopping_windows import expect_windows
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout, Stopped
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class EarlyStopping(StoppedPick):
    """The answer of the first `window` of rollouts that all agree, else the majority of all n.

    The rollouts of a window are sampled in parallel. A rollout without an answer is paid for, does
    not vote, and breaks its window's agreement.
    """

    window: int = 8

    needs: ClassVar[frozenset[Need]] = frozenset({"answers"})

    def __post_init__(self) -> None:
        if self.window < 2:
            raise ValueError("window should be at least 2 rollouts")

    async def expected_stops(
        self, question: Question, pool: Sequence[Rollout], caps: Sequence[int], ctx: Context
    ) -> Stopped:
        """Return the picks and the samples at each cap."""
        labels, tokens = await ctx.clusters(pool), lengths(pool)

        def means(rest: list[int]) -> Stopped:
            orders = shared_orders(pool, ctx)
            return replay_windows(labels, rest, window=self.window, tokens=tokens, orders=orders)

        return fill_gaps(
            expect_windows(labels, caps, window=self.window, tokens=tokens), means, caps
        )
