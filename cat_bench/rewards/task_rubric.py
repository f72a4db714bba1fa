"""Task rubric: the dataset's rubric, checked by the judge; the supervised control for `rubric`.

Physicians wrote HealthBench's rubrics. Compute as Teacher (arXiv 2509.14234, section 4) compares
its own rewards with rewards by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ValidationError

from cat_bench.errors import NotAvailable
from cat_bench.rewards.gold import Gold
from cat_bench.rewards.length import penalise_length
from cat_bench.scorers.rubric import RubricTarget
from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Marks, Rollout, Sample
from cat_bench.types.traits import Need


@dataclass(frozen=True)
class TaskRubric:
    """The task's score; a response over `length_limit` tokens loses `length_penalty` once.

    Raises NotAvailable if the target is not a rubric.
    """

    length_limit: int | None = None
    length_penalty: float = 1.0

    supervised: ClassVar[Literal[True]] = True
    needs: ClassVar[frozenset[Need]] = frozenset({"judge"})

    async def rewards(
        self, sample: Sample, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return one score per rollout."""
        try:
            RubricTarget.model_validate(sample.target)
        except ValidationError:
            raise NotAvailable("the task's targets are not rubrics") from None
        marks = await Gold().rewards(sample, rollouts, ctx)
        values = penalise_length(
            marks.values, rollouts, limit=self.length_limit, penalty=self.length_penalty
        )
        return Marks(values, notes=marks.notes)
