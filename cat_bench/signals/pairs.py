"""The common part of signals that compare two rollouts: a mean over pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.signals import mean_from_others
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context, Lent
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need


class PairMean(ABC):
    """A rollout's number is the mean of its pairs with the others."""

    reads: ClassVar[Literal["pairs"]] = "pairs"

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one mean per rollout."""
        return list(map(float, mean_from_others(await self.matrix(question, rollouts, ctx))))

    @abstractmethod
    async def matrix(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> FloatArray:
        """Return a matrix (n, n): entry (i, j) is the number of j beside i."""


@dataclass(frozen=True)
class JudgedPairs(PairMean):
    """A model compares both rollouts of a pair, in up to `attempts` replies."""

    by: Literal["judge", "anchor"] = "judge"
    attempts: int = 2

    @property
    def needs(self) -> frozenset[Need]:
        """The model that compares."""
        return frozenset({self.by})

    def model(self, ctx: Context) -> Lent:
        """Return the model that compares."""
        return ctx.judge if self.by == "judge" else ctx.anchor
