"""The scorer of `counsel`: the share of a rubric that an answer meets, read without a judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cat_bench.bundled.counsel.answers import Answer, read_criterion
from cat_bench.scorers.rubric import Criterion, Rubric, RubricTarget, share
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Context
from cat_bench.types.records import Sample, Score


@dataclass(frozen=True)
class Advice:
    """The points of the criteria met over all points, as the scorer `rubric` would count them.

    `details` holds `met`, the truth about each criterion in the rubric's order.
    """

    version: ClassVar[str] = "counsel 1"
    graded: ClassVar[bool] = True

    def check(self, target: JSON) -> str | None:
        """What is wrong with a target; None if it can be scored."""
        if problem := Rubric().check(target):
            return problem
        try:
            for line in RubricTarget.model_validate(target).rubric:
                read_criterion(line.criterion)
        except ValueError as error:
            return f"has a rubric that cannot be read: {error}"
        return None

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
        """Return one score per text; a text that recommends nothing scores 0."""
        rubric = RubricTarget.model_validate(sample.target).rubric
        return [self._grade(rubric, Answer.parse(text)) for text in texts]

    def _grade(self, rubric: Sequence[Criterion], answer: Answer) -> Score:
        met = [answer.meets(line.criterion) for line in rubric]
        reason = None if answer.things else "no answer"
        return Score(share(rubric, met), reason, {"met": met})
