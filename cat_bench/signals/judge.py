"""Pointwise judge: an LLM rates each rollout on its own (Zheng et al. 2023, arXiv 2306.05685)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.errors import CallFailed
from cat_bench.models.throttling import gather_all
from cat_bench.signals.replies import number_in
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class Judge:
    """The judge's number from 0 to 10; NaN if `attempts` replies hold no readable number."""

    attempts: int = 2

    reads: ClassVar[Literal["self"]] = "self"
    needs: ClassVar[frozenset[Need]] = frozenset({"judge"})

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one number per rollout, by one call each."""
        return await gather_all(*(self._score(question, r, ctx) for r in rollouts))

    async def _score(self, question: Question, rollout: Rollout, ctx: Context) -> float:
        prompt = ctx.prompt("judge", question=question.text, response=rollout.text)
        for attempt in range(self.attempts):
            try:
                reply = await ctx.judge.ask(prompt, draw=attempt)
            except CallFailed:
                break
            value = number_in(reply.text, low=0, high=10)
            if value is not None:
                return value
        return float("nan")
