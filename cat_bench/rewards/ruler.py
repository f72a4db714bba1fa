"""RULER: one call of a judge scores the whole group, each rollout beside the others.

The idea is from OpenPipe's ART (`art/rewards/ruler.py`): GRPO needs only the order within a group,
which is easier for a judge than a score on a scale of its own (a judge that sees one text at a
time: Zheng et al. 2023, arXiv 2306.05685). The prompt is our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from cat_bench.rewards.reference import uniform
from cat_bench.scorers.rubric import ATTEMPTS, read_reply
from cat_bench.types.plugins import Context, GroupContext
from cat_bench.types.records import Marks, Question, Rollout
from cat_bench.types.traits import Need

PROMPT = "ruler"
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)


class Entry(BaseModel):
    """A candidate's number in the prompt, from 1 on, and its score from 0 to 1."""

    model_config = STRICT
    candidate: int
    explanation: str
    score: float


class Scores(BaseModel):
    """The required reply of a judge: only this JSON, with or without a code fence."""

    model_config = STRICT
    scores: list[Entry]

    def read(self, count: int) -> dict[int, float]:
        """Return the scores by the candidate's place, from 0 on.

        A candidate that has two entries or a score outside 0 to 1 has none.
        """
        numbers = [entry.candidate for entry in self.scores]
        return {
            entry.candidate - 1: entry.score
            for entry in self.scores
            if 0 <= entry.score <= 1
            and 1 <= entry.candidate <= count
            and numbers.count(entry.candidate) == 1
        }


@dataclass(frozen=True)
class Ruler:
    """The judge's score from 0 to 1, given to the whole group in one call.

    Equal texts are shown once and get the same score. The order in which the judge sees the texts
    depends only on the `seed` and the question. A reply that does not score every candidate is
    requested again, up to `attempts` replies; the one with the most scores counts, and a candidate
    without a score in it is unscored. An empty rollout gets 0 without being shown.
    """

    seed: int = 0
    """The seed of the order in which the judge sees the texts."""
    attempts: int = ATTEMPTS

    needs: ClassVar[frozenset[Need]] = frozenset({"judge"})

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts should be at least 1")

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return one score per rollout."""
        texts = sorted({r.text for r in rollouts if r.text.strip()})
        texts.sort(key=lambda text: uniform(f"{self.seed}\0{question.id}\0{text}"))
        blank = dict.fromkeys((r.text for r in rollouts if not r.text.strip()), 0.0)
        if texts:
            blank |= await self._ask(question, texts, ctx)
        lacking = f"no score from 0 to 1 in {self.attempts} replies"
        why = {str(k): lacking for k, r in enumerate(rollouts) if r.text not in blank}
        return Marks([blank.get(r.text) for r in rollouts], notes={"unscored": why} if why else {})

    async def _ask(
        self, question: Question, texts: Sequence[str], ctx: Context
    ) -> Mapping[str, float]:
        """Return the score of each text that has one."""
        prompt = ctx.prompt(PROMPT, question=question.text, drafts=texts)
        best: dict[int, float] = {}
        for attempt in range(self.attempts):
            reply = read_reply(Scores, (await ctx.judge.ask(prompt, draw=attempt)).text)
            marks = reply.read(len(texts)) if reply else {}
            best = max(best, marks, key=len)
            if len(best) == len(texts):
                break
        return {texts[place]: score for place, score in best.items()}
