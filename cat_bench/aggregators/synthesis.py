"""Synthesis: the anchor reads the rollouts and writes one response (Compute as Teacher).

arXiv 2509.14234, section 3: s ~ anchor(· | synthesis prompt, o_1..o_n), question not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.types import Context, Estimate, Need, Question, Rollout

HEADER = "# UNIFIED RESPONSE"


@dataclass(frozen=True)
class Synthesis:
    """Write one new response from all the rollouts.

    `question` says whether the anchor sees it (the paper hides it). `style` is the prompt: `math`
    asks for reconciled reasoning and a boxed answer, `free` for one combined response.
    """

    question: Literal["hidden", "shown"] = "hidden"
    style: Literal["math", "free"] = "math"
    temperature: float | None = None

    needs: ClassVar[frozenset[Need]] = frozenset({"anchor"})

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """The anchor's unified response."""
        name = "synthesis" if self.style == "math" else "synthesis_free"
        drafts = [r.text for r in rollouts]
        if self.question == "shown":
            prompt = ctx.prompt(f"{name}_aware", drafts=drafts, question=question.text)
        else:
            prompt = ctx.prompt(name, drafts=drafts)
        reply = await ctx.anchor.ask(prompt, temperature=self.temperature)
        before, header, response = reply.text.rpartition(HEADER)
        if not header and HEADER in prompt[-1]["content"]:
            return Estimate.synthesised(before + response, fallback=f"no section {HEADER!r}")
        return Estimate.synthesised(response.strip())
