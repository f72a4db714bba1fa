"""Recursive self-aggregation (RSA; Venkatraman et al. 2025, arXiv 2509.26626).

The rollouts are the first population. In each round, every member of the next population is written
from the question and a few members of the last population, drawn at random without replacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cat_bench.aggregators.synthesis import Style, UnifiedResponse, synthesis_prompt, synthesise
from cat_bench.models.throttling import gather_all
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class RecursiveSynthesis:
    """A random member of the population after `rounds` rounds of synthesis from `subset` members.

    `population` is by default the number of rollouts. All choices are seeded.
    """

    population: int | None = None
    subset: int = 4
    rounds: int = 2
    style: Style = "math"
    temperature: float | None = None

    needs: ClassVar[frozenset[Need]] = frozenset({"anchor"})

    def __post_init__(self) -> None:
        if min(self.population or 1, self.subset, self.rounds) < 1:
            raise ValueError("population, subset and rounds should be at least 1")

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return a random member of the last population."""
        rng = ctx.rng
        members = [UnifiedResponse(r.text) for r in sorted(rollouts, key=lambda r: r.slot)]
        size = self.population or len(members)
        for turn in range(self.rounds):
            count = min(self.subset, len(members))
            drawn = [rng.choice(len(members), count, replace=False) for _ in range(size)]
            drafts = ([members[k].text for k in chosen] for chosen in drawn)
            prompts = [
                synthesis_prompt(texts, ctx, style=self.style, question=question)
                for texts in drafts
            ]
            written = (
                synthesise(prompt, ctx.anchor, draw=turn * size + k, temperature=self.temperature)
                for k, prompt in enumerate(prompts)
            )
            members = await gather_all(*written)
        last = members[int(rng.integers(size))]
        return Estimate.synthesised(last.text, fallback=last.fallback)
