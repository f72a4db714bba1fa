"""Compute one group's rewards: partition the group, call the reward, record a failure.

The group is the pool here: its answers are clustered among themselves, by the task's equality.
`reward_group` raises only `NotAvailable`: the reward cannot work in this run.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cat_bench.errors import PLUGIN_BUGS, NotAvailable, reason_of
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.neighbours import Neighbours
from cat_bench.loading.prompts import Prompts
from cat_bench.models.costs import Charge
from cat_bench.models.critical_path import Path, count_path
from cat_bench.models.lending import QuestionContext, Roles
from cat_bench.models.throttling import gather_all
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Reward, SupervisedReward
from cat_bench.types.records import Marks, Question, Rollout, Sample, Score


@dataclass(frozen=True, slots=True)
class Rewarded:
    """One group's rewards in the rollouts' order; None is unscored."""

    question: str
    values: tuple[float | None, ...]
    reference: str | None
    """The reference that the rollouts were compared with."""
    notes: Mapping[str, JSON]
    """The notes of `Marks`, or `failed`: why no rollout is scored."""
    bill: tuple[Charge, ...]
    path: float = 0.0
    """The completion tokens of its calls that run one after another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardContext(QuestionContext):
    """The `GroupContext` of one question and one use of one reward."""

    grader: Grader
    question: Question
    known: Mapping[str, int] = field(default_factory=dict)
    """The cluster of each of the group's answers."""
    neighbours: Neighbours | None = None
    """The other questions of the run; None if no reward needs them."""

    @classmethod
    async def of(
        cls,
        question: Question,
        rollouts: Sequence[Rollout],
        *,
        roles: Roles,
        grader: Grader,
        prompts: Prompts,
        **shared: Any,
    ) -> RewardContext:
        """Return the context of a group; `shared` are fields that contexts have in common."""
        labels = await grader.labels(question, rollouts)
        return cls(
            roles,
            grader.answers_to(question),
            prompts,
            labels,
            meta=question.meta,
            key=f"{question.id}/{sorted(r.slot for r in rollouts)}",
            grader=grader,
            question=question,
            known=grader.known(question, rollouts, labels),
            **shared,
        )

    async def keys(self, rollouts: Sequence[Rollout]) -> list[str]:
        """Return the first spelling of each rollout's answer in its cluster, or else its text.

        A prefix distinguishes answers from texts.
        """
        spelt: dict[int, str] = {}
        for answer in sorted(self.known, reverse=True):
            spelt[self.known[answer]] = answer
        labels = [self.labels.get(r.slot) for r in rollouts]
        return [
            f"text {r.text}" if label is None else f"answer {spelt[label]}"
            for r, label in zip(rollouts, labels, strict=True)
        ]

    async def place(self, text: str) -> int | None:
        """Return the group's cluster that a text's answer belongs to, or None."""
        return await self.grader.place(self.answer(text), self.known)

    async def score(self, sample: Sample, texts: Sequence[str]) -> list[Score]:
        """Return the task's own scores, cached as in any run."""
        scores = await self.grader.scores(sample, texts, self)
        return [scores[text] for text in texts]

    async def elsewhere(self, size: int) -> tuple[Question, list[Rollout], RewardContext]:
        """Return another question, rollouts of it by the run's policy, and its context."""
        sample = self.neighbours.after(self.question.id) if self.neighbours else None
        if sample is None:
            raise NotAvailable("the run has no other question")
        replies = (self.policy.ask(sample.messages, draw=slot) for slot in range(size))
        drawn = [Rollout(slot, reply) for slot, reply in enumerate(await gather_all(*replies))]
        lent = await RewardContext.of(
            sample,
            drawn,
            roles=self.roles,
            grader=self.grader,
            prompts=self.prompts,
            bill=self.bill,
            memory=self.memory,
            neighbours=self.neighbours,
        )
        return sample, drawn, lent


async def reward_group(
    reward: Reward | SupervisedReward,
    sample: Sample,
    rollouts: Sequence[Rollout],
    *,
    roles: Roles,
    grader: Grader,
    prompts: Prompts,
    memory: dict[Hashable, asyncio.Future[Any]] | None = None,
    neighbours: Neighbours | None = None,
) -> Rewarded:
    """Return the rewards of a group and their calls; every rollout has a different slot.

    Several rewards of one question may share a `memory`: the calls for a reference or a rubric are
    then made once and billed to each reward. A reward with the need `others` finds the other
    questions in `neighbours`. Raises NotAvailable if the run lacks a need.
    """
    question, slots = sample.question, [r.slot for r in rollouts]
    ctx = await RewardContext.of(
        question,
        rollouts,
        roles=roles,
        grader=grader,
        prompts=prompts,
        memory={} if memory is None else memory,
        neighbours=neighbours,
    )
    calls = Path()
    try:
        if len(set(slots)) < len(slots):
            raise ValueError(f"slots {slots} are not all different")
        with count_path() as calls:
            if isinstance(reward, SupervisedReward):
                rewarded = await reward.rewards(sample, rollouts, ctx)
            else:
                rewarded = await reward.rewards(question, rollouts, ctx)
        marks = rewarded if isinstance(rewarded, Marks) else Marks(rewarded)
        values = _check_values(marks.values, len(rollouts))
    except PLUGIN_BUGS as error:  # becomes the reason of these rewards
        marks = Marks((), notes={"failed": reason_of(error)})
        values = (None,) * len(rollouts)
    return Rewarded(
        question.id, values, marks.reference, marks.notes, tuple(ctx.bill), calls.tokens
    )


def _check_values(values: Sequence[float | None], size: int) -> tuple[float | None, ...]:
    """Return one number per rollout, with None for a NaN.

    Raises ValueError for a wrong count, and for an infinite reward: it has no group mean.
    """
    if len(values) != size:
        raise ValueError(f"{len(values)} rewards for {size} rollouts")
    numbers = [None if value is None else float(value) for value in values]
    if any(number is not None and math.isinf(number) for number in numbers):
        raise ValueError(f"rewards {numbers} are not all finite")
    return tuple(None if number is None or math.isnan(number) else number for number in numbers)
