"""GenSelect: a model compares several candidates at once and names the best, window by window.

AIMO-2 (Moshkov et al. 2025, arXiv 2504.16891) and its study (Toshniwal et al. 2025, 2507.17797):
more candidates than fit a window are compared in a tournament of windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.aggregators.select import select_one
from cat_bench.models.throttling import gather_all
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class GenSelect:
    """The winner of rounds in which the best candidate of each window advances.

    Windows of at most `window` candidates are drawn at random, of nearly equal size; a single
    candidate advances without a call. If no reply of `attempts` names a candidate, a random one
    advances, and the estimate is marked as a fallback.
    """

    by: Literal["anchor", "judge"] = "anchor"
    window: int = 8
    attempts: int = 2
    temperature: float | None = None

    prompt: ClassVar[str] = "genselect"

    def __post_init__(self) -> None:
        if self.window < 2:
            raise ValueError("window should be at least 2")

    @property
    def needs(self) -> frozenset[Need]:
        """The model that selects."""
        return frozenset({self.by})

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the last candidate left."""
        rng, fallback = ctx.rng, None
        ordered = sorted(rollouts, key=lambda r: r.slot)
        candidates = [ordered[k] for k in rng.permutation(len(ordered))]
        model = ctx.anchor if self.by == "anchor" else ctx.judge
        while len(candidates) > 1:
            count = -(-len(candidates) // self.window)
            windows = [candidates[start::count] for start in range(count)]
            stand_ins = [window[int(rng.integers(len(window)))] for window in windows]
            winners = await gather_all(
                *(
                    select_one(
                        ctx.prompt(
                            self.prompt, question=question.text, drafts=[r.text for r in window]
                        ),
                        window,
                        model,
                        attempts=self.attempts,
                        temperature=self.temperature,
                    )
                    for window in windows
                )
            )
            if None in winners:
                fallback = "the selector named no candidate of a window"
            candidates = [best or lot for best, lot in zip(winners, stand_ins, strict=True)]
        return Estimate.pick(*candidates, fallback=fallback)
