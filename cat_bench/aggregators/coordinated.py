"""Rounds of parallel writing; each round reads all responses of the last one (PaCoRe).

Hu et al. 2026 (arXiv 2601.05593): the rollouts are the first round; each further round writes
several responses in parallel, from the question and the responses of the round before, without
their reasoning; the last round writes one. Without further rounds this is one response from all the
rollouts, like AggLM (Zhao et al. 2025, arXiv 2509.06870) and A2R (2509.22044), with other prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.models.throttling import gather_all
from cat_bench.types.calls import Message
from cat_bench.types.plugins import Context
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class Coordinated:
    """The anchor's response after rounds of as many responses as `rounds` lists, and a last one.

    Each response is written from the question in the policy's prompt, so that it ends as the task
    requires, and from all responses of the round before, in a random order. `prompt` names the
    prompt text. The number of calls is the sum of `rounds` plus one.
    """

    rounds: tuple[int, ...] = ()
    prompt: Literal["pacore", "agglm"] = "pacore"
    temperature: float | None = None

    needs: ClassVar[frozenset[Need]] = frozenset({"anchor"})

    def __post_init__(self) -> None:
        if min(self.rounds, default=1) < 1:
            raise ValueError("each of rounds should be at least 1")

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the last round's response."""
        rng, draw = ctx.rng, 0
        texts = [r.text for r in sorted(rollouts, key=lambda r: r.slot)]
        for width in (*self.rounds, 1):
            orders = [rng.permutation(len(texts)) for _ in range(width)]
            replies = (
                ctx.anchor.ask(
                    self._prompt(question, [texts[k] for k in order], ctx),
                    draw=draw + place,
                    temperature=self.temperature,
                )
                for place, order in enumerate(orders)
            )
            texts = [reply.text for reply in await gather_all(*replies)]
            draw += width
        return Estimate.synthesised(texts[0])

    def _prompt(self, question: Question, drafts: Sequence[str], ctx: Context) -> list[Message]:
        *before, last = question.messages
        return [*before, *ctx.prompt(self.prompt, question=last["content"], drafts=list(drafts))]
