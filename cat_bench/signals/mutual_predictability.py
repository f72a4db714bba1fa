"""Mutual predictability: how well the other rollouts predict this one.

The baseline of Compute as Teacher (arXiv 2509.14234, section 4), after Wen et al. 2025 (arXiv
2506.10139): condition the policy on the other rollouts in random order and take the mean token
log-probability of this one. The paper does not publish its prompt; here the others are drafts under
the question, and the rollout is scored as the next reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cat_bench.errors import ContextTooLong
from cat_bench.models.throttling import gather_all
from cat_bench.signals import mean_from_others
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class MutualPredictability:
    """Mean log-probability in nats per token, given the others.

    `given="all"` shows all others at once in seeded random order, as in the paper: one call per
    rollout and subset. `given="each"` shows each other rollout in turn and averages: it reads
    pairs, so N(N-1) calls are enough for every subset of N. NaN for an empty rollout, or if the
    prompt does not fit.
    """

    given: Literal["all", "each"] = "all"

    needs: ClassVar[frozenset[Need]] = frozenset({"scoring"})

    @property
    def reads(self) -> Literal["subset", "pairs"]:
        """Pairs if `given` is `each`, else the subset."""
        return "subset" if self.given == "all" else "pairs"

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one mean per rollout; a single rollout is scored given only the question."""
        if self.given == "each" and len(rollouts) > 1:
            return list(map(float, mean_from_others(await self.matrix(question, rollouts, ctx))))
        rng, slots = ctx.rng, sorted(r.slot for r in rollouts)
        by_slot = {r.slot: r for r in rollouts}
        orders = {j: rng.permutation([i for i in slots if i != j]).tolist() for j in slots}
        calls = (_predict(question, r, [by_slot[i] for i in orders[r.slot]], ctx) for r in rollouts)
        return await gather_all(*calls)

    async def matrix(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> FloatArray:
        """Return a matrix: entry (i, j) is rollout j given only rollout i; NaN on the diagonal."""
        size = len(rollouts)
        places = [(i, j) for i in range(size) for j in range(size) if i != j]
        calls = (_predict(question, rollouts[j], [rollouts[i]], ctx) for i, j in places)
        matrix = np.full((size, size), np.nan)
        for place, value in zip(places, await gather_all(*calls), strict=True):
            matrix[place] = value
        return matrix


async def _predict(
    question: Question, rollout: Rollout, others: Sequence[Rollout], ctx: Context
) -> float:
    """Return the rollout's mean token log-probability under the policy, given `others`."""
    drafts = [r.text for r in others]
    prompt = ctx.prompt("predict", question=question.text, drafts=drafts)
    try:
        logprobs = await ctx.policy.logprob(prompt if drafts else question.messages, rollout.text)
    except ContextTooLong:
        return float("nan")
    return float(logprobs.mean()) if logprobs.size else float("nan")
