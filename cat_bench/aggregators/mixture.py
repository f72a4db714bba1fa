"""Mixture of agents: layers of models, each of which reads all responses of the last layer.

Wang et al. 2024 (arXiv 2406.04692). The rollouts are the first layer's output; further layers use
the models of the run's roles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cat_bench.aggregators.synthesis import Style, synthesis_prompt, synthesise
from cat_bench.models.throttling import gather_all
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class Mixture:
    """The anchor's response to the responses of the last of `layers` layers of proposers.

    Each of the `proposers` writes once per layer and sees the question and the whole previous
    layer; a role that is named twice writes twice.
    """

    layers: int = 1
    proposers: tuple[Literal["policy", "anchor", "judge"], ...] = ("policy", "anchor", "judge")
    style: Style = "math"
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.layers < 0 or not self.proposers:
            raise ValueError("layers should be at least 0, with one proposer or more")

    @property
    def needs(self) -> frozenset[Need]:
        """The anchor and the proposers."""
        return frozenset({"anchor", *(self.proposers if self.layers else ())})

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the anchor's response."""
        drafts = [r.text for r in rollouts]
        for layer in range(self.layers):
            prompt = synthesis_prompt(drafts, ctx, style=self.style, question=question)
            first = layer * len(self.proposers)
            written = (
                synthesise(prompt, getattr(ctx, role), draw=draw, temperature=self.temperature)
                for draw, role in enumerate(self.proposers, first)
            )
            drafts = [reply.text for reply in await gather_all(*written)]
        prompt = synthesis_prompt(drafts, ctx, style=self.style, question=question)
        last = await synthesise(prompt, ctx.anchor, temperature=self.temperature)
        return Estimate.synthesised(last.text, fallback=last.fallback)
