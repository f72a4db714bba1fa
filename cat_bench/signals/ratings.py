"""Ratings of pairs: a model gives both candidates a number, in one call.

V1 (Singh et al. 2026, arXiv 2603.04304) compares pairs in this way: two numbers side by side show
which candidate is better, and by how much.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from cat_bench.models.throttling import gather_all
from cat_bench.signals.pairs import JudgedPairs
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout

BOTH = re.compile(r"\\boxed\s*\{\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*\}")
TOP = 10


class Ratings(JudgedPairs):
    """A candidate's rating minus the other's, -1 to 1; NaN if no reply is readable.

    Each pair takes up to `attempts` calls, mostly one. The slots of the two decide which comes
    first; this is balanced over a candidate's pairs.
    """

    async def matrix(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> FloatArray:
        """Return a matrix: entry (i, j) is the rating of j minus i's, as a share of the scale."""
        size = len(rollouts)
        pairs = [(i, j) for i in range(size) for j in range(i + 1, size)]
        margins = (self._margin(question, rollouts[i], rollouts[j], ctx) for i, j in pairs)
        matrix = np.zeros((size, size))
        for (i, j), margin in zip(pairs, await gather_all(*margins), strict=True):
            matrix[i, j], matrix[j, i] = margin, -margin
        return matrix

    async def _margin(
        self, question: Question, left: Rollout, right: Rollout, ctx: Context
    ) -> float:
        """Return the rating of the second minus that of the first."""
        low, high = sorted((left, right), key=lambda r: r.slot)
        pair = (low, high) if (low.slot + high.slot) % 2 else (high, low)
        texts = [r.text for r in pair]
        prompt = ctx.prompt("ratings", question=question.text, drafts=texts, top=TOP)
        for attempt in range(self.attempts):
            reply = await self.model(ctx).ask(prompt, draw=attempt)
            if ratings := BOTH.findall(reply.text):
                first, second = map(float, ratings[-1])
                if max(first, second) <= TOP:
                    margin = (second - first) / TOP
                    return margin if pair[1] is right else -margin
        return float("nan")
