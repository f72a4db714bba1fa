"""Selection by a model that reads all the rollouts and names one.

With the anchor this is the self-selected best-of-N of Compute as Teacher (arXiv 2509.14234,
section 4); with the judge, an LLM judge is the selector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.signals.replies import number_in
from cat_bench.types.calls import Message
from cat_bench.types.plugins import Context, Lent
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class Select:
    """Show the `by` model the question and every rollout, and pick the one it names.

    A reply that names no rollout is requested again, up to `attempts` replies; then a random
    rollout is picked and marked as a fallback. A single rollout is picked without a call. With
    `check`, a second reading in reverse order guards against position bias: if the readings name
    different rollouts, both share the pick, marked as a fallback, so that the fallback rate is the
    rate of disagreement.
    """

    by: Literal["anchor", "judge"] = "anchor"
    attempts: int = 2
    temperature: float | None = None
    check: bool = False

    prompt: ClassVar[str] = "select"

    @property
    def needs(self) -> frozenset[Need]:
        """The model that selects."""
        return frozenset({self.by})

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the rollout that the model names."""
        if len(rollouts) == 1:
            return Estimate.pick(rollouts[0])
        orders = [rollouts, rollouts[::-1]] if self.check else [rollouts]
        choices = [await self._choice(question, order, ctx) for order in orders]
        chosen = {r.slot: r for r in choices if r is not None}
        if not chosen:
            ordered = sorted(rollouts, key=lambda r: r.slot)
            stand_in = ordered[int(ctx.rng.integers(len(ordered)))]
            return Estimate.pick(stand_in, fallback="the selector named no candidate")
        if len(chosen) > 1 or None in choices:
            reason = "the selector named another candidate in reverse order"
            return Estimate.pick(*chosen.values(), fallback=reason)
        return Estimate.pick(*chosen.values())

    async def _choice(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Rollout | None:
        """Return the rollout that one reading names, if any."""
        model = ctx.anchor if self.by == "anchor" else ctx.judge
        prompt = ctx.prompt(self.prompt, question=question.text, drafts=[r.text for r in rollouts])
        return await select_one(
            prompt, rollouts, model, attempts=self.attempts, temperature=self.temperature
        )


async def select_one(
    prompt: Sequence[Message],
    rollouts: Sequence[Rollout],
    model: Lent,
    *,
    attempts: int,
    temperature: float | None = None,
) -> Rollout | None:
    """Return the rollout that the model names by its number; None after all `attempts`."""
    for attempt in range(attempts if len(rollouts) > 1 else 0):
        reply = await model.ask(prompt, draw=attempt, temperature=temperature)
        choice = number_in(reply.text, low=1, high=len(rollouts))
        if choice is not None and choice.is_integer():
            return rollouts[int(choice) - 1]
    return rollouts[0] if len(rollouts) == 1 else None
