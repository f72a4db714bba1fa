"""Length: tokens as the reward, a control; and a penalty for long responses.

Singhal et al. 2023 (arXiv 2310.03716) train only on length and reach much of what a reward model
does. Compute as Teacher (arXiv 2509.14234, section 4) subtracts 1 above 750 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench.errors import NotAvailable
from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Marks, Question, Rollout


@dataclass(frozen=True)
class Length:
    """The response's tokens; with `shortest`, minus them, and an empty rollout is unscored.

    Hidden reasoning is not part of a response. Raises NotAvailable if tokens were not counted.
    """

    shortest: bool = False
    """Whether short responses get more."""

    control: ClassVar[Literal[True]] = True
    positive: ClassVar[None] = None

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return one number per rollout."""
        if not self.shortest:
            return Marks([float(_tokens(rollout)) for rollout in rollouts])
        values = [-float(_tokens(r)) if r.text.strip() else None for r in rollouts]
        reasons = {str(k): "it is empty" for k, value in enumerate(values) if value is None}
        return Marks(values, notes={"unscored": reasons} if reasons else {})


def penalise_length(
    values: Sequence[float | None],
    rollouts: Sequence[Rollout],
    *,
    limit: int | None,
    penalty: float,
) -> list[float | None]:
    """Subtract `penalty` from rewards of responses over `limit` tokens; None: no limit.

    Hidden reasoning is not part of a response. Raises NotAvailable if tokens were not counted.
    """
    if limit is None:
        return list(values)
    long = [_tokens(rollout) > limit for rollout in rollouts]
    return [v if v is None else v - penalty * over for v, over in zip(values, long, strict=True)]


def _tokens(rollout: Rollout) -> int:
    usage = rollout.reply.usage
    if rollout.text and not usage.completion:
        raise NotAvailable("the rollouts' tokens were not counted: leave out length_limit")
    return usage.completion - usage.reasoning
