"""A number that came with each rollout of an imported pool, such as a reward model's score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class Imported:
    """The imported score called `name`; NaN for a rollout without it."""

    name: str

    reads: ClassVar[Literal["self"]] = "self"
    from_replies: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Need]:
        """The score itself."""
        return frozenset({f"score:{self.name}"})

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return each rollout's imported number."""
        return [r.reply.scores.get(self.name, float("nan")) for r in rollouts]
