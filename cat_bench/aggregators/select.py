"""Selection by a model that reads all the rollouts and names one.

With the anchor this is the self-selected best-of-N of Compute as Teacher (arXiv 2509.14234,
section 4); with the judge, an LLM judge as the selector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cat_bench.signals.replies import number_in
from cat_bench.types import Context, Estimate, Need, Question, Rollout


@dataclass(frozen=True)
class Select:
    """Show the `by` model the question and every rollout, and pick the one it names.

    A reply that names none is asked for again, `attempts` times in all; then a random rollout
    stands in, marked as a fallback. One rollout alone is picked without a call.
    """

    by: Literal["anchor", "judge"] = "anchor"
    attempts: int = 2
    temperature: float | None = None

    @property
    def needs(self) -> frozenset[Need]:
        """The model that selects."""
        return frozenset({self.by})

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """The rollout that the model names."""
        if len(rollouts) == 1:
            return Estimate.pick(rollouts[0])
        model = ctx.anchor if self.by == "anchor" else ctx.judge
        prompt = ctx.prompt("select", question=question.text, drafts=[r.text for r in rollouts])
        for attempt in range(self.attempts):
            reply = await model.ask(prompt, draw=attempt, temperature=self.temperature)
            choice = number_in(reply.text, low=1, high=len(rollouts))
            if choice is not None and choice.is_integer():
                return Estimate.pick(rollouts[int(choice) - 1])
        stand_in = rollouts[int(ctx.rng.integers(len(rollouts)))]
        return Estimate.pick(stand_in, fallback="the selector named no candidate")
