"""A process reward model reads each step of a response (Lightman et al. 2023, arXiv 2305.20050).

Papers reduce the numbers of steps to one in different ways: Lightman et al. multiply, Math-Shepherd
(arXiv 2312.08935) takes the least, Snell et al. (arXiv 2408.03314) the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cat_bench.errors import ContextTooLong
from cat_bench.models.throttling import gather_all
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class ProcessReward:
    """The probability that a step is right, reduced over the steps of a response.

    `steps` is the text between two steps; empty pieces do not count. `reduce` takes the least, the
    last, the product or the mean. NaN for a response without a step, or one that does not fit the
    reward model's context. It makes one call per rollout.
    """

    steps: str = "\n\n"
    reduce: Literal["min", "last", "prod", "mean"] = "min"

    reads: ClassVar[Literal["self"]] = "self"
    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("steps should be the text between two steps, and is empty")

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one number per rollout; raises CallFailed."""
        return await gather_all(*(self._score(question, r, ctx) for r in rollouts))

    async def _score(self, question: Question, rollout: Rollout, ctx: Context) -> float:
        pieces = [piece for piece in rollout.text.split(self.steps) if piece.strip()]
        if not pieces:
            return float("nan")
        try:
            numbers = await ctx.reward.reward(question.messages, pieces)
        except ContextTooLong:
            return float("nan")
        match self.reduce:
            case "min":
                return float(np.min(numbers))
            case "last":
                return float(numbers[-1])
            case "prod":
                return float(np.prod(numbers))
            case "mean":
                return float(np.mean(numbers))
