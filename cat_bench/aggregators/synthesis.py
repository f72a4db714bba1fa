"""Synthesis: the anchor reads the rollouts and writes one response (Compute as Teacher).

arXiv 2509.14234, section 3: s ~ anchor(· | synthesis prompt, o_1..o_n), question not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from cat_bench.errors import ContextTooLong
from cat_bench.loading.prompts.quoting import heading_of, quote_heading
from cat_bench.models.throttling import gather_all
from cat_bench.types.calls import Message
from cat_bench.types.plugins import Context, Lent
from cat_bench.types.records import Estimate, Question, Rollout
from cat_bench.types.traits import Need

TITLE = "UNIFIED RESPONSE"
HEADER = f"# {TITLE}"
Style: TypeAlias = Literal["math", "free"]


@dataclass(frozen=True, slots=True)
class UnifiedResponse:
    """A response written from drafts.

    `fallback` is the reason if the reply did not have the requested form.
    """

    text: str
    fallback: str | None = None


@dataclass(frozen=True)
class Synthesis:
    """Write one new response from all the rollouts.

    `question` says whether the anchor sees the question (the paper hides it). `style` is the
    prompt: `math` asks for reconciled reasoning and a boxed answer, `free` for one combined
    response. `inputs` says which part of each rollout is shown: all of it, only its final answer
    (rollouts without one are left out; if none has one, the method abstains), or a summary that the
    anchor writes first.

    If all drafts together do not fit the context, each half is synthesised, and then the two
    results. `temperature` is for the syntheses, not for the summaries. Raises ContextTooLong if two
    drafts, a single draft, or the prompt of one summary do not fit.
    """

    question: Literal["hidden", "shown"] = "hidden"
    style: Style = "math"
    inputs: Literal["whole", "answers", "summaries"] = "whole"
    temperature: float | None = None

    @property
    def needs(self) -> frozenset[Need]:
        """The anchor, and answers if `inputs` shows them."""
        return frozenset({"anchor", "answers"} if self.inputs == "answers" else {"anchor"})

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """Return the anchor's unified response."""
        drafts = await self._drafts(rollouts, ctx)
        if not drafts:
            return Estimate.abstain("no rollout has an answer")
        written = await self._unify(drafts, question, ctx)
        return Estimate.synthesised(written.text, fallback=written.fallback)

    async def _drafts(self, rollouts: Sequence[Rollout], ctx: Context) -> list[str]:
        """Return the text that is shown for each rollout."""
        texts = [r.text for r in rollouts]
        match self.inputs:
            case "whole":
                return texts
            case "answers":
                return [answer for text in texts if (answer := ctx.answer(text))]
            case "summaries":
                prompts = (ctx.prompt("summary", draft=text) for text in texts)
                return [r.text for r in await gather_all(*map(ctx.anchor.ask, prompts))]

    async def _unify(
        self, drafts: Sequence[str], question: Question, ctx: Context
    ) -> UnifiedResponse:
        visible = question if self.question == "shown" else None
        prompt = synthesis_prompt(drafts, ctx, style=self.style, question=visible)
        try:
            return await synthesise(prompt, ctx.anchor, temperature=self.temperature)
        except ContextTooLong:
            if len(drafts) <= 2:
                raise
        middle = len(drafts) // 2
        halves = (drafts[:middle], drafts[middle:])
        parts = await gather_all(*(self._unify(half, question, ctx) for half in halves))
        joined = await self._unify([part.text for part in parts], question, ctx)
        fallback = next((part.fallback for part in (joined, *parts) if part.fallback), None)
        return replace(joined, fallback=fallback)


def synthesis_prompt(
    drafts: Sequence[str], ctx: Context, *, style: Style, question: Question | None
) -> list[Message]:
    """Return the prompt for one response from drafts, with or without the question."""
    name = "synthesis" if style == "math" else "synthesis_free"
    quoted = [quote_heading(draft, TITLE) for draft in drafts]
    if question is None:
        return ctx.prompt(name, drafts=quoted)
    return ctx.prompt(f"{name}_aware", drafts=quoted, question=question.text)


async def synthesise(
    prompt: Sequence[Message], model: Lent, *, draw: int = 0, temperature: float | None = None
) -> UnifiedResponse:
    """Ask the model, and return what follows the header in its reply."""
    reply = await model.ask(prompt, draw=draw, temperature=temperature)
    if heading := heading_of(TITLE).search(reply.text):
        return UnifiedResponse(reply.text[heading.end() :].strip())
    before, header, response = reply.text.rpartition(HEADER)
    if not header and HEADER in prompt[-1]["content"]:
        return UnifiedResponse(before + response, fallback=f"no section {HEADER!r}")
    return UnifiedResponse(response.strip())
