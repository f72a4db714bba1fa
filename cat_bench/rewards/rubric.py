"""Self-proposed rubrics: the anchor turns the reference into criteria, the judge checks them.

Compute as Teacher (arXiv 2509.14234, section 3, non-verifiable tasks): the anchor writes n >= 5
binary, specific, checkable criteria from the reference only; the judge says yes or no to each, one
call each; the reward is the share of yes. The whole group shares one rubric per question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from cat_bench.models.throttling import gather_all
from cat_bench.rewards.length import penalise_length
from cat_bench.rewards.reference import Reference, ReferenceReward
from cat_bench.scorers.rubric import ATTEMPTS, ask_ours, read_reply
from cat_bench.scorers.workers import Undecided
from cat_bench.types.plugins import Context, GroupContext
from cat_bench.types.records import Marks, Question, Rollout
from cat_bench.types.traits import Need

PROMPT = "criteria"


class Proposal(BaseModel):
    """The required reply of an anchor: only this JSON, with or without a code fence."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    criteria: list[str]

    @property
    def distinct(self) -> list[str]:
        """The distinct, non-empty criteria; case, spaces and a final full stop do not count."""
        tidy = (" ".join(line.split()) for line in self.criteria)
        lines: dict[str, str] = {}
        for line in tidy:
            lines.setdefault(line.casefold().rstrip(".;, "), line)
        return [line for key, line in lines.items() if key]


@dataclass(frozen=True, slots=True)
class Checklist:
    """The criteria to check, and the number proposed before duplicates were removed."""

    criteria: tuple[str, ...]
    proposed: int


@dataclass(frozen=True)
class SelfProposed(ReferenceReward):
    """The share of at least `criteria` self-proposed criteria that a rollout meets.

    A reply that is not such a list, or has fewer or more than `most` different criteria, is
    requested again, up to `attempts` replies; then the group is unscored. A rollout without a
    verdict on every criterion is unscored too. An empty rollout gets 0 without a call. Above
    `length_limit` tokens, `length_penalty` is subtracted (the paper: 750 and 1 on HealthBench).
    """

    criteria: int = 5
    most: int = 20
    attempts: int = ATTEMPTS
    length_limit: int | None = None
    length_penalty: float = 1.0

    compares_with: ClassVar[frozenset[Need]] = frozenset({"anchor", "judge"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.criteria <= self.most or self.attempts < 1:
            raise ValueError("criteria should be from 1 to most, and attempts at least 1")

    async def compare(
        self, target: Reference, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return the shares of yes, with the notes `rubric`, `proposed`, and `met` by rollout."""
        if target.text is None:
            return target.rewards_nobody(len(rollouts))
        text, notes = target.text, dict(target.notes)
        key = (PROMPT, text, self.criteria, self.most, self.attempts)
        checklist = await ctx.once(key, lambda lent: self._propose(text, lent))
        if isinstance(checklist, Undecided):
            return Marks([None] * len(rollouts), text, {**notes, "failed": checklist.reason})
        rubric = checklist.criteria
        checked = await gather_all(*(self._met(rubric, question, r, ctx) for r in rollouts))
        shares = [None if isinstance(met, Undecided) else sum(met) / len(rubric) for met in checked]
        notes |= {
            "rubric": list(rubric),
            "proposed": checklist.proposed,
            "met": [None if isinstance(met, Undecided) else met for met in checked],
        }
        if reasons := {str(k): m.reason for k, m in enumerate(checked) if isinstance(m, Undecided)}:
            notes["unscored"] = reasons
        values = penalise_length(
            shares, rollouts, limit=self.length_limit, penalty=self.length_penalty
        )
        return Marks(values, text, notes)

    async def _propose(self, text: str, ctx: Context) -> Checklist | Undecided:
        """Return the anchor's criteria for a reference."""
        prompt = ctx.prompt(PROMPT, response=text, criteria=self.criteria, most=self.most)
        for attempt in range(self.attempts):
            reply = await ctx.anchor.ask(prompt, draw=attempt)
            proposal = read_reply(Proposal, reply.text)
            if proposal and self.criteria <= len(proposal.distinct) <= self.most:
                return Checklist(tuple(proposal.distinct), len(proposal.criteria))
        form = f"list of {self.criteria} to {self.most} different criteria"
        return Undecided(f"no {form} in {self.attempts} replies")

    async def _met(
        self, rubric: Sequence[str], question: Question, rollout: Rollout, ctx: Context
    ) -> list[bool] | Undecided:
        """Return the judge's verdict on each criterion."""
        if not rollout.text.strip():
            return [False] * len(rubric)
        verdicts = (ask_ours(line, question.text, rollout.text, ctx=ctx) for line in rubric)
        met = []
        for number, answer in enumerate(await gather_all(*verdicts), 1):
            if isinstance(answer, Undecided):
                return Undecided(f"criterion {number}: {answer.reason}")
            met.append(answer.met)
        return met
