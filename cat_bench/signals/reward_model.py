"""A reward model rates each response on its own, for best-of-n (Cobbe et al. 2021, 2110.14168)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.errors import ContextTooLong, NotAvailable
from cat_bench.models.throttling import gather_all
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class ByRewardModel:
    """The reward model's number for the question's conversation and the response.

    NaN for a response that does not fit the reward model's context. It makes one call per rollout.
    Without a reward model, it is the imported score `reward_model`.
    """

    reads: ClassVar[Literal["self"]] = "self"
    needs: ClassVar[frozenset[Need]] = frozenset({"reward:reward_model"})

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one number per rollout; raises CallFailed."""
        return await gather_all(*(self._score(question, r, ctx) for r in rollouts))

    async def _score(self, question: Question, rollout: Rollout, ctx: Context) -> float:
        try:
            model = ctx.reward
        except NotAvailable:
            return rollout.reply.scores.get("reward_model", float("nan"))
        try:
            return float((await model.reward(question.messages, rollout.text))[0])
        except ContextTooLong:
            return float("nan")
