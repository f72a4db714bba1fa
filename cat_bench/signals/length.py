"""Length in tokens: the cheapest signal, and a baseline for the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout


@dataclass(frozen=True)
class Length:
    """Completion tokens (characters if tokens were not counted); `shortest` reverses the order."""

    shortest: bool = False

    reads: ClassVar[Literal["self"]] = "self"
    from_replies: ClassVar[bool] = True

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one length per rollout."""
        sign = -1 if self.shortest else 1
        return [sign * float(r.reply.usage.completion or len(r.text)) for r in rollouts]
