"""The chance that a rollout is right, from several imperfect scores.

The weak supervision of Weaver (Saad-Falcon et al. 2025, arXiv 2506.18203): each imported score
votes on each rollout, and the votes are weighted by accuracies learnt without labels, here from the
rollouts of one question (Dawid and Skene 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cat_bench.stats.weak_labels import dawid_skene
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class DawidSkene:
    """The posterior chance that a rollout is right; NaN where no score votes on it.

    `of` names the imported scores, joined by `+`; by default all of them. A score votes for a
    rollout if it is above its median over the given rollouts and against it if it is below; a score
    at the median, or a missing one, does not vote.
    """

    of: str = ""

    reads: ClassVar[Literal["subset"]] = "subset"

    @property
    def needs(self) -> frozenset[Need]:
        """The named scores; any score if none is named."""
        named = frozenset(f"score:{name}" for name in self.of.split("+") if name)
        return named or frozenset({"scores"})

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one chance per rollout."""
        every = sorted({name for r in rollouts for name in r.reply.scores})
        names = [name for name in self.of.split("+") if name] or every
        if not names:
            return [float("nan")] * len(rollouts)
        numbers = np.array([[r.reply.scores.get(n, np.nan) for n in names] for r in rollouts])
        votes = np.full_like(numbers, np.nan)
        for column, scores in zip(votes.T, numbers.T, strict=True):
            if not np.isnan(scores).all():
                middle = np.nanmedian(scores)
                column[scores > middle], column[scores < middle] = 1, 0
        return [float(score) for score in dawid_skene(votes)]
