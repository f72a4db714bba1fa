"""Preference: how often a model prefers a rollout to each other one, two at a time.

A league's average win rate (Chen et al. 2024, arXiv 2411.19477). Models favour one of the two
positions (Zheng et al. 2023, arXiv 2306.05685), so each pair is shown in both orders.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cat_bench.models.throttling import gather_all
from cat_bench.signals.pairs import JudgedPairs
from cat_bench.signals.replies import number_in
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout


class Preference(JudgedPairs):
    """The share of comparisons won, 0 to 1.

    Each side gets half a win if none of `attempts` replies names a winner. Each pair takes two
    calls or more, up to two times `attempts`; they are made once for all subsets.
    """

    async def matrix(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> FloatArray:
        """Return a matrix: entry (i, j) is how often j was preferred to i in the two orders."""
        size = len(rollouts)
        places = [(i, j) for i in range(size) for j in range(size) if i != j]
        calls = (self._second_wins(question, rollouts[i], rollouts[j], ctx) for i, j in places)
        matrix = np.zeros((size, size))
        for (i, j), won in zip(places, await gather_all(*calls), strict=True):
            matrix[i, j] += won / 2
            matrix[j, i] += (1 - won) / 2
        return matrix

    async def _second_wins(
        self, question: Question, first: Rollout, second: Rollout, ctx: Context
    ) -> float:
        """Return 1 if the second is named, 0 if the first is, 0.5 if neither is."""
        drafts = [first.text, second.text]
        prompt = ctx.prompt("compare", question=question.text, drafts=drafts)
        for attempt in range(self.attempts):
            reply = await self.model(ctx).ask(prompt, draw=attempt)
            choice = number_in(reply.text, low=1, high=2)
            if choice is not None and choice.is_integer():
                return choice - 1
        return 0.5
