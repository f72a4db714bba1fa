"""Judge match: the judge says whether each rollout is equivalent to the reference.

A baseline of Compute as Teacher (arXiv 2509.14234, section 4): one verdict instead of a rubric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cat_bench.models.throttling import gather_all
from cat_bench.rewards.reference import Reference, ReferenceReward
from cat_bench.scorers.rubric import ask_verdict
from cat_bench.scorers.workers import Undecided
from cat_bench.types.plugins import Context, GroupContext
from cat_bench.types.records import Marks, Question, Rollout
from cat_bench.types.traits import Need

PROMPT = "match"


@dataclass(frozen=True)
class JudgeMatch(ReferenceReward):
    """1 where the judge finds a match, else 0; a rollout without a verdict is unscored."""

    compares_with: ClassVar[frozenset[Need]] = frozenset({"judge"})

    async def compare(
        self, target: Reference, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return one verdict per rollout; an empty rollout gets 0 without a call."""
        if target.text is None:
            return target.rewards_nobody(len(rollouts))
        text, notes = target.text, dict(target.notes)
        verdicts = await gather_all(*(self._matches(text, question, r, ctx) for r in rollouts))
        reasons = {str(k): v.reason for k, v in enumerate(verdicts) if isinstance(v, Undecided)}
        if reasons:
            notes["unscored"] = reasons
        return Marks([None if isinstance(v, Undecided) else v for v in verdicts], text, notes)

    async def _matches(
        self, text: str, question: Question, rollout: Rollout, ctx: Context
    ) -> float | Undecided:
        if not rollout.text.strip():
            return 0.0
        prompt = ctx.prompt(
            PROMPT, conversation=question.text, reference=text, response=rollout.text
        )
        verdict = await ask_verdict(prompt, ctx.judge)
        return verdict if isinstance(verdict, Undecided) else float(verdict.met)
